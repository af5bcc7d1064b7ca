// Package tftp gets files by TFTP from servers that may be anything: slow, broken or
// hostile.
//
//	c := &tftp.Client{Ask: tftp.Phone()}
//	data, err := c.Get(ctx, "192.0.2.1:69", "ITLSEP64A0E71502CC.tlv", 65535)
//
// It reads in octet mode and does not write. A transfer ends with its context, after
// TotalTime, after Tries unanswered packets, or once the server repeats itself; it has
// one socket, and none after its end. It holds a file once, and never more of it than
// the caller's limit.
//
// Whose packets count. The first answer that fits the request and comes from the asked
// host's address fixes the peer, address and port, until the end. What others send is
// dropped: it ends no transfer, and cannot cost more than a little time. Options count
// only if they were asked for and are in range, in one OACK, as the first answer.
//
// Why no other transfer's file is taken. TFTP ties an answer to its request by the
// client's port alone. A packet of an earlier transfer that arrives late, on a port that
// is in use again, is told by the port that it comes from; where that port cannot be
// known, the local port is not used again until servers have given up (ports.go). This
// holds between the transfers of one Client, so a program has one. It does not hold
// against a host that forges the server's address, nor against the late packets of
// another program or of a Client before it, which had the same address and by chance the
// same port: there is nothing in RFC 1350 that would tell them. Options narrow that down
// (the OACK has to fit, and the size has to be the announced one); the signature of a
// file and the names in it decide in the end.
//
// A Client is safe for concurrent use; its zero value asks for no options and uses the
// network of the machine. Sources: RFC 1350, and RFC 2347, 2348, 2349 and 7440 for
// options.
package tftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNotFound: the server's first answer was that it has no such file (code 1).
	ErrNotFound = errors.New("file not found")
	// ErrTooLarge: the file exceeds the caller's limit, or would, by its announced size.
	ErrTooLarge = errors.New("file too large")
	// ErrName: the name cannot stand in a request.
	ErrName = errors.New("invalid file name")
	// ErrNoAnswer: Tries packets went out, and nothing came that was an answer.
	ErrNoAnswer = errors.New("no answer")
)

// Client gets files from any number of servers.
type Client struct {
	// Listen opens a UDP socket for one transfer, on a port chosen at random and every
	// address; network is "udp4" or "udp6". Its addresses are *net.UDPAddr. nil: one of
	// the machine.
	Listen func(ctx context.Context, network string) (net.PacketConn, error)
	Ask    Options // what requests ask for; Phone has what phones do

	ports ports
}

// portTries is how many sockets are opened in search of a port on which no late packet
// can be mistaken, before the search waits for ports to be free again. With nine of ten
// ports resting, one search in 10^5 waits.
const portTries = 128

// farewell bounds the sending of the last ERROR when the context has ended already.
const farewell = 10 * time.Millisecond

var errTooLong = fmt.Errorf("longer than %v: %w", TotalTime, context.DeadlineExceeded)

// Get returns the file of at most limit bytes that the server at address, "host:port",
// has under the name. Errors are those above, the context's, and for people.
func (c *Client) Get(ctx context.Context, address, name string, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, TotalTime, errTooLong)
	defer cancel()
	server, err := resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	t, err := newTransfer(server, name, limit, c.Ask)
	if err != nil {
		return nil, err
	}
	conn, port, err := c.open(ctx, t)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer func() { c.ports.ended(port, t.onlyPeer(), time.Now()) }() // before another can have the port

	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		conn.SetDeadline(time.Unix(1, 0))
	})
	err = t.run(ctx, conn)
	if !stop() {
		<-woken
	}
	if err != nil {
		t.leave(conn, err)
		return nil, err
	}
	return t.data, nil
}

