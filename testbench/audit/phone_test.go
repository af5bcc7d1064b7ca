package audit_test

import (
	"context"
	"crypto/rand"
	"net"
	"testing"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster"
)

// report boots a phone and has it report to an address in the place of its call
// managers.
func report(t *testing.T, c *cluster.Cluster, to string) (int, error) {
	t.Helper()
	var sip []string
	for _, n := range c.Nodes() {
		sip = append(sip, n.Endpoint("sip"))
	}
	a, err := agent.New(agent.Config{
		MAC: c.State().Phones[0].MAC, Model: "CP-7965G", Servers: []string{c.Publisher().Address()}, Store: new(holdings.MemStore), TFTP: fetch.PlainTFTP, Rand: rand.Reader,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			for _, s := range sip {
				if s == address {
					address = to
				}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if err != nil {
		return 0, err
	}
	a.Cycle(t.Context())
	return a.DeliverAlarms(t.Context())
}
