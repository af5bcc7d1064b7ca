package serve

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"itlagent/agent/accept"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster/profile"
)

func (n *Node) startTVS(r *running) error {
	l, err := n.listen(r, "tvs")
	if err != nil {
		return err
	}
	r.accept(l, accept.Limits{Conns: tvsConns, First: tvsConnTime}, func(conn net.Conn) {
		if err := n.answerTVS(r, conn); err != nil {
			n.Logf("%s: TVS %v: %v", n.Node().Name, conn.RemoteAddr(), err)
		}
	})
	return nil
}

// answerTVS serves one request of one connection.
func (n *Node) answerTVS(r *running, raw net.Conn) error {
	f := n.Node().Fault(profile.TVSService)
	raw.SetDeadline(time.Now().Add(tvsConnTime))
	switch f.Kind {
	case "close":
		return nil
	case "pause":
		raw.SetDeadline(time.Now().Add(held))
		raw.Read(make([]byte, 1)) // the client's first byte, or its end
		r.wait(nil, held)
		return nil
	case "slow":
		raw.SetDeadline(time.Now().Add(tvsConnTime + f.Delay))
		r.wait(nil, f.Delay)
	}
	conn := tls.Server(raw, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{n.Node().Vouching.TLS()}, SessionTicketsDisabled: true,
		ClientAuth: tls.RequestClientCert, // phones show their LSC or MIC; those without are served too
	})
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return err
	}
	if shown := conn.ConnectionState().PeerCertificates; len(shown) > 0 {
		n.Logf("%s: TVS %v: client certificate %s", n.Node().Name, raw.RemoteAddr(), shown[0].Subject.CommonName)
	}
	// Phones close the connection behind one answer; others may ask on.
	for {
		req, err := tvs.Read(conn)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if f.Kind == "hangup" {
			return fmt.Errorf("hung up at %v", req.Type)
		}
		if f.Kind == "garbage" {
			rubbish := make([]byte, 64)
			rand.Read(rubbish)
			_, err := conn.Write(rubbish)
			return err
		}
		res := n.Node().AnswerTVS(req)
		if res == nil {
			return fmt.Errorf("%v is not a request", req.Type)
		}
		b, err := res.Append(nil)
		if err != nil {
			return err
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
		raw.SetDeadline(time.Now().Add(tvsConnTime))
	}
}
