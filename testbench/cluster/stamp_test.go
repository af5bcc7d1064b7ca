package cluster_test

import (
	"context"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// The version of a configuration changes with the configuration, and with nothing else. A
// phone that is told to check it fetches where its own is another one, and only then.
func TestVersionStamp(t *testing.T) {
	c := startProfile(t, "note")
	apply := func(ops ...operation.Operation) {
		t.Helper()
		for _, op := range ops {
			if err := c.Apply(op); err != nil {
				t.Fatal(err)
			}
		}
	}
	stamp := func() string {
		s := c.State()
		return s.Stamp(s.Phone(mac))
	}
	first := stamp()
	if len(first) != 36 || strings.Count(first, "-") != 4 {
		t.Fatalf("stamp %q", first)
	}
	apply(operation.Advance(operation.HoldTime), operation.Regenerate("test10pub", profile.TVS), operation.RestartTFTP("test10pub"))
	if got := stamp(); got != first {
		t.Errorf("after a regeneration %s, want %s", got, first)
	}
	a, err := agent.New(agent.Config{MAC: mac, Model: "CP-7965G", Servers: []string{c.Publisher().Address()}, Store: new(holdings.MemStore),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now, Rand: rand.Reader, Address: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done, boots := make(chan struct{}), make(chan *boot.Report, 16)
	go func() {
		defer close(done)
		a.Run(ctx, time.Hour, nil, func(r *boot.Report) { boots <- r })
	}()
	defer func() { stop(); <-done }()
	order := func(action string) {
		t.Helper()
		apply(operation.Reset(state.Order{Action: action}, "test"))
		until(t, action+" is answered", func() bool {
			phones, err := c.Phones()
			return err == nil && len(phones) == 1 && phones[0].Registered && !phones[0].Resetting && phones[0].Asked == "accepted"
		})
	}
	<-boots
	until(t, "it is registered", func() bool { return registeredWith(t, c) != nil })
	if got := a.Snapshot().Settings.Stamp; strings.Trim(got, "{}") != first {
		t.Errorf("the phone has %s, want %s", got, first)
	}
	for range 3 {
		order("check-version")
	}
	apply(operation.Set(mac, "webAccess", "2"))
	second := stamp()
	if second == first {
		t.Fatal("the configuration has changed, and its version has not")
	}
	order("check-version")
	<-boots
	until(t, "the new configuration is in force", func() bool { return strings.Trim(a.Snapshot().Settings.Stamp, "{}") == second })
	order("check-version")
	if len(boots) != 0 {
		t.Errorf("%d boot cycles too many: the version was its own", len(boots))
	}
}
