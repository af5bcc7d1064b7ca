// Package register keeps a phone registered with a call manager by SIP or SCCP, and hears
// what the call manager tells it: reset, restart, check-version, apply-config.
//
//	c := register.New(register.Config{Device: "SEP64A0E71502CC", Model: m, Dial: dial, Rand: rand.Reader})
//	c.Register(servers, load, register.Initialized) // goes on by itself
//	order := <-c.Orders()
//	c.Leave() // unregisters
//
// Of the servers, in the order of priority, the first that accepts the phone has it; the
// next one gets a keep-alive, and one of higher priority is asked from time to time
// whether the phone may come back. An order counts only on the connection of the
// registration and with its Call-ID. A Client is safe for concurrent use; it runs at most
// four goroutines and three connections. Messages are bounded by package sip.
//
// Sources: RFC 3261, public traces of phones with CUCM 11.5 and 12.5, the CME guide on
// bulk registration. What these leave open is in quirks.go.
package register

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"itlagent/agent/logger"
	"itlagent/agent/model"
	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// Config is what a Client needs. Device, Dial, Rand and Now must be set.
type Config struct {
	Device string // "SEP64A0E71502CC"
	Model  model.Model
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Rand   io.Reader
	Now    func() time.Time
	Log    logger.Logger
	// First is called on each new connection before the phone registers there, and again
	// when Register is called for a phone that is registered: it sends what waits. nil:
	// nothing does.
	First func(ctx context.Context, conn *sip.Conn)
	// Alarms does the same by SCCP, where alarms are not answered. nil: nothing does.
	Alarms func(local net.Addr, send func(xml []byte) error)
	// Dated is called with the Date of each answer that accepts the phone. nil: nobody is
	// told.
	Dated func(time.Time)
}

// State is how a phone is registered. The zero value is that of one that never was.
type State struct {
	Server    string // "host:port" of the call manager that has it; "" where none has
	Transport sip.Transport
	Since     time.Time     // of the first REGISTER that this one accepted
	Granted   time.Duration // before which the phone registers again
	Standby   string        // the back-up that answered last, "" without one
	Failure   error         // why no call manager has it, of the last try
	Cause     Cause         // why it registered last, or is about to
	Refused   int           // requests that were refused since the start
	Refusal   string        // why, of the last one
}

// ErrNoManager says that there is nobody to register with.
var ErrNoManager = errors.New("the configuration names no call manager")

// Client keeps one phone registered.
type Client struct {
	conf   Config
	orders chan Order

	mu      sync.Mutex
	state   State
	load    string
	contact string // user of the Contact, the same as long as the program runs
	count   int    // of registrations, for their Call-IDs
	rate    bucket
	running *session // nil where no call manager is to have the phone

	changing sync.Mutex // one Register or Leave at a time
}

// New returns a client that is not registered.
func New(c Config) *Client {
	if c.First == nil {
		c.First = func(context.Context, *sip.Conn) {}
	}
	if c.Alarms == nil {
		c.Alarms = func(net.Addr, func([]byte) error) {}
	}
	if c.Dated == nil {
		c.Dated = func(time.Time) {}
	}
	return &Client{conf: c, orders: make(chan Order, 1)}
}

// State returns how the phone is registered now.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Orders returns what call managers tell the phone. Of several that nobody has taken yet
// the one that does most is left.
func (c *Client) Orders() <-chan Order { return c.orders }

// Register says which call managers the phone is to register with, in the order of
// priority, and which firmware it runs. Where they are the same as before it stays
// registered, sends what waits, and does not wait for its next try; else it leaves, and
// cause is told to the next one. It returns before the phone is registered.
func (c *Client) Register(servers []sip.Server, load string, cause Cause) {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	c.load = load
	running := c.running
	c.mu.Unlock()
	if running != nil && slices.EqualFunc(running.servers, servers, sameServer) {
		running.hurry()
		return
	}
	c.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Cause = cause
	if len(servers) == 0 {
		c.state.Failure = ErrNoManager
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.running = &session{c: c, servers: slices.Clone(servers), soon: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go c.running.run(ctx, cause)
}

func sameServer(a, b sip.Server) bool { return a.Address == b.Address && a.Transport == b.Transport }

// Leave unregisters the phone, and returns once that is done or took too long. What came
// as orders before is forgotten.
func (c *Client) Leave() {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.leave()
}

func (c *Client) leave() {
	c.mu.Lock()
	running := c.running
	c.running = nil
	c.mu.Unlock()
	if running != nil {
		running.cancel()
		<-running.done
	}
	select {
	case <-c.orders:
	default:
	}
}

// set changes the state.
func (c *Client) set(change func(*State)) {
	c.mu.Lock()
	change(&c.state)
	c.mu.Unlock()
}

// dialog begins a registration, or a question, on a connection.
func (c *Client) dialog(conn *sip.Conn) (*dialog, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.contact == "" {
		id, err := token(c.conf.Rand, 16)
		if err != nil {
			return nil, err
		}
		c.contact = uuid(id)
	}
	c.count++
	return newDialog(Phone{c.conf.Device, c.conf.Model, c.load}, c.contact, c.count, conn.Server(), conn.Local(), c.conf.Rand)
}

// obey passes an order on. There is one goroutine at a time that does.
func (c *Client) obey(o Order) {
	for {
		select {
		case c.orders <- o:
			return
		case old := <-c.orders:
			if old.Action < o.Action {
				o = old
			}
		}
	}
}

// mayObey reports whether one more order is obeyed now.
func (c *Client) mayObey() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rate.take(c.conf.Now())
}

// refuse notes a request that was refused. The first ones of a connection are told.
func (c *Client) refuse(told *int, from, why string) {
	c.set(func(s *State) { s.Refused++; s.Refusal = why })
	const most = 3
	if *told++; *told <= most {
		c.conf.Log.Noticef("%s: refused: %s", printable.Text(from), printable.Text(why))
		return
	}
	c.conf.Log.Debugf("%s: refused: %s", printable.Text(from), printable.Text(why))
}

// bucket bounds how often something may happen.
type bucket struct {
	spent int
	last  time.Time // up to when what was spent has come back
}

// take reports whether it may happen now.
func (b *bucket) take(now time.Time) bool {
	if b.spent == 0 || now.Before(b.last) {
		b.last = now
	}
	back := now.Sub(b.last) / orderEvery
	b.spent = max(0, b.spent-int(min(back, orderBurst)))
	b.last = b.last.Add(back * orderEvery)
	if b.spent == orderBurst {
		return false
	}
	b.spent++
	return true
}
