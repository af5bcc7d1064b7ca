// Package fleet runs many handsets in one process, or on many machines, and counts what
// comes of them.
//
//	f, err := fleet.New(fleet.Spec{First: "001122000000", Count: 1000, Models: []string{"CP-7965G"},
//		Servers: servers, AtOnce: fleet.AtOnce, Interval: 24 * time.Hour}, fleet.Whole, fleet.Options{})
//	defer f.Close()
//	err = f.Boot(ctx) // one boot cycle of each
//	fmt.Println(f.Count())
//
// The handsets are those of firmware/handset: they boot, register, follow resets and send
// alarms as the device program does. At most Spec.AtOnce of them are in a boot cycle at
// the same time; the others wait for their turn, those of a reset of all included. What a
// handset holds is in memory, values that several have only once, or in a directory for
// each. A Fleet is safe for concurrent use, but for Boot and Run, of which one runs at a
// time.
package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"itlagent/testbench/pki"
)

// Whole is the range of all phones of a fleet.
var Whole = Range{}

// Options are what a part of a fleet has of its process.
type Options struct {
	Dir  string    // a directory of state for each phone below it; "" keeps it in memory
	Rand io.Reader // crypto/rand where nil
	// Restore is what the phones hold from the beginning on; nil: nothing.
	Restore *Checkpoint
}

// Fleet is the phones of a range, in this process.
type Fleet struct {
	spec   Spec
	of     Range
	opts   Options
	source netip.Prefix
	mics   [][]byte // PEM
	conns  connections
	turns  chan struct{} // one for each boot cycle that runs
	phones []*phone

	mu    sync.Mutex
	count Count
	begun time.Time
	busy  time.Duration // in which boot cycles ran, up to since
	since time.Time     // when the first of those that run now began
}

// New puts the phones of a range together, none of which has booted yet. The error is one
// of Spec.Check, ErrRange, ErrFiles, or of the directory.
func New(spec Spec, of Range, o Options) (*Fleet, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if of == Whole {
		of = Range{0, spec.Count}
	}
	if err := of.in(spec.Count); err != nil {
		return nil, err
	}
	if o.Restore != nil {
		if err := o.Restore.check(of); err != nil {
			return nil, err
		}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	f := &Fleet{spec: spec, of: of, opts: o, turns: make(chan struct{}, spec.AtOnce)}
	each := 0
	if spec.Register {
		each++
	}
	if o.Dir != "" {
		each++ // its lock
	}
	if err := f.conns.budget(of.Len(), each, spec.AtOnce, descriptors()); err != nil {
		return nil, err
	}
	if spec.Source != "" {
		f.source, _ = source(spec.Source) // Check has read it
	}
	if err := f.makeMICs(); err != nil {
		return nil, err
	}
	f.count.Reasons = make(map[string]int)
	for i := of.From; i < of.To; i++ {
		p, err := f.newPhone(i)
		if err != nil {
			f.Close()
			return nil, err
		}
		f.phones = append(f.phones, p)
		f.count.State[Waiting]++
	}
	f.count.Phones = len(f.phones)
	return f, nil
}

// micBits is the size of a maker's keys, micYears how long its certificates are valid.
const (
	micBits  = 2048
	micYears = 20
)

// makeMICs makes the pool of certificates of a maker: a key for each phone would take
// longer than all else.
func (f *Fleet) makeMICs() error {
	f.mics = make([][]byte, f.spec.MICs)
	var all errgroup.Group
	for i := range f.mics {
		all.Go(func() error {
			id, err := pki.New(pki.Request{Subject: pki.Name{CN: f.spec.Model(i) + "-SEP" + f.spec.MAC(i), OU: "test", O: "itlagent"},
				Bits: micBits, From: time.Now(), Years: micYears})
			if err != nil {
				return err
			}
			f.mics[i], err = id.PhonePEM()
			return err
		})
	}
	return all.Wait()
}

func (f *Fleet) addressOf(phone int) netip.Addr {
	if !f.source.IsValid() {
		return netip.Addr{}
	}
	return address(f.source, phone)
}

// Close lets go of the phones' directories.
func (f *Fleet) Close() error {
	var all []error
	for _, p := range f.phones {
		all = append(all, p.close())
	}
	return errors.Join(all...)
}

// begin notes when the run began, once.
func (f *Fleet) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun.IsZero() {
		f.begun = time.Now()
	}
}

// Boot boots each phone once, and delivers its alarms. Phones begin as the ramp has it.
// The error is the context's.
func (f *Fleet) Boot(ctx context.Context) error {
	f.begin()
	var all sync.WaitGroup
	f.each(ctx, func(p *phone) {
		all.Go(func() { p.booted(p.set.BootOnce(ctx)) })
	})
	all.Wait()
	return ctx.Err()
}

// Run boots the phones as the ramp has it. From then on each is registered, boots again
// when its call manager, Reset or the interval says so, until the context ends; then all
// unregister.
func (f *Fleet) Run(ctx context.Context) {
	f.begin()
	var all sync.WaitGroup
	f.each(ctx, func(p *phone) {
		all.Go(func() { p.set.Follow(ctx, p.booted) })
	})
	all.Wait()
}

// each calls start for each phone once it is to begin.
func (f *Fleet) each(ctx context.Context, start func(*phone)) {
	begin := time.Now()
	for _, i := range f.order() {
		if wait := time.Until(begin.Add(f.spec.start(f.of.From + i))); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		start(f.phones[i])
	}
}

// Reset makes every phone that runs boot once more.
func (f *Fleet) Reset() {
	for _, p := range f.phones {
		f.mu.Lock()
		if p.asked.IsZero() {
			p.asked = time.Now()
		}
		f.mu.Unlock()
		p.set.Reset()
	}
}

// Results returns what came of each phone, in their order.
func (f *Fleet) Results() []Result {
	registered := make([]string, len(f.phones))
	for i, p := range f.phones {
		registered[i] = p.registered()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Result, len(f.phones))
	for i, p := range f.phones {
		all[i] = p.result
		all[i].Registered = registered[i]
	}
	return all
}

// Through reports whether every phone has had so many boot cycles with an outcome, and
// none is in one.
func (f *Fleet) Through(boots int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count.InCycle > 0 {
		return false
	}
	for _, p := range f.phones {
		if p.result.Boots < boots {
			return false
		}
	}
	return true
}

// Busy returns how long boot cycles ran, from the first one's beginning to the last one's
// end, but for the time between in which none did.
func (f *Fleet) Busy() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count.InCycle > 0 {
		return f.busy + time.Since(f.since)
	}
	return f.busy
}
