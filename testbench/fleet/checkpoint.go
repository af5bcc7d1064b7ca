package fleet

import (
	"errors"
	"fmt"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/lockout"
)

// MaxCheckpoint bounds a checkpoint, in bytes.
const MaxCheckpoint = 64 << 20

// ErrCheckpoint says that a checkpoint is not one of the phones in question.
var ErrCheckpoint = errors.New("not a checkpoint of this range")

// valued is a store that says all that it has.
type valued interface{ Values() map[string][]byte }

// Checkpoint writes down what every phone holds, behind a step of a run. The phones must
// not be in a directory.
func (f *Fleet) Checkpoint(run string, step int) (*Checkpoint, error) {
	c := &Checkpoint{Run: run, Step: step, Of: f.of}
	places := make(map[string]int)
	for _, p := range f.phones {
		store, ok := p.store.(valued)
		if !ok {
			return nil, errors.New("phones in directories have no checkpoint")
		}
		h := Held{Boots: p.result.Boots}
		for key, value := range store.Values() {
			at, ok := places[string(value)]
			if !ok {
				at = len(c.Values)
				places[string(value)] = at
				c.Values = append(c.Values, value)
			}
			h.Keys, h.Values = append(h.Keys, key), append(h.Values, at)
		}
		for _, a := range p.set.Snapshot().Answers {
			h.Answers = append(h.Answers, answerOf(a))
		}
		c.Phones = append(c.Phones, h)
	}
	return c, nil
}

func answerOf(a trust.Answer) Answer {
	out := Answer{Subject: a.Question.Subject, Issuer: a.Question.Issuer, Serial: a.Question.Serial, Cert: a.Cert, Server: a.Server, Expires: a.Expires}
	for _, r := range a.Roles {
		out.Roles = append(out.Roles, int(r))
	}
	return out
}

func (a *Answer) trust() trust.Answer {
	out := trust.Answer{Question: trust.Question{Subject: a.Subject, Issuer: a.Issuer, Serial: a.Serial}, Failure: trust.Answered, Valid: true,
		Server: a.Server, Cert: a.Cert, Expires: a.Expires}
	for _, r := range a.Roles {
		out.Roles = append(out.Roles, trustlist.Role(r))
	}
	return out
}

// check refuses what comes from elsewhere and is not of a range.
func (c *Checkpoint) check(of Range) error {
	if c.Of != of || len(c.Phones) != of.Len() {
		return fmt.Errorf("%w: it has %d phones from %d on", ErrCheckpoint, len(c.Phones), c.Of.From)
	}
	for i := range c.Phones {
		h := &c.Phones[i]
		if len(h.Keys) != len(h.Values) || h.Boots < 0 {
			return fmt.Errorf("%w: phone %d", ErrCheckpoint, i)
		}
		stored := make(lockout.Stored)
		for k, at := range h.Values {
			if at < 0 || at >= len(c.Values) {
				return fmt.Errorf("%w: phone %d has value %d", ErrCheckpoint, i, at)
			}
			stored[h.Keys[k]] = c.Values[at]
		}
		if err := stored.Check(); err != nil {
			return fmt.Errorf("%w: phone %d: %w", ErrCheckpoint, i, err)
		}
	}
	return nil
}

// values returns what a phone holds, by key.
func (c *Checkpoint) values(phone int) map[string][]byte {
	out := make(map[string][]byte)
	for k, at := range c.Phones[phone].Values {
		out[c.Phones[phone].Keys[k]] = c.Values[at]
	}
	return out
}
