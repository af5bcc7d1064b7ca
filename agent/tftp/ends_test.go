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

// Servers that never stop talking cost a bounded number of packets and a bounded time.
func TestEndless(t *testing.T) {
	always := func(from netip.AddrPort, p string) func() datagram {
		return func() datagram { return datagram{from, p} }
	}
	for _, c := range []struct {
		name  string
		ask   tftp.Options
		serve func(w *wire, to netip.AddrPort, b string)
		flood func() datagram
		reads int // at most
		want  bool
	}{
		{"OACK, not asked for", tftp.Options{}, nothing, always(firstTID, oack("blksize", "512")), 1700, false},
		{"OACK", everyOpt, nothing, always(firstTID, oack("tsize", "5", "blksize", "1024")), 100, false},
		{"the same block", tftp.Options{}, nothing, always(firstTID, data(1, list[:512])), 100, false},
		{"malformed packets", tftp.Options{}, nothing, always(firstTID, "x"), 1700, false},
		{"malformed packets of the peer", tftp.Options{}, say(data(1, list[:512])), always(firstTID, "x"), 100, false},
		{"blocks of another transfer", tftp.Options{}, nothing, always(firstTID, data(9, "x")), 1700, false},
		{"strangers, and no server", tftp.Options{}, nothing, always(stranger, data(1, "x")), 1700, false},
		{"strangers, and the server", tftp.Options{}, with(list, "", nothing), always(stranger, data(1, "x")), 100, true},
		{"another port, and the server", tftp.Options{}, with(list, "", nothing), always(otherTID, oack("x", "y")), 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				n := &network{serve: c.serve, flood: c.flood}
				got, err := get(t, n, c.ask, 1<<20)
				w := n.wires[0]
				if (err == nil && string(got) == list) != c.want {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if took := time.Since(begin); took > tftp.Tries*tftp.Resend || w.reads > c.reads || len(w.sent) > 20 {
					t.Errorf("%d packets read and %d sent in %v; want at most %d, 20, %v", w.reads, len(w.sent), took, c.reads, tftp.Tries*tftp.Resend)
				}
				t.Logf("%d packets read, %d sent, %v: %v", w.reads, len(w.sent), time.Since(begin), err)
			})
		})
	}
}

// A server that keeps a transfer just alive ends it no later than TotalTime, and a
// context ends it at once, whatever it waits for. The peer is told.
func TestEnds(t *testing.T) {
	crawl := func(w *wire, to netip.AddrPort, b string) {
		switch {
		case to == serverAt:
			w.say(firstTID, data(1, list[:512]))
		case strings.HasPrefix(b, "\x00\x04"):
			w.sayAfter(tftp.Resend-time.Millisecond, firstTID, data(int(b[2])<<8+int(b[3])+1, list[:512]))
		}
	}
	for _, c := range []struct {
		name  string
		serve func(w *wire, to netip.AddrPort, b string)
		flood func() datagram
		after time.Duration // the caller's context; 0: none
		took  time.Duration
		err   error
		told  bool
	}{
		{"total time", crawl, nil, 0, tftp.TotalTime, context.DeadlineExceeded, true},
		{"deadline in a transfer", crawl, nil, 1234 * time.Millisecond, 1234 * time.Millisecond, context.DeadlineExceeded, true},
		{"deadline before an answer", nothing, nil, 321 * time.Millisecond, 321 * time.Millisecond, context.DeadlineExceeded, false},
		{"deadline among strangers", nothing, func() datagram { return datagram{stranger, "x"} }, 321 * time.Millisecond, 321 * time.Millisecond, context.DeadlineExceeded, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{serve: c.serve, flood: c.flood}
				client := &tftp.Client{Listen: n.listen}
				ctx := t.Context()
				if c.after != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.after)
					defer cancel()
				}
				begin := time.Now()
				_, err := client.Get(ctx, serverAt.String(), listName, 1<<20)
				if took := time.Since(begin); !errors.Is(err, c.err) || took != c.took {
					t.Errorf("%v after %v, want %v after %v", err, took, c.err, c.took)
				}
				if n.open != 0 || n.most != 1 {
					t.Errorf("%d sockets at once, %d left open", n.most, n.open)
				}
				last := n.wires[0].sent[len(n.wires[0].sent)-1]
				if told := strings.HasPrefix(last.data, "\x00\x05\x00\x00") && last.at == firstTID; told != c.told {
					t.Errorf("the last packet is %v", last)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		n := &network{serve: with(list, "", nothing)}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := (&tftp.Client{Listen: n.listen}).Get(ctx, serverAt.String(), listName, 1<<20); !errors.Is(err, context.Canceled) || n.open != 0 {
			t.Errorf("%v, %d sockets open; want %v and none", err, n.open, context.Canceled)
		}
	})
}
