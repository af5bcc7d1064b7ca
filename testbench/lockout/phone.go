package lockout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/model"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
)

// Phone is a phone on paper: what it is, what it stores, and which TFTP servers it is
// given. A Phone is never changed: what becomes of it is another one.
type Phone struct {
	MAC, Model, Firmware string
	Servers              []string // TFTP: "host" or "host:port"
	Stored               Stored
	Answers              []trust.Answer // of TVS, that it remembers
	Policy               trust.Policy
}

// Stored is what a phone decides by, under the names of holdings.Deciding: "itl", "ctl",
// "config" and others. It is not changed either.
type Stored map[string][]byte

// Get implements what holdings.Load reads from.
func (k Stored) Get(key string) ([]byte, error) {
	if v, ok := k[key]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
}

// Check reports what is not what its key says.
func (k Stored) Check() error {
	return holdings.Load(k).Damage(holdings.CTL, holdings.ITL, holdings.Config)
}

// with returns what is stored with one value changed; nil deletes it.
func (k Stored) with(key string, value []byte) Stored {
	next := maps.Clone(k)
	if next == nil {
		next = make(Stored)
	}
	if value == nil {
		delete(next, key)
	} else {
		next[key] = value
	}
	return next
}

// menu reports whether somebody at the phone can use its settings menu.
func (p *Phone) menu() bool { return holdings.Load(p.Stored).Settings.MayChangeSettings() }

// identity tells states of phones apart that may decide otherwise.
func (p *Phone) identity() string {
	h := sha256.New()
	for _, key := range holdings.Deciding() {
		fmt.Fprintf(h, "%s %d ", key, len(p.Stored[key]))
		h.Write(p.Stored[key])
	}
	for _, a := range p.Answers {
		fmt.Fprintf(h, "%x %s %d ", a.Question.Serial, a.Question.Issuer, a.Expires.UnixNano())
		h.Write(a.Cert)
	}
	fmt.Fprintf(h, "%v %s %s %v", p.Servers, p.Model, p.Firmware, p.Policy)
	return hex.EncodeToString(h.Sum(nil))
}

// Surroundings are what a phone meets: who serves files and answers for TVS, and when.
type Surroundings interface {
	boot.Transport
	Now() time.Time
}

// paperTime bounds a cycle on paper where a running cluster is asked, too.
const paperTime = 2 * time.Minute

// Boot runs one boot cycle of the phone, with the very code that a phone runs, and
// returns what becomes of it. Neither the phone nor what it meets is changed.
func (p Phone) Boot(ctx context.Context, s Surroundings) (Phone, *boot.Report, error) {
	device, err := boot.Device(p.MAC)
	if err != nil {
		return p, nil, err
	}
	m := model.Find(p.Model, p.Firmware)
	store := holdings.NewMemStore(p.Stored)
	policy := p.Policy
	if w, ok := s.(World); ok && policy.Verify == nil {
		policy.Verify = w.verify()
		policy.AnyServer = policy.AnyServer || slices.ContainsFunc(w, func(c *cluster.Cluster) bool { return c.State().Addressless })
	}
	phone := boot.New(boot.Config{
		Device: device, Model: m, Servers: p.Servers, Holdings: holdings.Open(store, holdings.Options{Model: m}),
		Transport: s, Now: s.Now, Policy: policy,
	})
	phone.Remember(p.Answers)
	ctx, cancel := context.WithTimeout(ctx, paperTime)
	defer cancel()
	report := phone.Cycle(ctx)
	next := p
	next.Answers = phone.Answers()
	next.Stored, err = holdings.Read(store)
	return next, report, err
}

// changed returns the phone after something was done at it by hand.
func (p Phone) changed(do func(*holdings.Holdings) error) (Phone, error) {
	store := holdings.NewMemStore(p.Stored)
	if err := do(holdings.Open(store, holdings.Options{Model: model.Find(p.Model, p.Firmware)})); err != nil {
		return p, err
	}
	next := p
	next.Answers = nil
	var err error
	next.Stored, err = holdings.Read(store)
	return next, err
}
