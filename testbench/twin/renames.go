package twin

import (
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
)

// renames follows the nodes through changes of their names, by the lists in the order of their
// times: ITLs name every node that runs TVS, CTLs every call manager. Where one name went and one
// came between two lists, it is one node.
type renames map[string]string // host name -> the one that came after it

func (b *builder) findRenames() {
	b.renamed = make(renames)
	for _, kind := range []trustlist.Kind{trustlist.ITL, trustlist.CTL} {
		var before []string
		for _, l := range b.all {
			if l.kind != kind {
				continue
			}
			if now := l.hosts(); len(now) > 0 {
				b.renamed.learn(before, now)
				before = now
			}
		}
		var now []string
		for _, n := range b.nodes {
			now = append(now, n.name)
		}
		b.renamed.learn(before, now)
	}
	b.goneRecovery()
}

// goneRecovery learns of the node that ITLRecovery is named after, where lists do not name all nodes:
// it is the only one that has no list from the time when a server of that name had one, or else
// from the beginning.
func (b *builder) goneRecovery() {
	host := ""
	last := b.newest(trustlist.ITL)
	for i := range last.file.Records {
		if old, named := strings.CutPrefix(hostOf(string(last.file.Records[i].Subject())), recoveryPrefix); named {
			host = old
		}
	}
	if host == "" || b.byName(b.renamed.now(host)) != nil {
		return
	}
	owners := make(map[string]time.Time) // host names, and when each had its first list
	var begin, lastOf time.Time          // of all lists, and of the host's
	for _, l := range b.all {
		own := l.own()
		if own == nil || l.kind != trustlist.ITL {
			continue
		}
		if begin.IsZero() {
			begin = l.at // the oldest list
		}
		name := hostOf(string(own.Subject()))
		if _, known := owners[name]; !known {
			owners[name] = l.at
		}
		if name == host {
			lastOf = l.at
		}
	}
	if lastOf.IsZero() {
		lastOf = begin // it is named after a server that was there
	}
	var came []string
	for _, n := range b.nodes {
		if first, known := owners[n.name]; known && first.After(lastOf) {
			came = append(came, n.name)
		}
	}
	b.renamed.learn([]string{host}, came)
}

// hosts returns the host names that a list has of all nodes of its kind, in the list's order.
func (l *list) hosts() (names []string) {
	for i := range l.file.Records {
		r := &l.file.Records[i]
		role := r.Role()
		every := role == trustlist.TVS
		if l.kind == trustlist.CTL {
			every = role == trustlist.CCMTFTP || role == trustlist.CCM
		}
		host := hostOf(string(r.Subject()))
		if every && host != "" && !shared(string(r.Subject())) && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}

func hostOf(name string) string {
	host, _, _ := strings.Cut(fqdnOf(name), ".")
	return host
}

// learn compares the names of two moments.
func (r renames) learn(before, now []string) {
	absent := func(from, in []string) (list []string) {
		for _, name := range from {
			if !slices.Contains(in, name) {
				list = append(list, name)
			}
		}
		return list
	}
	went, came := absent(before, now), absent(now, before)
	if len(went) == 1 && len(came) == 1 && r[went[0]] == "" && r.now(came[0]) != went[0] {
		r[went[0]] = came[0]
	}
}

// now returns the name that a node has now.
func (r renames) now(host string) string {
	for range len(r) {
		next := r[host]
		if next == "" {
			break
		}
		host = next
	}
	return host
}
