package tftp_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/tftp"
)

const listName = "ITLSEP64A0E71502CC.tlv"

var (
	list     = strings.Repeat("0123456789abcdef", 331) // 5,296 bytes: 11 blocks
	exact    = list[:1024]                             // a multiple of the block: an empty block ends it
	everyOpt = tftp.Options{BlockSize: 1024, Timeout: 1, Size: true, Window: 4}
)

// get gets the list from a network in memory.
func get(t *testing.T, n *network, ask tftp.Options, limit int) ([]byte, error) {
	t.Helper()
	c := &tftp.Client{Listen: n.listen, Ask: ask}
	got, err := c.Get(t.Context(), serverAt.String(), listName, limit)
	if n.open != 0 || n.most > 1 {
		t.Errorf("%d sockets at once, %d left open", n.most, n.open)
	}
	return got, err
}

// say answers every request with the packets, from the first transfer ID.
func say(packets ...string) func(*wire, netip.AddrPort, string) {
	return func(w *wire, to netip.AddrPort, b string) {
		if strings.HasPrefix(b, "\x00\x01") {
			for _, p := range packets {
				w.say(firstTID, p)
			}
		}
	}
}

// with is the server of the list, and something done before it hears a packet.
func with(file, knows string, before func(w *wire, to netip.AddrPort, b string)) func(*wire, netip.AddrPort, string) {
	f := &files{file: file, knows: knows, tid: firstTID}
	return func(w *wire, to netip.AddrPort, b string) {
		before(w, to, b)
		f.serve(w, to, b)
	}
}

func nothing(*wire, netip.AddrPort, string) {}

// lossy drops each packet of the client once before the server hears it.
func lossy(next func(*wire, netip.AddrPort, string)) func(*wire, netip.AddrPort, string) {
	seen := map[string]bool{}
	return func(w *wire, to netip.AddrPort, b string) {
		if !seen[b] {
			seen[b] = true
			return
		}
		next(w, to, b)
	}
}

// doubled hears everything twice.
func doubled(next func(*wire, netip.AddrPort, string)) func(*wire, netip.AddrPort, string) {
	return func(w *wire, to netip.AddrPort, b string) { next(w, to, b); next(w, to, b) }
}

var errAny = errors.New("any")

