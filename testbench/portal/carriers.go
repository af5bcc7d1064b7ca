package portal

import (
	"context"
	"crypto/x509"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence"
	"itlagent/testbench/portal/roster"
)

// carriers finds the lists that phones hold and that have the record of a certificate.
type carriers struct {
	by map[string][]carried // by serial number
}

type carried struct {
	list   evidence.Hash
	record trustlist.Record
}

// carriersOf reads the lists that the phones of a roster hold.
func (s *Server) carriersOf(ros *roster.Roster) *carriers {
	c := &carriers{by: make(map[string][]carried)}
	for _, h := range ros.Lists() {
		data, err := s.o.Cluster.List(h.String())
		if err != nil {
			continue // this cluster never served it
		}
		f, err := trustlist.Parse(trustlist.ITL, data)
		if err != nil {
			continue
		}
		for _, r := range f.Records {
			serial := string(trimmed(r.Serial()))
			c.by[serial] = append(c.by[serial], carried{h, r})
		}
	}
	return c
}

func trimmed(serial []byte) []byte { return []byte(strings.TrimLeft(string(serial), "\x00")) }

// lists returns the lists that have a record of a certificate.
func (c *carriers) lists(cert *x509.Certificate) map[evidence.Hash]bool {
	found := make(map[evidence.Hash]bool)
	for _, at := range c.by[string(cert.SerialNumber.Bytes())] {
		if at.record.MatchesCertificate(cert) {
			found[at.list] = true
		}
	}
	return found
}

// listsWith returns the lists that have a record of a node's certificate, "NODE/UNIT";
// none where there is no such certificate.
func (s *Server) listsWith(ctx context.Context, name string) map[evidence.Hash]bool {
	node, unit, _ := strings.Cut(name, "/")
	ros, st, err := s.source.now(ctx)
	if err != nil || st == nil {
		return map[evidence.Hash]bool{}
	}
	for _, n := range st.Nodes {
		for _, c := range n.Certificates() {
			if n.Name == node && string(c.Unit) == unit {
				return s.carriersOf(ros).lists(c.Certificate)
			}
		}
	}
	return map[evidence.Hash]bool{}
}
