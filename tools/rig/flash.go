package rig

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"itlagent/agent/trust"
	"itlagent/testbench/vaultimage"
)

// What a power cut has left on the flash: read from outside, or told by the phone.

// state is what is known of the flash at one moment.
type state struct {
	sequence uint64
	keys     map[string]string // what is wrong with each, or ""
	list     [sha1.Size]byte   // SHA-1 of the list
	held     bool              // there is a list
	broken   string            // why nothing can be read
	blocks   []vaultimage.Block
	torn     []int // by blocks: what is there of programs that did not end
}

// see reads the flash of a board whose power is off.
func (c *Campaign) see() (state, error) {
	f, ok := c.Rig.(Flash)
	if !ok {
		return state{}, ErrNotSeen
	}
	data, err := f.Vault()
	if err != nil {
		return state{}, err
	}
	return stateOf(data), nil
}

// stateOf reads a flash.
func stateOf(data []byte) state {
	img, err := vaultimage.Read(data, 0)
	if err != nil {
		return state{broken: err.Error()}
	}
	s := state{sequence: img.Sequence, keys: make(map[string]string), blocks: img.Blocks, torn: make([]int, len(img.Blocks))}
	for _, k := range img.Keys {
		s.keys[k.Name] = ""
		if k.Degraded() {
			s.keys[k.Name] = "damaged"
		}
		if k.Name == "itl" {
			s.held, s.list = true, sha1.Sum(k.Value)
		}
	}
	for i, b := range img.Blocks {
		s.torn[i] = b.Skipped
	}
	for _, d := range img.Damage {
		if !d.Lost {
			s.torn[d.Block]++
		}
	}
	return s
}

// during says what the flash did when the power was cut, compared with the cut before: an
// erase that took part of a block, or whose block has no header yet, or a program, in the middle or between
// two of one record. A record that is begun may need an erase: the erase counts.
func (s state) during(before state) During {
	what := Neither
	for i, b := range s.blocks {
		same := i < len(before.blocks) && before.blocks[i].Erases == b.Erases && before.blocks[i].Header == b.Header
		switch {
		case !b.Header && !same, same && b.Fragments < before.blocks[i].Fragments:
			return Erase
		case b.Header && (same && s.torn[i] > before.torn[i] || !same && s.torn[i] > 0):
			what = Program
		}
	}
	return what
}

var (
	notLocked = regexp.MustCompile(`(?m)^locked: no$`)
	updates   = regexp.MustCompile(`(?m)^(\d+) updates, damaged keys \[(.*)\]$`)
	listSHA1  = regexp.MustCompile(`(?m)^SHA1 ([0-9a-f]{40})$`)
	firstUse  = regexp.MustCompile(`(?m)^accepted: ITL.*\nreason: .*\nvia: ` + regexp.QuoteMeta(trust.ViaFirstUse.String()) + `$`)
)

// ask asks a phone that has booted.
func (c *Campaign) ask(ctx context.Context, p *Phone) (s state, err error) {
	text := make(map[string]string)
	for _, line := range []string{"show status", "show itl", "show flash", "why"} {
		if text[line], err = p.run(ctx, line, nil); err != nil {
			return s, err
		}
	}
	s.keys = make(map[string]string)
	if !notLocked.MatchString(text["show status"]) {
		s.broken = "the phone says\n" + text["show status"]
	}
	if g := listSHA1.FindStringSubmatch(text["show itl"]); g != nil {
		s.held = true
		hex.Decode(s.list[:], []byte(g[1]))
	}
	g := updates.FindStringSubmatch(text["show flash"])
	if g == nil {
		return s, fmt.Errorf("%w: show flash: %.80q", errNoVault, text["show flash"])
	}
	if g[2] != "" {
		s.keys[g[2]] = "damaged"
	}
	s.sequence, err = strconv.ParseUint(g[1], 10, 64)
	if firstUse.MatchString(text["why"]) {
		s.keys["itl"] = "lost: the list was installed on first use"
	}
	return s, err
}

// errNoVault says that a phone keeps nothing in a vault.
var errNoVault = errors.New("the phone has no vault on flash, where power cuts could be counted")

// judge notes what a cut has cost.
func (c *Campaign) judge(cut *Cut, s state, booted *Phone) {
	lost := func(format string, args ...any) {
		cut.Lost = append(cut.Lost, fmt.Sprintf("cut %d: ", cut.Number)+fmt.Sprintf(format, args...))
	}
	if s.broken != "" {
		lost("%s", s.broken)
		if booted == nil {
			return
		}
	}
	for name, wrong := range s.keys {
		if wrong != "" {
			lost("%s is %s", name, wrong)
		}
	}
	switch {
	case !s.held:
		lost("no list")
	case !c.served[s.list]:
		lost("a list that was never served")
	}
	if s.sequence < c.before.sequence {
		lost("sequence %d, it was %d", s.sequence, c.before.sequence)
	}
}
