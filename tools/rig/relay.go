package rig

import (
	"context"
	"fmt"
	"io"
	"time"

	"itlagent/tools/expect"
	"itlagent/tools/power"
)

// RelayOptions say what a board hangs on.
type RelayOptions struct {
	Line   io.ReadWriter // its console, which stays open while the power is off
	Supply power.Supply  // nil where a person turns it on
	// Patience is how long the board may take to boot, for a boot cycle, and the supply
	// for an action; the Patience of this package where 0.
	Patience time.Duration
	// Vault reads the vault of a board that is off, where something else than the board
	// can; nil elsewhere.
	Vault func() ([]byte, error)
}

// Relay is a board that is there, behind a line, with what switches its power.
type Relay struct {
	o       RelayOptions
	console *expect.Expect
	off     bool
}

// NewRelay returns a board whose line is read from now on.
func NewRelay(o RelayOptions) *Relay {
	if o.Patience <= 0 {
		o.Patience = Patience
	}
	r := &Relay{o: o, console: expect.New(o.Line)}
	r.console.Arm(expect.System)
	return r
}

// Patience is how long the board may take to boot.
func (r *Relay) Patience() time.Duration { return r.o.Patience }

// On implements Rig. A board that is on is turned off first, where its power can be
// switched.
func (r *Relay) On(ctx context.Context) (*expect.Expect, bool, error) {
	if r.o.Supply == nil {
		r.console.Discard()
		return r.console, false, nil
	}
	if !r.off {
		if err := r.Off(ctx); err != nil {
			return nil, false, err
		}
	}
	if err := r.quiet(ctx); err != nil {
		return nil, false, err
	}
	if err := r.do(ctx, power.On); err != nil {
		return nil, false, err
	}
	r.off = false
	return r.console, true, nil
}

// Off implements Rig.
func (r *Relay) Off(ctx context.Context) error {
	if r.o.Supply == nil {
		return ErrNoPower
	}
	err := r.do(ctx, power.Off)
	r.off = err == nil
	return err
}

// do switches the power, within the relay's patience.
func (r *Relay) do(ctx context.Context, a power.Action) error {
	ctx, cancel := context.WithTimeout(ctx, r.o.Patience)
	defer cancel()
	return r.o.Supply.Switch(ctx, a)
}

// Leave implements Rig: the board is another's now. One that was turned off is turned on
// again.
func (r *Relay) Leave() {
	if r.off && r.do(context.Background(), power.On) == nil {
		r.off = false
	}
}

// Vault implements Flash.
func (r *Relay) Vault() ([]byte, error) {
	if r.o.Vault == nil {
		return nil, ErrNotSeen
	}
	return r.o.Vault()
}

// quiet waits until what the board said before has all been read, and drops it: none of
// it may be taken for what comes with the power.
func (r *Relay) quiet(ctx context.Context) error {
	const pause, most = 150 * time.Millisecond, 100
	last := r.console.Last()
	for range most {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		now := r.console.Last()
		if now == last {
			r.console.Discard()
			return nil
		}
		last = now
	}
	return fmt.Errorf("the board speaks for %v while its power is off: is the power command that of another board?", most*pause)
}