// resolve returns the address that is asked; of a name's addresses, an IPv4 one first.
func resolve(ctx context.Context, address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("invalid port %.20q", port)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return netip.AddrPort{}, err
		}
		i := max(0, slices.IndexFunc(all, func(a netip.Addr) bool { return a.Unmap().Is4() }))
		ip = all[i]
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// open returns a socket, with its port, on which the transfer can tell its own packets.
func (c *Client) open(ctx context.Context, t *transfer) (net.PacketConn, uint16, error) {
	network := "udp4"
	if t.server.Addr().Is6() {
		network = "udp6"
	}
	listen := c.Listen
	if listen == nil {
		listen = func(ctx context.Context, network string) (net.PacketConn, error) {
			return new(net.ListenConfig).ListenPacket(ctx, network, ":0")
		}
	}
	for try := 1; ; try++ {
		conn, err := listen(ctx, network)
		if err != nil {
			return nil, 0, err
		}
		here, ok := conn.LocalAddr().(*net.UDPAddr)
		if !ok {
			conn.Close()
			return nil, 0, fmt.Errorf("local address %v is none of UDP", conn.LocalAddr())
		}
		port := uint16(here.Port)
		if t.late, ok = c.ports.free(port, t.server, time.Now()); ok {
			return conn, port, nil
		}
		conn.Close()
		if try%portTries == 0 {
			pause(ctx, Resend)
		}
		if err := context.Cause(ctx); err != nil {
			return nil, 0, fmt.Errorf("late packets may come to every local port: %w", err)
		}
	}
}

// run carries the transfer out.
func (t *transfer) run(ctx context.Context, conn net.PacketConn) error {
	buf := make([]byte, t.bufferSize())
	strays := 0
	if err := t.send(ctx, conn); err != nil {
		return err
	}
	for tries := 1; ; {
		n, from, err := read(conn, buf)
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &timeout) && timeout.Timeout():
			if tries++; tries > Tries {
				return t.noAnswer()
			}
			if err := t.send(ctx, conn); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		r, err := t.receive(from, buf[:n])
		switch {
		case err != nil:
			return err
		case r.complain != nil:
			conn.WriteTo(r.complain, net.UDPAddrFromAddrPort(from))
		case r.fresh && !r.send:
			err = wait(ctx, conn)
		case r.fresh:
			err = t.send(ctx, conn)
		case r.send: // once more, and not for a longer wait
			_, err = conn.WriteTo(t.packet(), net.UDPAddrFromAddrPort(t.to()))
		}
		if err != nil || r.done {
			return err
		}
		if r.fresh {
			tries = 1
		}
		if r.stray {
			if strays++; strays%strayBurst == 0 {
				pause(ctx, strayPause)
			}
		}
	}
}

// send sends what is to be sent, and begins the wait for the answer.
func (t *transfer) send(ctx context.Context, conn net.PacketConn) error {
	if _, err := conn.WriteTo(t.packet(), net.UDPAddrFromAddrPort(t.to())); err != nil {
		return err
	}
	return wait(ctx, conn)
}

// wait sets the time by which a packet has to come. The end of the context sets one that
// has passed; whichever of the two comes last here, the end is seen.
func wait(ctx context.Context, conn net.PacketConn) error {
	if err := conn.SetReadDeadline(time.Now().Add(Resend)); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// read returns a datagram and its sender; a sender of another kind than UDP's is none.
func read(conn net.PacketConn, buf []byte) (int, netip.AddrPort, error) {
	n, addr, err := conn.ReadFrom(buf)
	from, ok := addr.(*net.UDPAddr)
	if err != nil || !ok {
		return n, netip.AddrPort{}, err
	}
	at := from.AddrPort()
	return n, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// leave tells the peer that the transfer has ended, so that it does not go on sending. A
// peer that said so itself is not told.
func (t *transfer) leave(conn net.PacketConn, why error) {
	var a *abort
	code := uint16(codeOther)
	if errors.As(why, &a) {
		code = a.code
	}
	if !t.peer.IsValid() || t.over {
		return
	}
	conn.SetWriteDeadline(time.Now().Add(farewell))
	conn.WriteTo(errorPacket(code, "transfer ended"), net.UDPAddrFromAddrPort(t.peer))
}
