package boot

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/logger"
	"itlagent/agent/tvs"
)

// Network is the Transport of a phone that has a network. It is safe for concurrent use.
type Network struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TFTP gets a file from "host:port"; nil leaves HTTP alone. fetch.PlainTFTP is one.
	TFTP     func(ctx context.Context, address, name string, limit int) ([]byte, error)
	PerFile  time.Duration           // a file from one server; fetch.DefaultPerServer where 0
	Identity func() *tls.Certificate // that the phone shows; nil shows none
	Log      logger.Logger
}

// File implements Transport: by HTTPS where that is to be tried, by HTTP, then by TFTP.
func (n *Network) File(ctx context.Context, server, name string, limit int, secure *fetch.Secure) (fetch.File, error) {
	return n.client().One(ctx, server, name, limit, secure)
}

// Page gets a page of a service from "host:port", over TLS where secure is not nil.
func (n *Network) Page(ctx context.Context, address, path string, secure *fetch.Secure, limit int) ([]byte, error) {
	return n.client().Page(ctx, address, path, secure, limit)
}

func (n *Network) client() *fetch.Client {
	return &fetch.Client{Dial: n.Dial, TFTP: n.TFTP, PerServer: n.PerFile, Logf: n.Log.Debugf}
}

// AskTVS implements Transport.
func (n *Network) AskTVS(ctx context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error) {
	c := tvs.Client{Dial: n.Dial, Logf: n.Log.Debugf}
	if n.Identity != nil {
		c.Certificate = n.Identity()
	}
	return c.Once(ctx, server, req, check)
}