func TestGet(t *testing.T) {
	const limit = 6000
	const gaveUp = tftp.Tries * tftp.Resend
	big := strings.Repeat("x", limit+1)
	for _, c := range []struct {
		name  string
		ask   tftp.Options
		serve func(w *wire, to netip.AddrPort, b string)
		want  string
		err   error
		took  time.Duration
		sent  int // packets of the client; 0: not looked at
	}{
		{name: "plain", serve: with(list, "", nothing), want: list, sent: 1 + 11},
		{name: "empty file", serve: with("", "", nothing), sent: 2},
		{name: "one byte", serve: with("a", "", nothing), want: "a", sent: 2},
		{name: "511 bytes", serve: with(list[:511], "", nothing), want: list[:511], sent: 2},
		{name: "a multiple of the block", serve: with(exact, "", nothing), want: exact, sent: 1 + 3},
		{name: "exactly the limit", serve: with(big[:limit], "", nothing), want: big[:limit]},
		{name: "one byte more than the limit", serve: with(big, "", nothing), err: tftp.ErrTooLarge},
		{name: "every option", ask: everyOpt, serve: with(list, "blksize timeout tsize windowsize", nothing), want: list, sent: 1 + 1 + 2},
		{name: "options, an empty file", ask: everyOpt, serve: with("", "blksize tsize", nothing)},
		{name: "some options", ask: everyOpt, serve: with(list, "tsize", nothing), want: list},
		{name: "options ignored", ask: everyOpt, serve: with(list, "", nothing), want: list, sent: 1 + 11},
		{name: "window alone", ask: tftp.Options{Window: 3}, serve: with(list, "windowsize", nothing), want: list, sent: 1 + 1 + 4},
		{name: "tsize over the limit, no data sent", ask: tftp.Options{Size: true}, serve: with(big, "tsize", nothing), err: tftp.ErrTooLarge, sent: 2},
		{name: "tsize of 2^62", ask: tftp.Options{Size: true}, serve: say(oack("tsize", "4611686018427387904")), err: tftp.ErrTooLarge, sent: 2},

		{name: "not found", serve: say(fail(1, "File not found")), err: tftp.ErrNotFound, sent: 1},
		{name: "not found, later", serve: func(w *wire, to netip.AddrPort, b string) {
			if say(data(1, list[:512]))(w, to, b); b == ack(1) {
				w.say(firstTID, fail(1, "File not found"))
			}
		}, err: errAny, sent: 2},
		{name: "refused", serve: say(fail(2, "Access violation")), err: errAny, sent: 1},
		{name: "error without NUL", serve: say("\x00\x05\x00\x01gone"), err: tftp.ErrNotFound},
		{name: "options refused", ask: everyOpt, serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if strings.Contains(b, "tsize") {
				w.say(otherTID, fail(8, "no options here"))
			}
		}), want: list},
		{name: "silence", serve: nothing, err: tftp.ErrNoAnswer, took: gaveUp, sent: tftp.Tries},
		{name: "every packet lost once", serve: lossy(with(list, "", nothing)), want: list, took: 11 * tftp.Resend, sent: 2*11 + 1},
		{name: "every packet lost once, with a window", ask: tftp.Options{Window: 3}, serve: lossy(with(list, "windowsize", nothing)), want: list, took: 5 * tftp.Resend},
		{name: "every packet twice", serve: doubled(with(list, "", nothing)), want: list},
		{name: "every packet twice, with options", ask: everyOpt, serve: doubled(with(list, "blksize tsize windowsize", nothing)), want: list},
		{name: "falls silent", serve: say(data(1, list[:512])), err: tftp.ErrNoAnswer, took: gaveUp},

		{name: "short block in the middle ends it", serve: say(data(1, "short"), data(2, list[:512])), want: "short", sent: 2},
		{name: "block over its size", serve: say(data(1, list[:513])), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "begins with block 2", serve: say(data(2, list[:512])), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "begins with block 0", serve: say(data(0, list[:512])), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blocks jump", serve: say(data(1, list[:512]), data(3, "end")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "malformed first", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if strings.HasPrefix(b, "\x00\x01") {
				for _, p := range []string{"", "\x00", "\x00\x03", "\x00\x03\x00", "\x00\x05\x00", "\x00\x06", "\x00\x06blksize", "\x00\x06blksize\x00", "\x00\x06blksize\x00512", "\x00\x06\x00\x00", "\x00\x04\x00\x00", "\x00\x07\x00\x00", "\x03\x00\x00\x01x", rrq("x")} {
					w.say(firstTID, p)
				}
			}
		}), want: list},
		{name: "malformed in between", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if b == ack(5) {
				w.say(firstTID, "")
				w.say(firstTID, "\x00\x03")
				w.say(firstTID, "GET / HTTP/1.1\r\n\r\n")
				w.say(firstTID, data(6, list)) // larger than a block
			}
		}), want: list},

		{name: "OACK that was not asked for", serve: say(oack("blksize", "512")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "OACK with one that was not", ask: tftp.Options{Size: true}, serve: say(oack("tsize", "5", "blksize", "512")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "OACK with an unknown one", ask: everyOpt, serve: say(oack("tsize", "5", "multicast", "1")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "OACK with one twice", ask: everyOpt, serve: say(oack("tsize", "5", "tsize", "5")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "OACK with none", ask: everyOpt, serve: say("\x00\x06"), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blksize above what was asked", ask: everyOpt, serve: say(oack("blksize", "1025")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blksize 511", ask: everyOpt, serve: say(oack("blksize", "511")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blksize 0", ask: everyOpt, serve: say(oack("blksize", "0")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blksize -1", ask: everyOpt, serve: say(oack("blksize", "-1")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blksize of 2^32+1024", ask: everyOpt, serve: say(oack("blksize", "4294968320")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "blksize in words", ask: everyOpt, serve: say(oack("blksize", "many")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "timeout 2", ask: everyOpt, serve: say(oack("timeout", "2")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "windowsize 0", ask: everyOpt, serve: say(oack("windowsize", "0")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "windowsize 5", ask: everyOpt, serve: say(oack("windowsize", "5")), err: tftp.ErrNoAnswer, took: gaveUp},
		{name: "name of an option in capitals", ask: tftp.Options{Size: true}, serve: func(w *wire, to netip.AddrPort, b string) {
			if say(oack("TSIZE", "3"))(w, to, b); b == ack(0) {
				w.say(firstTID, data(1, "abc"))
			}
		}, want: "abc"},
		{name: "OACK after DATA", ask: everyOpt, serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if b == ack(3) {
				w.say(firstTID, oack("tsize", "3"))
			}
		}), want: list},
		{name: "another OACK behind the first", ask: everyOpt, serve: with(list, "tsize", func(w *wire, to netip.AddrPort, b string) {
			if b == ack(0) {
				w.say(firstTID, oack("tsize", "3"))
			}
		}), want: list},
		{name: "more than announced", ask: tftp.Options{Size: true}, serve: func(w *wire, to netip.AddrPort, b string) {
			if say(oack("tsize", "3"))(w, to, b); b == ack(0) {
				w.say(firstTID, data(1, "abcd"))
			}
		}, err: errAny, sent: 3},
		{name: "less than announced", ask: tftp.Options{Size: true}, serve: func(w *wire, to netip.AddrPort, b string) {
			if say(oack("tsize", "3"))(w, to, b); b == ack(0) {
				w.say(firstTID, data(1, "ab"))
			}
		}, err: errAny, sent: 3},

		{name: "strangers before every packet", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			for _, p := range []string{data(1, "evil"), fail(1, "gone"), oack("blksize", "512"), "", "junk"} {
				w.say(stranger, p)
			}
		}), want: list, sent: 1 + 11, took: 50 * time.Millisecond}, // 60 packets: one pause
		{name: "other ports of the server", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if b != rrq(listName) {
				for _, p := range []string{data(1, "evil"), fail(1, "gone"), oack("blksize", "512"), "", "junk"} {
					w.say(otherTID, p)
				}
			}
		}), want: list, sent: 1 + 11 + 4, took: 100 * time.Millisecond}, // complaints are answered too: 75 packets
		{name: "a block of another transfer first", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if b == rrq(listName) {
				w.say(otherTID, data(7, list[:512]))
			}
		}), want: list},
		{name: "a block of another transfer first, from the peer's port", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			w.say(firstTID, data(40000, list[:512]))
		}), want: list, sent: 1 + 11},
		{name: "a second answer to one request", serve: with(list, "", func(w *wire, to netip.AddrPort, b string) {
			if b == ack(1) {
				w.say(otherTID, data(1, list[:512]))
			}
		}), want: list, sent: 1 + 11 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				n := &network{serve: c.serve}
				got, err := get(t, n, c.ask, limit)
				switch {
				case c.err != nil && (err == nil || c.err != errAny && !errors.Is(err, c.err)):
					t.Fatalf("error %v, want %v", err, c.err)
				case c.err == errAny && (errors.Is(err, tftp.ErrNotFound) || errors.Is(err, tftp.ErrNoAnswer)):
					t.Fatalf("error %v, want one of neither kind", err)
				case c.err == nil && err != nil:
					t.Fatal(err)
				case string(got) != c.want:
					t.Errorf("got %d bytes, want %d", len(got), len(c.want))
				}
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if sent := len(n.wires[0].sent); c.sent != 0 && sent != c.sent {
					t.Errorf("%d packets sent, want %d: %v", sent, c.sent, n.wires[0].sent)
				}
			})
		})
	}
}

