package cluster_test

import (
	"io"
	"net"
	"testing"
	"time"

	"itlagent/agent/sccp"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/sip/siptest"
)

// Whatever comes by SCCP, the call manager service ends the connection at its end, answers
// what it answers in whole messages, and has no phones but those that it knows.
func FuzzSCCP(f *testing.F) {
	p := profile.Note()
	c, err := cluster.New(p, cluster.Options{Logf: func(string, ...any) {}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		f.Fatal(err)
	}
	registration := registerSCCP(device).Bytes()
	leave := sccp.Message{ID: sccp.UnregisterMe}.Bytes()
	f.Add(append(append([]byte(nil), registration...), leave...))
	f.Add(append(sccp.Message{ID: sccp.KeepAlive}.Bytes(), registration[:40]...))
	f.Add(append(sccp.Restarting("25: Name="+device+" Last=Initialized").Bytes(), registration...))
	f.Add(append(sccp.Alarm([]byte("<x-cisco-alarm><Alarm Name=\"A\"/></x-cisco-alarm>")).Bytes(), sccp.Message{ID: sccp.TokenRequest, Body: []byte(device)}.Bytes()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.DialTimeout("tcp", c.Publisher().Endpoint("sccp"), siptest.WaitTime)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(siptest.WaitTime))
		conn.Write(data)
		conn.(*net.TCPConn).CloseWrite()
		for {
			m, err := sccp.Read(conn)
			if err == nil {
				switch m.ID {
				case sccp.RegisterAck, sccp.RegisterReject, sccp.KeepAliveAck, sccp.UnregisterAck, sccp.TokenAck, sccp.TokenReject:
				default:
					t.Fatalf("answered %#x %q", m.ID, m.Body)
				}
				continue
			}
			if op, ok := err.(net.Error); ok && op.Timeout() || err == io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			break // at its end, or reset where bytes were left unread
		}
		phones, err := c.Phones()
		if err != nil || len(phones) > 1 || len(phones) == 1 && phones[0].Device != device {
			t.Fatalf("%+v, %v", phones, err)
		}
	})
}
