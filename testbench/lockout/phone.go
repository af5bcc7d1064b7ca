package lockout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"time"

	"itlagent/agent"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// Phone is a phone on paper: what it is, what it keeps, and which TFTP servers it is
// given. A Phone is never changed: what becomes of it is another one.
type Phone struct {
	MAC, Model, Firmware string
	Servers              []string // TFTP: "host" or "host:port"
	Kept                 Kept
	Answers              []trust.Answer // of TVS, that it remembers
	Policy               trust.Policy
}

// Kept is what a phone keeps across power cuts, by the keys of agent.Store: "itl",
// "ctl", "config" and others. It is not changed either.
type Kept map[string][]byte

// TrustKeys are the keys of what a phone decides by.
func TrustKeys() []string { return []string{"ctl", "itl", "config", "network", "lsc", "mic"} }

// ErrNothingKept says that a store has nothing that a phone decides by.
var ErrNothingKept = errors.New("it keeps nothing of a phone: no list, no configuration")

// Read takes what a phone decides by out of its store.
func Read(store interface{ Get(string) ([]byte, error) }) (Kept, error) {
	kept := make(Kept)
	for _, key := range TrustKeys() {
		data, err := store.Get(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("what the phone keeps as %s: %w", key, err)
		}
		kept[key] = data
	}
	return kept, nil
}

// Check reports what is not what its key says.
func (k Kept) Check() error {
	for key, kind := range map[string]trustlist.Kind{"ctl": trustlist.CTL, "itl": trustlist.ITL} {
		if data, ok := k[key]; ok {
			if _, err := trustlist.Parse(kind, data); err != nil {
				return fmt.Errorf("the %v that the phone holds: %w", kind, err)
			}
		}
	}
	if data, ok := k["config"]; ok {
		if _, err := settings.Parse(data); err != nil {
			return fmt.Errorf("the phone's configuration: %w", err)
		}
	}
	return nil
}

// with returns what is kept with one value changed; nil deletes it.
func (k Kept) with(key string, value []byte) Kept {
	next := maps.Clone(k)
	if next == nil {
		next = make(Kept)
	}
	if value == nil {
		delete(next, key)
	} else {
		next[key] = value
	}
	return next
}

// identity tells states of phones apart that may decide otherwise.
func (p *Phone) identity() string {
	h := sha256.New()
	for _, key := range TrustKeys() {
		fmt.Fprintf(h, "%s %d ", key, len(p.Kept[key]))
		h.Write(p.Kept[key])
	}
	for _, a := range p.Answers {
		fmt.Fprintf(h, "%x %s %d ", a.Question.Serial, a.Question.Issuer, a.Expires.UnixNano())
		h.Write(a.Cert)
	}
	fmt.Fprintf(h, "%v %s %s %v", p.Servers, p.Model, p.Firmware, p.Policy)
	return hex.EncodeToString(h.Sum(nil))
}

// Surroundings are what a phone meets: who serves files, and who answers for TVS.
type Surroundings interface {
	// Configure sets what the phone's network is.
	Configure(*agent.Config)
	Now() time.Time
}

// paperTime bounds a cycle on paper where a running cluster is asked, too.
const paperTime = 2 * time.Minute

// Boot runs one cycle of the phone, with the very code that a phone runs, and returns
// what becomes of it. Neither the phone nor what it meets is changed.
func (p Phone) Boot(ctx context.Context, s Surroundings) (Phone, *agent.Report, error) {
	store := &paper{values: maps.Clone(p.Kept)}
	conf := agent.Config{
		MAC: p.MAC, Model: p.Model, Firmware: p.Firmware, Servers: p.Servers, Store: store, Now: s.Now,
		Answers: slices.Clone(p.Answers), Policy: p.Policy,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is there") },
	}
	s.Configure(&conf)
	a, err := agent.New(conf)
	if err != nil {
		return p, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, paperTime)
	defer cancel()
	report := a.Cycle(ctx)
	next := p
	next.Kept, next.Answers = make(Kept), a.TVSAnswers()
	for _, key := range TrustKeys() {
		if data, ok := store.values[key]; ok {
			next.Kept[key] = data
		}
	}
	return next, report, nil
}

// paper is an agent.Store for one cycle.
type paper struct{ values map[string][]byte }

func (s *paper) Get(key string) ([]byte, error) {
	if v, ok := s.values[key]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
}

func (s *paper) Put(key string, value []byte) error {
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	s.values[key] = slices.Clone(value)
	return nil
}

func (s *paper) Delete(key string) error {
	delete(s.values, key)
	return nil
}