// A request has no options unless they are asked for, and then those alone.
func TestRequestBytes(t *testing.T) {
	for _, c := range []struct {
		ask  tftp.Options
		want string
	}{
		{tftp.Phone(), "\x00\x01ITLSEP64A0E71502CC.tlv\x00octet\x00"},
		{tftp.Options{Size: true}, "\x00\x01ITLSEP64A0E71502CC.tlv\x00octet\x00tsize\x000\x00"},
		{everyOpt, "\x00\x01ITLSEP64A0E71502CC.tlv\x00octet\x00tsize\x000\x00blksize\x001024\x00timeout\x001\x00windowsize\x004\x00"},
	} {
		n := &network{serve: say(fail(1, "no"))}
		if _, err := get(t, n, c.ask, 1); !errors.Is(err, tftp.ErrNotFound) {
			t.Errorf("%+v: %v", c.ask, err)
		}
		if got := n.wires[0].sent[0]; got != (datagram{serverAt, c.want}) {
			t.Errorf("%+v: sent %v, want %q", c.ask, got, c.want)
		}
	}
}

func TestInvalid(t *testing.T) {
	n := &network{}
	c := &tftp.Client{Listen: n.listen}
	for _, address := range []string{"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:tftp", "192.0.2.1:-1"} {
		if _, err := c.Get(t.Context(), address, listName, 1); err == nil {
			t.Errorf("address %q: no error", address)
		}
	}
	for _, name := range []string{"", "a\x00b", strings.Repeat("a", 504)} {
		if _, err := c.Get(t.Context(), serverAt.String(), name, 1); !errors.Is(err, tftp.ErrName) {
			t.Errorf("name of %d bytes: %v, want %v", len(name), err, tftp.ErrName)
		}
	}
	for _, ask := range []tftp.Options{{BlockSize: 7}, {BlockSize: 65465}, {BlockSize: -1}, {Timeout: 256}, {Timeout: -1}, {Window: 65536}, {Window: -1}} {
		c := &tftp.Client{Listen: n.listen, Ask: ask}
		if _, err := c.Get(t.Context(), serverAt.String(), listName, 1); err == nil {
			t.Errorf("%+v: no error", ask)
		}
	}
	if len(n.wires) != 0 {
		t.Errorf("%d sockets opened", len(n.wires))
	}
}

