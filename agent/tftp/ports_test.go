package tftp_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/tftp"
)

const configName = "SEP64A0E71502CC.cnf.xml"

// late is a server of two files whose answer to the second request comes behind packets
// of the first transfer, from the ports given.
func late(ports ...netip.AddrPort) func(*wire, netip.AddrPort, string) {
	first := &files{file: "the list", tid: firstTID}
	second := &files{file: "the configuration", tid: netip.MustParseAddrPort("192.0.2.1:5000")}
	return func(w *wire, to netip.AddrPort, b string) {
		switch {
		case b == rrq(configName):
			for _, p := range ports {
				if w.port == 40000 { // that of the first transfer
					w.say(p, data(1, "the list"))
				}
			}
			second.serve(w, to, b)
		case b == rrq(listName):
			first.serve(w, to, b)
		}
	}
}

// A packet of the transfer before, on a port that is in use again, is not taken for an
// answer.
func TestLatePackets(t *testing.T) {
	slow := func(tid netip.AddrPort, answer string) func(*wire, netip.AddrPort, string) {
		// Answers after the request was sent twice, and the second request from another port.
		asked := 0
		return func(w *wire, to netip.AddrPort, b string) {
			if b == rrq(listName) {
				if asked++; asked == 2 {
					w.say(tid, answer)
				}
			}
		}
	}
	for _, c := range []struct {
		name   string
		first  func(*wire, netip.AddrPort, string) // serves the list; nil: late
		second func(*wire, netip.AddrPort, string) // serves the configuration
		wait   time.Duration                       // between the two
		ports  []uint16                            // that the sockets get
		opened int
	}{
		{"from the port that is known", nil, late(firstTID), 0, []uint16{40000, 40000}, 2},
		{"a request sent twice: the port rests", slow(firstTID, data(1, "the list")), late(otherTID), 0, []uint16{40000, 40000, 40001}, 3},
		{"a request without an answer: the port rests", nothing, late(otherTID), 0, []uint16{40000, 40000, 40000, 40001}, 4},
		{"refused: the port rests", say(fail(0, "transfer ended")), late(otherTID), 0, []uint16{40000, 40000, 40001}, 3},
		{"not found is an answer: the port is known", say(fail(1, "no")), late(firstTID), 0, []uint16{40000, 40000}, 2},
		{"two answers: the port rests", func(w *wire, to netip.AddrPort, b string) {
			if b == rrq(listName) {
				w.say(firstTID, data(1, list[:512]))
				w.say(otherTID, data(1, list[:512]))
			} else if b == ack(1) {
				w.say(firstTID, data(2, "end"))
			}
		}, late(otherTID), 0, []uint16{40000, 40000, 40001}, 3},
		{"after servers have given up", slow(firstTID, data(1, "the list")), late(), 65 * time.Second, []uint16{40000, 40000}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{ports: c.ports, serve: c.first}
				if n.serve == nil {
					n.serve = late()
				}
				client := &tftp.Client{Listen: n.listen}
				client.Get(t.Context(), serverAt.String(), listName, 1<<20)
				time.Sleep(c.wait)
				n.serve = c.second
				got, err := client.Get(t.Context(), serverAt.String(), configName, 1<<20)
				if err != nil || string(got) != "the configuration" {
					t.Errorf("got %q, %v", got, err)
				}
				if len(n.wires) != c.opened || n.open != 0 || n.most != 1 {
					t.Errorf("%d sockets opened, %d at once, %d left; want %d", len(n.wires), n.most, n.open, c.opened)
				}
			})
		})
	}
}

// A server that answers from the port it was asked at does so again: a local port that it
// has answered rests for it.
func TestServerWithOnePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &files{file: "the list", tid: serverAt}
		n := &network{ports: []uint16{40000, 40000, 40001}, serve: f.serve}
		client := &tftp.Client{Listen: n.listen}
		for range 2 {
			if got, err := client.Get(t.Context(), serverAt.String(), listName, 100); err != nil || string(got) != f.file {
				t.Errorf("got %q, %v", got, err)
			}
		}
		if len(n.wires) != 3 {
			t.Errorf("%d sockets opened, want 3: the second on a port that rests", len(n.wires))
		}
	})
}

// Where every port rests, a transfer waits for one, and ends with its context.
func TestNoPortLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{ports: make([]uint16, 1<<20), serve: nothing} // port 0 for all
		client := &tftp.Client{Listen: n.listen}
		if _, err := client.Get(t.Context(), serverAt.String(), listName, 100); !errors.Is(err, tftp.ErrNoAnswer) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := client.Get(ctx, serverAt.String(), listName, 100)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "late packets") || time.Since(begin) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		n.serve = (&files{file: "the list", tid: firstTID}).serve
		begin = time.Now()
		got, err := client.Get(t.Context(), serverAt.String(), listName, 100)
		if err != nil || string(got) != "the list" || time.Since(begin) < 50*time.Second {
			t.Errorf("%q, %v after %v; want it once the port is free", got, err, time.Since(begin))
		}
		if n.most != 1 || n.open != 0 {
			t.Errorf("%d sockets at once, %d left", n.most, n.open)
		}
	})
}
