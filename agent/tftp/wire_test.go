package tftp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	serverAt = netip.MustParseAddrPort("192.0.2.1:69")
	firstTID = netip.MustParseAddrPort("192.0.2.1:4000")
	otherTID = netip.MustParseAddrPort("192.0.2.1:4001")
	stranger = netip.MustParseAddrPort("198.51.100.9:4000")
)

type datagram struct {
	at   netip.AddrPort // who sent it, or to whom it went
	data string
}

func (d datagram) String() string { return fmt.Sprintf("%v: %.60q", d.at, d.data) }

// wire is the client's socket and everything behind it: serve gets what the client sends.
// It models a UDP socket: no order is promised but that of arrival, a read with a deadline
// that has passed gets nothing, and a full buffer drops what comes.
type wire struct {
	port  uint16
	serve func(w *wire, to netip.AddrPort, b string)
	flood func() datagram // if not nil, comes whenever the client reads and nothing else is there

	mu       sync.Mutex
	queue    []datagram
	sent     []datagram
	reads    int // datagrams that the client has read
	deadline time.Time
	changed  chan struct{}
	closed   bool
	onClose  func()
}

const bufferDatagrams = 256 // about what a socket of Linux holds of small ones

func (w *wire) wake() {
	if w.changed != nil {
		close(w.changed)
	}
	w.changed = make(chan struct{})
}

// say sends the client a datagram.
func (w *wire) say(from netip.AddrPort, b ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) < bufferDatagrams && !w.closed {
		w.queue = append(w.queue, datagram{from, strings.Join(b, "")})
		w.wake()
	}
}

// sayAfter says it later.
func (w *wire) sayAfter(d time.Duration, from netip.AddrPort, b ...string) {
	time.AfterFunc(d, func() { w.say(from, b...) })
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		w.mu.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed, deadline := w.changed, w.deadline
		left := time.Until(deadline)
		switch {
		case w.closed:
			w.mu.Unlock()
			return 0, nil, net.ErrClosed
		case !deadline.IsZero() && left <= 0:
			w.mu.Unlock()
			return 0, nil, os.ErrDeadlineExceeded
		case len(w.queue) == 0 && w.flood != nil:
			w.queue = append(w.queue, w.flood())
		}
		if len(w.queue) > 0 {
			d := w.queue[0]
			w.queue = w.queue[1:]
			w.reads++
			w.mu.Unlock()
			return copy(b, d.data), net.UDPAddrFromAddrPort(d.at), nil
		}
		w.mu.Unlock()
		var over <-chan time.Time
		if !deadline.IsZero() {
			over = time.After(left)
		}
		select {
		case <-changed:
		case <-over:
		}
	}
}

func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	w.mu.Lock()
	closed := w.closed
	at := to.(*net.UDPAddr).AddrPort()
	w.sent = append(w.sent, datagram{at, string(b)})
	w.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	if w.serve != nil {
		w.serve(w, at, string(b))
	}
	return len(b), nil
}

func (w *wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	w.closed = true
	w.wake()
	if w.onClose != nil {
		w.onClose()
	}
	return nil
}

func (w *wire) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4zero, Port: int(w.port)} }

func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	w.wake()
	return nil
}

func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) SetDeadline(t time.Time) error    { return w.SetReadDeadline(t) }

// network gives sockets out, and counts those that are open.
type network struct {
	mu         sync.Mutex
	ports      []uint16 // of the next sockets; then from 30000 on
	next       uint16
	serve      func(w *wire, to netip.AddrPort, b string)
	flood      func() datagram
	wires      []*wire
	open, most int
}

func (n *network) listen(_ context.Context, kind string) (net.PacketConn, error) {
	if kind != "udp4" {
		return nil, errors.New("not the family of the server: " + kind)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &wire{port: 30000 + n.next, serve: n.serve, flood: n.flood}
	n.next++
	if len(n.ports) > 0 {
		w.port, n.ports = n.ports[0], n.ports[1:]
	}
	w.onClose = func() { n.mu.Lock(); n.open--; n.mu.Unlock() }
	n.open++
	n.most = max(n.most, n.open)
	n.wires = append(n.wires, w)
	return w, nil
}

// Packets.

func data(block int, b string) string {
	return string(binary.BigEndian.AppendUint16([]byte{0, 3}, uint16(block))) + b
}

func ack(block int) string { return string(binary.BigEndian.AppendUint16([]byte{0, 4}, uint16(block))) }

func fail(code int, text string) string {
	return string(binary.BigEndian.AppendUint16([]byte{0, 5}, uint16(code))) + text + "\x00"
}

func oack(options ...string) string { return "\x00\x06" + strings.Join(options, "\x00") + "\x00" }

func rrq(name string, options ...string) string {
	return "\x00\x01" + name + "\x00octet\x00" + strings.Join(append(options, ""), "\x00")
}

// files is a server that does everything right: RFC 1350 and its options, each in the
// answer only if the server knows it. It keeps one transfer, the last that was asked for.
type files struct {
	file   string
	tid    netip.AddrPort
	knows  string // names of options, in the order of its answer
	blocks int    // that were acknowledged, and counted past 65535
	size   int
	window int
}

func (f *files) serve(w *wire, to netip.AddrPort, b string) {
	switch {
	case strings.HasPrefix(b, "\x00\x01") && to == serverAt:
		f.size, f.window = 512, 1
		var answer []string
		asked := strings.Split(b, "\x00")
		for i := 3; i+1 < len(asked); i += 2 {
			name, value := asked[i], asked[i+1]
			if !strings.Contains(f.knows, name) {
				continue
			}
			switch name {
			case "blksize":
				f.size, _ = strconv.Atoi(value)
			case "windowsize":
				f.window, _ = strconv.Atoi(value)
			case "tsize":
				value = strconv.Itoa(len(f.file))
			}
			answer = append(answer, name, value)
		}
		if len(answer) > 0 {
			w.say(f.tid, oack(answer...))
			return
		}
		f.say(w, 1)
	case strings.HasPrefix(b, "\x00\x04") && to == f.tid:
		f.after(w, int(binary.BigEndian.Uint16([]byte(b[2:]))))
	}
}

// after sends what follows an acknowledged block. Its number has 16 bits; the count that
// is nearest to the one so far is meant.
func (f *files) after(w *wire, acked int) {
	for f.blocks-acked >= 1<<15 {
		acked += 1 << 16
	}
	f.blocks = acked
	for i := range f.window {
		f.say(w, acked+1+i)
	}
}

func (f *files) say(w *wire, block int) {
	from := (block - 1) * f.size
	if from > len(f.file) {
		return
	}
	w.say(f.tid, data(block, f.file[from:min(from+f.size, len(f.file))]))
}
