package state

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"time"

	"itlagent/agent/trustlist"
)

// maxHistory bounds the lists that a cluster remembers to have served; the oldest
// are dropped. A record has some 150 bytes of the state, a list a file of its own.
const maxHistory = 5000

// Served is a list that a node served.
type Served struct {
	SHA1   string // of the file, lower-case hex: what phones report
	Kind   trustlist.Kind
	Node   int       // its index: names change
	Since  time.Time // of the bench clock
	Until  time.Time `json:"-"` // zero where it is served now
	Reason string    // of the change that brought it
}

// Hash returns the name of a list in the history: its SHA-1 in lower-case hex.
func Hash(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// Twin reports whether the state is the copy of a real cluster, which phones must not be served.
func (s *State) Twin() bool { return len(s.Secret) > 0 }

// Name returns the name of a list: its Hash, or that of the real cluster's list which it stands
// for.
func (s *State) Name(list []byte) string {
	hash := Hash(list)
	if names := s.Names[hash]; len(names) > 0 {
		return names[0]
	}
	return hash
}

// Own returns the Hash of the list that has a name: see Name.
func (s *State) Own(name string) string {
	for own, names := range s.Names {
		if slices.Contains(names, name) {
			return own
		}
	}
	return name
}

// Record adds to the history the lists that are others than in the state before, nil
// at installation. Their bytes go to the effects.
func (s *State) Record(before *State) {
	for i, n := range s.Nodes {
		for _, kind := range []trustlist.Kind{trustlist.ITL, trustlist.CTL} {
			data := n.list(kind)
			same := before != nil && bytes.Equal(data, before.Nodes[i].list(kind))
			why := s.Effects.Why
			switch {
			case data == nil, same && before.remembers(i, kind):
				continue
			case same:
				why = "it was there when lists began to be remembered"
			}
			if s.Effects.Lists == nil {
				s.Effects.Lists = make(map[string][]byte)
			}
			s.Effects.Lists[Hash(data)] = data
			s.History = append(s.History, Served{SHA1: s.Name(data), Kind: kind, Node: i, Since: s.Now(), Reason: why})
		}
	}
	if over := len(s.History) - maxHistory; over > 0 {
		s.History = slices.Clone(s.History[over:])
	}
}

func (n *Node) list(kind trustlist.Kind) []byte {
	if kind == trustlist.CTL {
		return n.CTL
	}
	return n.ITL
}

// remembers reports whether the history has a node's list. That of a cluster which
// an older program made does not.
func (s *State) remembers(node int, kind trustlist.Kind) bool {
	return slices.ContainsFunc(s.History, func(h Served) bool { return h.Node == node && h.Kind == kind })
}

// HasServed reports whether a list of this name is in the history.
func (s *State) HasServed(hash string) bool {
	if names := s.Names[s.Own(hash)]; len(names) > 0 {
		hash = names[0]
	}
	return slices.ContainsFunc(s.History, func(h Served) bool { return h.SHA1 == hash })
}

// Lists returns every list that the nodes have served, in the order of time, and
// until when.
func (s *State) Lists() []Served {
	all := slices.Clone(s.History)
	for i := range all {
		for _, later := range all[i+1:] {
			if later.Node == all[i].Node && later.Kind == all[i].Kind {
				all[i].Until = later.Since
				break
			}
		}
	}
	return all
}
