package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/boot"
	"itlagent/testbench/cluster/profile"
)

// Limits of a fleet.
const (
	MaxCount  = 1_000_000
	MaxAtOnce = 4096
	MaxRange  = 10_000 // phones of one job
	maxNames  = 64     // models, servers
	maxName   = 100
	maxMICs   = 64
	maxTime   = 366 * 24 * time.Hour

	// AtOnce is how many boot cycles run at once where nobody says otherwise: more keep a
	// core no busier, and wait for each other at the admission limits of the cluster.
	AtOnce = 64
)

// Check refuses what cannot be run.
func (s *Spec) Check() error {
	last := uint64(0)
	first, err := parseMAC(s.First)
	if err == nil && s.Count > 0 {
		last = first + uint64(s.Count) - 1
	}
	switch {
	case err != nil:
		return err
	case s.Count < 1 || s.Count > MaxCount:
		return fmt.Errorf("%d phones: 1 to %d", s.Count, MaxCount)
	case last>>48 != 0:
		return fmt.Errorf("MAC address %s has no %d behind it", s.First, s.Count-1)
	case s.AtOnce < 1 || s.AtOnce > MaxAtOnce:
		return fmt.Errorf("%d boot cycles at once: 1 to %d", s.AtOnce, MaxAtOnce)
	case len(s.Models) == 0 || len(s.Models) > maxNames:
		return fmt.Errorf("%d models: 1 to %d", len(s.Models), maxNames)
	case len(s.Servers) == 0 || len(s.Servers) > maxNames:
		return fmt.Errorf("%d TFTP servers: 1 to %d", len(s.Servers), maxNames)
	case s.MICs < 0 || s.MICs > maxMICs:
		return fmt.Errorf("%d certificates of a maker: 0 to %d", s.MICs, maxMICs)
	}
	for _, d := range []time.Duration{s.Ramp, s.Jitter, s.Interval} {
		if d < 0 || d > maxTime {
			return fmt.Errorf("%v is not between 0 and %v", d, maxTime)
		}
	}
	if s.Interval < time.Second {
		return fmt.Errorf("interval %v: at least 1s", s.Interval)
	}
	for _, model := range s.Models {
		if err := profile.CheckPhone(&profile.PhoneSpec{MAC: formatMAC(first), Model: model}); err != nil {
			return err
		}
	}
	for _, server := range s.Servers {
		if server == "" || len(server) > maxName || strings.ContainsFunc(server, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("invalid TFTP server %.120q", server)
		}
	}
	if s.Source != "" {
		_, err = source(s.Source)
	}
	return err
}

// source reads the prefix that phones have their addresses of.
func source(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, fmt.Errorf("source %.40q is not like 127.0.0.0/8", text)
	}
	return p.Masked(), nil
}

// address returns the address of a phone: the prefix's first and last are nobody's where
// it has more than two.
func address(p netip.Prefix, phone int) netip.Addr {
	b := p.Addr().As4()
	base := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	size := uint64(1) << (32 - p.Bits())
	if size > 2 {
		base, size = base+1, size-2
	}
	n := base + uint64(phone)%size
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// parseMAC reads a MAC address of 12 hex digits, with or without separators.
func parseMAC(text string) (uint64, error) {
	device, err := boot.Device(text)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(device[len("SEP"):], 16, 64)
}

func formatMAC(n uint64) string { return fmt.Sprintf("%012X", n) }

// MAC returns the MAC address of a phone, 12 upper-case hex digits. Check must have
// passed.
func (s *Spec) MAC(phone int) string {
	first, err := parseMAC(s.First)
	if err != nil {
		return s.First
	}
	return formatMAC(first + uint64(phone))
}

// Model returns the model of a phone.
func (s *Spec) Model(phone int) string { return s.Models[phone%len(s.Models)] }

// servers returns the TFTP servers of a phone: each begins with another one, so that they
// share the work.
func (s *Spec) servers(phone int) []string {
	first := phone % len(s.Servers)
	return slices.Concat(s.Servers[first:], s.Servers[:first])
}

// start returns when a phone starts, from the beginning of the run on.
func (s *Spec) start(phone int) time.Duration {
	at := time.Duration(float64(s.Ramp) * float64(phone) / float64(s.Count))
	if s.Jitter > 0 {
		at += time.Duration(rand.New(rand.NewPCG(s.Seed, uint64(phone))).Int64N(int64(s.Jitter)))
	}
	return at
}

// Phones returns the phones of the fleet as a cluster knows them.
func (s *Spec) Phones() (all []profile.PhoneSpec) {
	for i := range s.Count {
		all = append(all, profile.PhoneSpec{MAC: s.MAC(i), Model: s.Model(i)})
	}
	return all
}

// ErrRange says that a range is not of its fleet.
var ErrRange = errors.New("not a range of the fleet")

// in reports a range that is not part of a fleet of so many phones.
func (r Range) in(count int) error {
	if r.From < 0 || r.To <= r.From || r.To > count {
		return fmt.Errorf("%d to %d of %d: %w", r.From, r.To, count, ErrRange)
	}
	return nil
}

// Len returns how many phones it has.
func (r Range) Len() int { return r.To - r.From }

// Ranges splits a fleet into ranges of at most size phones.
func Ranges(count, size int) (all []Range) {
	for from := 0; from < count; from += size {
		all = append(all, Range{from, min(from+size, count)})
	}
	return all
}

// order returns the phones of the range, from 0 on, in the order in which they begin.
func (f *Fleet) order() []int {
	all := make([]int, len(f.phones))
	at := make([]time.Duration, len(f.phones))
	for i := range all {
		all[i], at[i] = i, f.spec.start(f.of.From+i)
	}
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	return all
}
