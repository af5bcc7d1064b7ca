package audit_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
)

var stops = flag.Int("stops", 20, "how often TestStopUnderAlarms starts and stops a listener")

// A listener stops while phones report, are silent and send rubbish, by TCP and UDP;
// nothing hangs (run it with -race).
func TestStopUnderAlarms(t *testing.T) {
	heard := 0
	for i := range *stops {
		l, err := audit.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		reports := evidence.New()
		ended := make(chan error, 1)
		go func() { ended <- l.Collect(ctx, reports) }()
		var clients sync.WaitGroup
		answered := make(chan bool, 1)
		for k, network := range []string{"tcp", "tcp", "tcp", "udp"} {
			clients.Go(func() {
				for ctx.Err() == nil {
					conn, err := net.DialTimeout(network, l.Addr(), 10*time.Second)
					if err != nil {
						return
					}
					patience := 10 * time.Second
					if network == "udp" { // its answer is lost when the listener stops
						patience = 100 * time.Millisecond
					}
					conn.SetDeadline(time.Now().Add(patience))
					switch k {
					case 0, 3:
						body := alarmOf(fmt.Sprintf("SEP%012X", i))
						fmt.Fprintf(conn, "REFER sip:a SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1\r\nCSeq: 1 REFER\r\nContent-Type: application/x-cisco-alarm+xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
						if n, _ := conn.Read(make([]byte, 64)); n > 0 && k == 0 {
							select {
							case answered <- true:
							default:
							}
						}
					case 1:
						io.WriteString(conn, "REFER sip:a SIP/2.0\r\nContent-Length: 500\r\n\r\n")
						conn.SetReadDeadline(time.Now().Add(time.Millisecond))
						conn.Read(make([]byte, 1))
					case 2:
						io.WriteString(conn, "\x00\x01\x02\r\n\r\n")
					}
					conn.Close()
				}
			})
		}
		select {
		case <-answered:
			heard++
		case <-time.After(time.Minute):
			t.Errorf("start %d: no answer", i)
		}
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("stop %d: %v", i, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("stop %d hangs", i)
		}
		clients.Wait()
	}
	t.Logf("stopped %d times while phones reported", heard)
}

// alarmOf is the alarm of a phone that holds no list.
func alarmOf(device string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n<String name=\"DeviceName\">" + device +
		"</String>\n<String name=\"ITL_Signature\">Not Installed</String>\n</ParameterList>\n</Alarm>\n</x-cisco-alarm>"
}
