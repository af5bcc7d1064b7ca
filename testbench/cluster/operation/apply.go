package operation

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// ErrInstall says that only a new installation brings what a profile wants.
var ErrInstall = errors.New("it needs a new installation")

// ApplyProfile brings the time zone, addresses, ports, services and phones to what a profile says. What
// phones have of settings from elsewhere goes; their certificates stay. Where the
// profile wants something that only an installation brings, the error is ErrInstall and
// names it.
func ApplyProfile(p profile.Profile) Operation {
	return func(s *state.State) error {
		if err := p.Check(); err != nil {
			return err
		}
		for _, d := range s.Profile.Diff(&p) {
			if d.Install {
				return fmt.Errorf("%s: %w", d, ErrInstall)
			}
		}
		moved := s.Profile.Host != p.Host
		s.Profile.Host, s.Profile.Advertise, s.Profile.Timezone = p.Host, p.Advertise, p.Timezone
		s.Profile.Nodes = slices.Clone(s.Profile.Nodes)
		for i, n := range s.Nodes {
			old, next := &s.Profile.Nodes[i], &p.Nodes[i]
			if moved || old.Host != next.Host || old.Port != next.Port || !maps.Equal(old.Ports, next.Ports) {
				clear(n.Ports)
			}
			old.Host, old.Port, old.Ports, old.Absent, old.Line = next.Host, next.Port, next.Ports, next.Absent, next.Line
		}
		var phones []profile.PhoneSpec
		for _, ph := range p.Phones {
			if known := s.Phone(ph.MAC); known != nil && ph.Certificate == nil {
				ph.Certificate = known.Certificate
			}
			phones = append(phones, state.WithDefaults(ph))
		}
		s.Profile.Phones, s.Phones = p.Phones, phones
		return nil
	}
}

// AddPhone makes a phone known, with the usual settings.
func AddPhone(mac, model string) Operation {
	return func(s *state.State) error {
		ph := profile.PhoneSpec{MAC: mac, Model: model}
		if err := profile.CheckPhone(&ph); err != nil {
			return err
		}
		if s.Phone(mac) != nil {
			return fmt.Errorf("there is a phone %s already", mac)
		}
		s.Phones = append(s.Phones, state.WithDefaults(ph))
		return nil
	}
}

// RemovePhone makes a phone unknown: it finds no file any more.
func RemovePhone(mac string) Operation {
	return func(s *state.State) error {
		if s.Phone(mac) == nil {
			return fmt.Errorf("no phone with MAC address %s", mac)
		}
		s.Phones = slices.DeleteFunc(s.Phones, func(p profile.PhoneSpec) bool { return p.MAC == mac })
		return nil
	}
}

// AddPhones makes phones known, with the usual settings, but for those that are known
// already.
func AddPhones(phones []profile.PhoneSpec) Operation {
	return func(s *state.State) error {
		known := make(map[string]bool, len(s.Phones)+len(phones))
		for i := range s.Phones {
			known[s.Phones[i].MAC] = true
		}
		next := slices.Clone(s.Phones)
		for i := range phones {
			if err := profile.CheckPhone(&phones[i]); err != nil {
				return err
			}
			if !known[phones[i].MAC] {
				known[phones[i].MAC] = true
				next = append(next, state.WithDefaults(phones[i]))
			}
		}
		s.Phones = next
		return nil
	}
}

// RemovePhones makes phones unknown. Those that are not known are none of its business.
func RemovePhones(macs []string) Operation {
	return func(s *state.State) error {
		gone := make(map[string]bool, len(macs))
		for _, mac := range macs {
			gone[mac] = true
		}
		s.Phones = slices.DeleteFunc(slices.Clone(s.Phones), func(p profile.PhoneSpec) bool { return gone[p.MAC] })
		return nil
	}
}
