package profile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"itlagent/testbench/pki"
)

// Difference is a value that two profiles have differently.
type Difference struct {
	Path       string // "nodes[1].port", as in the file
	Have, Want string
	Install    bool // only a new installation brings it
}

func (d Difference) String() string { return fmt.Sprintf("%s: %s, not %s", d.Path, d.Have, d.Want) }

// Diff returns how the profile that a cluster has differs from another one, which Check
// has found possible. Passwords and the clock are compared where the other one has them.
func (p *Profile) Diff(other *Profile) (all []Difference) {
	add := func(install bool, path string, have, want any) {
		if !equal(have, want) {
			all = append(all, Difference{path, show(have), show(want), install})
		}
	}
	add(true, "name", p.Name, other.Name)
	add(true, "release", p.Release, other.Release)
	add(true, "organisation", organisation(p.Organisation), organisation(other.Organisation))
	add(true, "keySizes", p.Bits, other.Bits)
	add(true, "recoveryName", p.RecoveryName, other.RecoveryName)
	add(true, "fixed", p.Fixed, other.Fixed)
	if !other.Installed.IsZero() && !p.Installed.Equal(other.Installed) {
		add(true, "clock", p.Installed.UTC(), other.Installed.UTC())
	}
	add(false, "timezone", p.Timezone, other.Timezone)
	add(false, "address", p.Host, other.Host)
	add(false, "advertise", p.Advertise, other.Advertise)
	if len(p.Nodes) != len(other.Nodes) {
		add(true, "nodes", len(p.Nodes), len(other.Nodes))
	} else {
		for i := range p.Nodes {
			all = append(all, p.Nodes[i].diff(&other.Nodes[i], fmt.Sprintf("nodes[%d].", i))...)
		}
	}
	return append(all, diffPhones(p.Phones, other.Phones)...)
}

func (n *NodeSpec) diff(other *NodeSpec, path string) (all []Difference) {
	add := func(install bool, name string, have, want any) {
		if !equal(have, want) {
			all = append(all, Difference{path + name, show(have), show(want), install})
		}
	}
	add(true, "name", n.Name, other.Name)
	add(true, "domain", n.Domain, other.Domain)
	add(true, "role", n.Publisher, other.Publisher)
	add(true, "keySizes", n.Bits, other.Bits)
	add(true, "capfName", n.CAPFName, other.CAPFName)
	add(false, "address", n.Host, other.Host)
	add(false, "port", n.Port, other.Port)
	add(false, "ports", n.Ports, other.Ports)
	add(false, "services", present(n.Absent), present(other.Absent))
	return all
}

// organisation writes what a name has, in the order of listings.
func organisation(n pki.Name) string {
	var parts []string
	for _, part := range []struct{ key, value string }{{"OU", n.OU}, {"O", n.O}, {"L", n.L}, {"ST", n.ST}, {"C", n.C}} {
		if part.value != "" {
			parts = append(parts, part.key+"="+part.value)
		}
	}
	return strings.Join(parts, ";")
}

// present are the services that a node has.
func present(absent map[Service]bool) (names []string) {
	for _, s := range Services() {
		if !absent[s] {
			names = append(names, ShortName(s))
		}
	}
	return names
}

func diffPhones(have, want []PhoneSpec) (all []Difference) {
	byMAC := func(phones []PhoneSpec) map[string]PhoneSpec {
		m := make(map[string]PhoneSpec)
		for _, ph := range phones {
			m[ph.MAC] = ph
		}
		return m
	}
	a, b := byMAC(have), byMAC(want)
	macs := append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)
	slices.Sort(macs)
	for _, mac := range slices.Compact(macs) {
		one, has := a[mac]
		two, wants := b[mac]
		path := "phones[" + mac + "]"
		switch {
		case !has:
			all = append(all, Difference{path, "missing", two.Model, false})
		case !wants:
			all = append(all, Difference{path, one.Model, "missing", false})
		case one.Model != two.Model:
			all = append(all, Difference{path + ".model", one.Model, two.Model, false})
		case !equal(one.Settings, two.Settings):
			all = append(all, Difference{path + ".settings", show(one.Settings), show(two.Settings), false})
		}
	}
	return all
}

// equal compares values; an absent map or list is an empty one.
func equal(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if k := x.Kind(); (k == reflect.Map || k == reflect.Slice) && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}

func show(v any) string {
	if s := fmt.Sprint(v); s != "" && s != "map[]" {
		return s
	}
	return "none"
}
