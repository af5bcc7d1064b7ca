package broker

import (
	"context"
	"io"
	"net"

	"itlagent/platform/serial/rfc2217"
)

// ServeRFC2217 serves clients of RFC 2217 over a listener. They read what comes from
// then on; what they write counts where nobody else has the token.
func (b *Broker) ServeRFC2217(l net.Listener) {
	b.each(l, func(conn net.Conn) {
		c, err := b.join("rfc2217 client "+conn.RemoteAddr().String(), conn)
		if err != nil {
			conn.Close()
			return
		}
		s := rfc2217.NewServer(conn, port{b, c})
		b.pass(c, s)
	})
}

// Attach passes bytes between the line and another program's end, such as a pty, until
// that or the broker ends.
func (b *Broker) Attach(name string, end io.ReadWriteCloser) error {
	c, err := b.join(name, end)
	if err != nil {
		end.Close()
		return err
	}
	b.pass(c, end)
	return nil
}

// pass is a client that knows nothing of the broker.
func (b *Broker) pass(c *client, end io.ReadWriteCloser) {
	defer b.leave(c)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		defer end.Close()
		at, _ := b.log.joined(0)
		buf := make([]byte, 32<<10)
		for {
			n, err := b.log.next(buf, at, c.gone)
			at += int64(n)
			if _, werr := end.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, err := end.Read(buf)
		if n > 0 {
			port{b, c}.write(ctx, buf[:n]) // what is refused is lost, as on a line without a cable
		}
		if err != nil {
			return
		}
	}
}