// What a server says reaches the error's text harmless and short.
func TestErrorTexts(t *testing.T) {
	n := &network{serve: say(fail(2, "no\x1b[2J\r\n\u202e"+strings.Repeat("a", 400)))}
	_, err := get(t, n, tftp.Options{}, 1)
	if want := `no\x1b[2J\r\n\u202ea`; err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 200 {
		t.Errorf("%v; want %s in it, and at most 200 bytes", err, want)
	}
}

// Block numbers go on with 0 behind 65535.
func TestWrap(t *testing.T) {
	for _, ask := range []tftp.Options{{BlockSize: 8}, {BlockSize: 8, Window: 64}} {
		synctest.Test(t, func(t *testing.T) {
			file := make([]byte, 8*(2<<16+3)+5)
			for i := range file {
				file[i] = byte(i * i >> 8)
			}
			n := &network{serve: with(string(file), "blksize windowsize", nothing)}
			got, err := get(t, n, ask, len(file))
			if err != nil || !bytes.Equal(got, file) {
				t.Errorf("%+v: %d bytes, %v; want %d", ask, len(got), err, len(file))
			}
		})
	}
}

// A block lost in a window is asked for once, at once.
func TestWindowGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := false
		f := &files{file: list, knows: "windowsize", tid: firstTID}
		n := &network{serve: func(w *wire, to netip.AddrPort, b string) {
			if b == ack(4) && !lost {
				lost = true // blocks 5, 7 and 8 arrive, 6 does not
				for _, i := range []int{5, 7, 8} {
					f.say(w, i)
				}
				return
			}
			f.serve(w, to, b)
		}}
		begin := time.Now()
		got, err := get(t, n, tftp.Options{Window: 4}, len(list))
		if err != nil || string(got) != list || time.Since(begin) != 0 {
			t.Fatalf("%d bytes, %v, after %v; want %d at once", len(got), err, time.Since(begin), len(list))
		}
		asked := 0
		for _, d := range n.wires[0].sent {
			if d.data == ack(5) {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("block 5 acknowledged %d times, want once", asked)
		}
	})
}
