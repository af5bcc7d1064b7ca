package rig

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
)

// Campaign cuts the power of a board at random moments while the lists and the
// configuration of its phone are replaced as fast as it can: the cluster serves another
// list and another configuration at every turn. After each cut the flash is read, where
// it can be seen, by code that shares nothing with the vault; else the phone is asked
// once it has booted. After each boot the phone must hold a list that was served, an old
// one or a new one, and be trusted. A Campaign is run once.
type Campaign struct {
	Rig     Rig
	Phone   *Phone // on that; one that was booted already is not booted again
	MAC     string // of the phone; the cluster knows it
	Cluster *cluster.Cluster
	Cuts    int       // how many
	Seed    uint64    // of the moments
	Say     func(Cut) // is told of each cut; may be nil

	served map[[sha1.Size]byte]bool // SHA-1 of every list
	turn   int
	before state // of the flash, at the last cut
	result Cuts
}

// Cuts is the result of a campaign of power cuts.
type Cuts struct {
	Done    int            // power cuts
	Updates uint64         // of the vault, in between
	During  map[During]int // how many cuts fell into what
	Lost    []string
}

// Cut is one power cut, and what came of it.
type Cut struct {
	Number   int // from 1 on
	During   During
	Sequence uint64 // of the vault's newest update
	Keys     int    // that the flash holds; -1 where it is not seen
	Verdict  string // the reason of the boot behind it; "" where there was none
	Lost     []string
}

// During is what the flash did when the power was cut.
type During string

// What a cut may fall into. Unknown is of a flash that cannot be seen.
const (
	Program During = "program"
	Erase   During = "erase"
	Neither During = "neither"
	Unknown During = "unknown"
)

// The longest that the phone works before its power is cut: leastWork, or as long as this
// many of its boot cycles take where that is longer.
const (
	leastWork = 600 * time.Millisecond
	workOf    = 2
)

// Run cuts the power until it was done as often as wanted, or the context ends. The
// result counts also where it errs.
func (c *Campaign) Run(ctx context.Context) (Cuts, error) {
	r := rand.New(rand.NewPCG(c.Seed, 0))
	c.served, c.result.During = make(map[[sha1.Size]byte]bool), make(map[During]int)
	if err := c.change(); err != nil {
		return c.result, err
	}
	p := c.Phone
	defer p.Close()
	again, err := p.start(ctx)
	if err == nil && again {
		if err = p.console.Send("reset"); err == nil {
			err = p.waitCycle(ctx)
		}
	}
	if err == nil {
		err = c.begin(ctx, p)
	}
	longest := leastWork
	if err == nil {
		began := time.Now()
		err = c.cycle(ctx, p)
		longest = max(longest, workOf*time.Since(began))
	}
	for err == nil && c.result.Done < c.Cuts {
		err = c.cut(ctx, p, time.Duration(r.Float64()*float64(longest)))
	}
	return c.result, err
}

// begin sees that the phone is trusted, before the first cut.
func (c *Campaign) begin(ctx context.Context, p *Phone) error {
	if p.booted != trust.Accepted.String() {
		return fmt.Errorf("the phone must be trusted before its power is cut; it is %s", p.booted)
	}
	now, err := c.ask(ctx, p)
	c.before.sequence = now.sequence
	return err
}

// cycle has the phone follow one change.
func (c *Campaign) cycle(ctx context.Context, p *Phone) error {
	err := c.change()
	if err == nil {
		err = p.console.Send("reset")
	}
	if err == nil {
		err = p.waitCycle(ctx)
	}
	return err
}

// cut has the phone work for a time, cuts its power, and looks what became of it.
func (c *Campaign) cut(ctx context.Context, p *Phone, span time.Duration) error {
	if err := c.work(ctx, p, span); err != nil {
		return err
	}
	if err := p.PowerCut(ctx); err != nil {
		return err
	}
	c.result.Done++
	cut := Cut{Number: c.result.Done, During: Unknown, Keys: -1}
	now, err := c.see()
	if err == nil {
		cut.During, cut.Keys = now.during(c.before), len(now.keys)
		c.judge(&cut, now, nil)
	}
	c.result.During[cut.During]++
	if err != nil && !errors.Is(err, ErrNotSeen) {
		return err
	}
	seen := err == nil
	if err = p.boot(ctx); err == nil {
		cut.Verdict = p.booted
		after, asked := c.ask(ctx, p)
		if err = asked; err == nil {
			c.judge(&cut, after, p)
		}
		if !seen {
			now = after
		}
	}
	cut.Sequence = now.sequence
	c.result.Updates += now.sequence - min(c.before.sequence, now.sequence)
	now.sequence = max(now.sequence, c.before.sequence)
	c.before = now
	c.result.Lost = append(c.result.Lost, cut.Lost...)
	if c.Say != nil {
		c.Say(cut)
	}
	return err
}

// change has the cluster serve another list and another configuration.
func (c *Campaign) change() error {
	c.turn++
	if err := c.Cluster.Apply(operation.Advance(time.Second)); err != nil { // a list with another time
		return err
	}
	for _, name := range c.Cluster.State().TFTPNodes() {
		if err := c.Cluster.Apply(operation.RestartTFTP(name)); err != nil {
			return err
		}
	}
	for _, node := range c.Cluster.Nodes() {
		c.served[sha1.Sum(node.ITL())] = true
	}
	return c.Cluster.Apply(operation.Set(c.MAC, "webAccess", fmt.Sprint(c.turn%2)))
}

// work has the phone replace what it holds for a time.
func (c *Campaign) work(ctx context.Context, p *Phone, span time.Duration) error {
	for cut := time.After(span); ; {
		if err := c.change(); err != nil {
			return err
		}
		if err := p.console.Send("reset"); err != nil {
			return err
		}
		select {
		case <-cut:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(30 * time.Millisecond):
		}
	}
}
