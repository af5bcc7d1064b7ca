package cluster

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
)

// maxHistory bounds the lists that a cluster remembers to have served; the oldest
// give way. A record has some 150 bytes of the state, a list a file of its own.
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

func listHash(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// served notes which lists are others than in the state before, nil at
// installation. Their bytes wait in pendingLists.
func (s *state) served(before *state) {
	for i, n := range s.Nodes {
		for _, list := range []struct {
			kind trustlist.Kind
			data []byte
		}{{trustlist.ITL, n.ITL}, {trustlist.CTL, n.CTL}} {
			same := before != nil && bytes.Equal(list.data, before.list(i, list.kind))
			why := s.why
			switch {
			case list.data == nil, same && before.remembers(i, list.kind):
				continue
			case same:
				why = "it was there when lists began to be remembered"
			}
			if s.pendingLists == nil {
				s.pendingLists = make(map[string][]byte)
			}
			hash := listHash(list.data)
			s.pendingLists[hash] = list.data
			s.History = append(s.History, Served{SHA1: hash, Kind: list.kind, Node: i, Since: s.now(), Reason: why})
		}
	}
	if over := len(s.History) - maxHistory; over > 0 {
		s.History = slices.Clone(s.History[over:])
	}
}

func (s *state) list(node int, kind trustlist.Kind) []byte {
	if kind == trustlist.CTL {
		return s.Nodes[node].CTL
	}
	return s.Nodes[node].ITL
}

// remembers reports whether the history has a node's list. That of a cluster which
// an older program made does not.
func (s *state) remembers(node int, kind trustlist.Kind) bool {
	return slices.ContainsFunc(s.History, func(h Served) bool { return h.Node == node && h.Kind == kind })
}

const listsDir = "lists"

// keepLists writes the bytes of lists that are new in the history.
func (c *Cluster) keepLists(lists map[string][]byte) error {
	if c.opts.Dir == "" {
		if c.lists == nil {
			c.lists = make(map[string][]byte)
		}
		for hash, data := range lists {
			c.lists[hash] = data
		}
		return nil
	}
	dir := filepath.Join(c.opts.Dir, listsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for hash, data := range lists {
		path := filepath.Join(dir, hash+".tlv")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := filestore.WriteFile(path, data); err != nil {
			return err
		}
	}
	return nil
}

// History returns every list that the nodes have served, in the order of time.
func (c *Cluster) History() []Served {
	all := slices.Clone(c.state().History)
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

// ErrNoList says that a cluster has never served a list.
var ErrNoList = errors.New("this cluster has not served such a list")

// List returns the bytes of a list that was served, by its SHA-1 in lower-case
// hex.
func (c *Cluster) List(hash string) ([]byte, error) {
	if !slices.ContainsFunc(c.state().History, func(s Served) bool { return s.SHA1 == hash }) {
		return nil, fmt.Errorf("%.40s: %w", hash, ErrNoList)
	}
	c.mu.Lock()
	data, ok := c.lists[hash]
	c.mu.Unlock()
	switch {
	case ok:
		return data, nil
	case c.opts.Dir == "" && c.origin != nil:
		return c.origin.List(hash)
	case c.opts.Dir == "":
		return nil, fmt.Errorf("%s: %w", hash, ErrNoList)
	}
	data, err := os.ReadFile(filepath.Join(c.opts.Dir, listsDir, hash+".tlv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: its file is gone: %w", hash, ErrNoList)
	}
	if err == nil && listHash(data) != hash {
		err = fmt.Errorf("%s: %w", hash, ErrDamaged)
	}
	return data, err
}
