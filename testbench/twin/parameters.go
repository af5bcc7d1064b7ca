package twin

import (
	"bytes"
	"crypto/x509"
	"path/filepath"
	"regexp"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/pki"
)

// parameters tells what lists tell of the cluster's parameters.
func (b *builder) parameters(last *list) {
	blank := 0
	for i := range last.file.Records {
		if r := &last.file.Records[i]; r.Role() != trustlist.SAST && r.Empty() {
			blank++
		}
	}
	b.s.Rollback = blank > 0
	ctl := b.newest(trustlist.CTL)
	if ctl == nil {
		return
	}
	b.s.CTL, b.s.Addressless = ctl.data, b.addressless
	for _, l := range b.all {
		b.s.Addressless = b.s.Addressless || l.text && l.kind == trustlist.CTL
	}
	for i, n := range b.nodes {
		if n.tftp && n.ctl != nil {
			b.s.Nodes[i].CTL = n.ctl.data
		} else if n.tftp {
			b.s.Nodes[i].CTL = ctl.data
		}
	}
	for i := range ctl.file.Records {
		if r := &ctl.file.Records[i]; r.Role() == trustlist.CCMTFTP && !r.Empty() {
			b.s.Mixed = true
		}
	}
}

// imports puts certificates of trust stores into them: their paths have the store's name, as in
// "Phone-SAST-trust/other.pem".
func (b *builder) imports(items []*recogniser.Item) {
	for _, it := range items {
		for _, store := range profile.Stores() {
			if !strings.Contains(strings.ToLower(it.Name), strings.ToLower(string(store))) {
				continue
			}
			for _, cert := range it.Certificates {
				if b.isOwn(cert) {
					continue
				}
				t := state.Trusted{Store: store, Identity: &pki.Identity{Certificate: cert}}
				b.s.Imported = append(b.s.Imported, t)
			}
		}
	}
	for _, n := range b.s.Nodes {
		n.Stores = b.s.Imported
	}
}

func (b *builder) isOwn(cert *x509.Certificate) bool {
	for _, n := range b.nodes {
		for _, own := range n.units {
			if own.Equal(cert) {
				return true
			}
		}
	}
	return false
}

var stoppedLine = regexp.MustCompile(`(?m)^\s*(Cisco [A-Za-z ]+?)\s*\[STOPPED\]`)

// services stops what `utils service list` says is stopped. Its file is named after the node, or
// in a folder that is; of a cluster of one node that does not matter.
func (b *builder) services(items []*recogniser.Item) {
	told := make(map[int]bool)
	for _, it := range items {
		if it.Kind != recogniser.ServiceText {
			continue
		}
		at := -1
		for i, n := range b.nodes {
			if len(b.nodes) == 1 || b.byDir(it.Name) == n || strings.Contains(strings.ToLower(filepath.Base(it.Name)), n.name) {
				at = i
			}
		}
		if at < 0 {
			b.note("%s: of which node these services are is not known: name the file after it", it.Name)
			continue
		}
		told[at] = true
		for _, m := range stoppedLine.FindAllSubmatch(it.Data, -1) {
			if service, err := profile.FindService(string(bytes.TrimSpace(m[1]))); err == nil {
				b.s.Nodes[at].Stopped[service] = true
			}
		}
	}
	if len(told) < len(b.nodes) {
		b.note("which services run is not known: TVS and TFTP are taken to run where lists say that they are")
	}
}

// history makes the twin remember every list of the evidence as served.
func (b *builder) history() {
	b.s.Effects.Lists = make(map[string][]byte)
	serves := func(i int, l *list) bool {
		n := b.s.Nodes[i]
		return l.kind == trustlist.ITL && bytes.Equal(n.ITL, l.data) || l.kind == trustlist.CTL && bytes.Equal(n.CTL, l.data)
	}
	add := func(i int, l *list) {
		b.s.History = append(b.s.History, state.Served{SHA1: b.s.Name(l.data), Kind: l.kind, Node: i, Since: l.at, Reason: "found in " + l.from[0]})
	}
	for _, l := range b.all {
		own := state.Hash(l.data)
		b.s.Effects.Lists[own] = l.data
		if l.sha1 != "" && l.sha1 != own {
			b.s.Names[own] = []string{l.sha1}
			if l.md5 != "" {
				b.s.Names[own] = append(b.s.Names[own], l.md5)
			}
		}
	}
	for _, l := range b.all { // those that are served now come last, so that none is later
		at := 0
		if r := l.own(); r != nil {
			for i, n := range b.nodes {
				if n == b.byName(fqdnOf(string(r.Subject()))) {
					at = i
				}
			}
		}
		now := false
		for i := range b.nodes {
			now = now || serves(i, l)
		}
		if !now {
			add(at, l)
		}
	}
	for i := range b.nodes {
		for _, l := range b.all {
			if serves(i, l) {
				add(i, l)
			}
		}
	}
}
