package fleet

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/firmware/handset"
	"itlagent/platform/filestore"
)

// phone is one handset of a fleet.
type phone struct {
	fleet   *Fleet
	set     *handset.Handset
	store   holdings.Store
	close   func() error
	booting atomic.Bool
	conns   *link

	// Guarded by the fleet's mu.
	asked  time.Time // when it was to boot
	result Result
}

// newPhone puts one together, which has not booted yet.
func (f *Fleet) newPhone(index int) (*phone, error) {
	p := &phone{fleet: f, close: func() error { return nil }}
	p.result = Result{Index: index, Device: "SEP" + f.spec.MAC(index), Model: f.spec.Model(index)}
	held := new(shared)
	if c := f.opts.Restore; c != nil {
		for key, value := range c.values(index - f.of.From) {
			held.Put(key, value)
		}
		p.result.Boots = c.Phones[index-f.of.From].Boots
	}
	p.store = held
	if f.opts.Dir != "" {
		s, err := filestore.Open(filepath.Join(f.opts.Dir, p.result.Device))
		if err != nil {
			return nil, err
		}
		p.store, p.close = s, s.Close
	}
	if err := f.giveMIC(p.store, index); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.conns = newLink(&f.conns, f.addressOf(index), &p.booting)
	o := handset.Options{MAC: f.spec.MAC(index), Model: p.result.Model, Servers: f.spec.servers(index), Older: "warn", Interval: f.spec.Interval,
		Dial: p.conns.dial, TFTP: p.conns.get, Rand: f.opts.Rand, Enter: p.enter}
	var err error
	if p.set, err = handset.New(o, handset.Storage{Store: p.store}); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if c := f.opts.Restore; c != nil {
		var answers []trust.Answer
		for i := range c.Phones[index-f.of.From].Answers {
			answers = append(answers, c.Phones[index-f.of.From].Answers[i].trust())
		}
		p.set.Remember(answers)
	}
	return p, nil
}

// giveMIC gives a phone without a certificate one of the pool.
func (f *Fleet) giveMIC(store holdings.Store, index int) error {
	if len(f.mics) == 0 {
		return nil
	}
	if _, err := store.Get(holdings.MIC); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return store.Put(holdings.MIC, f.mics[index%len(f.mics)])
}

// enter waits for the phone's turn to boot.
func (p *phone) enter(ctx context.Context) (leave func()) {
	f := p.fleet
	f.mu.Lock()
	if p.asked.IsZero() {
		p.asked = time.Now()
	}
	f.mu.Unlock()
	select {
	case f.turns <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	p.booting.Store(true)
	f.mu.Lock()
	if f.count.InCycle++; f.count.InCycle == 1 {
		f.since = time.Now()
	}
	if p.result.State == Waiting {
		f.become(p, Booting)
	}
	f.mu.Unlock()
	return func() {
		p.booting.Store(false)
		f.mu.Lock()
		if f.count.InCycle--; f.count.InCycle == 0 {
			f.busy += time.Since(f.since)
		}
		f.mu.Unlock()
		<-f.turns
	}
}

// booted takes the outcome of a boot cycle.
func (p *phone) booted(r *boot.Report) {
	if r.Interrupted {
		return
	}
	state := p.set.State()
	f := p.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &p.result
	if res.State == Locked || res.State == Unserved {
		f.reason(res.Reason, -1)
	}
	res.Reason = r.Reason().String()
	res.CTL, res.ITL, res.Config = fileOf(&r.CTL), fileOf(&r.ITL), fileOf(&r.Config)
	res.HeldCTL, res.HeldITL, res.HeldConfig = hashOf(listBytes(state.CTL)), hashOf(listBytes(state.ITL)), hashOf(state.Config)
	res.Boots++
	res.Took = time.Since(p.asked)
	p.asked = time.Time{}
	f.count.Boots++
	switch {
	case r.Reason() == trust.Accepted:
		f.become(p, Trusted)
		return
	case r.Locked():
		f.become(p, Locked)
	default:
		f.become(p, Unserved)
	}
	f.reason(res.Reason, 1)
}

// become changes the state of a phone. The caller holds mu.
func (f *Fleet) become(p *phone, s State) {
	f.count.State[p.result.State]--
	p.result.State = s
	f.count.State[s]++
}

// reason counts a reason. The caller holds mu.
func (f *Fleet) reason(name string, n int) {
	if f.count.Reasons[name] += n; f.count.Reasons[name] == 0 {
		delete(f.count.Reasons, name)
	}
}

func fileOf(o *boot.Outcome) File {
	return File{Name: o.Name, Reason: o.Verdict.Reason.String(), Via: o.Verdict.Via.String()}
}

func listBytes(l *trustlist.File) []byte {
	if l == nil {
		return nil
	}
	return l.Bytes()
}

func hashOf(data []byte) string {
	if data == nil {
		return ""
	}
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// registered returns the call manager that has the phone, "" without one.
func (p *phone) registered() string { return p.set.Registration().Server }

// String names the phone.
func (p *phone) String() string { return fmt.Sprintf("%s (%d)", p.result.Device, p.result.Index) }
