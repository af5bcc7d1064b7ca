package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/lockout"
)

// Paper is what every phone of a fleet held at one moment: what becomes of it can be
// predicted, and compared with what came.
type Paper struct {
	groups map[string]*lockout.Phone // phones that decide alike
	of     []string                  // the group of each phone
}

// Paper writes down what every phone holds now.
func (f *Fleet) Paper() (*Paper, error) {
	all := &Paper{groups: make(map[string]*lockout.Phone)}
	for i, p := range f.phones {
		index := f.of.From + i
		stored, err := holdings.Read(p.store)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", p, err)
		}
		on := &lockout.Phone{MAC: f.spec.MAC(index), Model: f.spec.Model(index), Servers: f.spec.servers(index), Stored: stored, Answers: p.set.Snapshot().Answers}
		key := groupOf(on)
		all.of = append(all.of, key)
		if all.groups[key] == nil {
			all.groups[key] = on
		}
	}
	return all, nil
}

// groupOf tells phones apart that may decide otherwise. Their names are not among it:
// the bench has the same for all of them under their names.
func groupOf(p *lockout.Phone) string {
	h := sha256.New()
	for _, key := range holdings.Deciding() {
		fmt.Fprintf(h, "%s %d ", key, len(p.Stored[key]))
		h.Write(p.Stored[key])
	}
	for _, a := range p.Answers {
		fmt.Fprintf(h, "%x %s ", a.Question.Serial, a.Question.Issuer)
		h.Write(a.Cert)
	}
	fmt.Fprintf(h, "%v %s", p.Servers, p.Model)
	return hex.EncodeToString(h.Sum(nil))
}

// Compared is how results compare with what was predicted.
type Compared struct {
	Wrong       int      // phones that trust, and hold what their cluster did not serve
	Unexplained int      // phones of which something else was predicted
	Examples    []string // of both, a line each
}

const maxExamples = 5

func (c *Compared) example(format string, args ...any) {
	if len(c.Examples) < maxExamples {
		c.Examples = append(c.Examples, fmt.Sprintf(format, args...))
	}
}

// Compare resets every phone once on paper, by the code of the phone itself, against a
// cluster as it is now, and compares that with the results of the same phones.
func (p *Paper) Compare(ctx context.Context, c *cluster.Cluster, results []Result) (Compared, error) {
	var out Compared
	if len(results) != len(p.of) {
		return out, fmt.Errorf("%d results of %d phones", len(results), len(p.of))
	}
	expected := make(map[string]predicted)
	for key, phone := range p.groups {
		next, report, err := phone.Boot(ctx, lockout.World{c})
		if err != nil {
			return out, err
		}
		expected[key] = predicted{reason: report.Reason().String(), ctl: hashOf(listBytes(report.HeldCTL)), itl: hashOf(listBytes(report.HeldITL)),
			config: hashOf(next.Stored[holdings.Config]), report: report}
	}
	now := c.State()
	files := make(map[string]map[string]bool)
	for i := range results {
		r, want := &results[i], expected[p.of[i]]
		if why := want.differs(r); why != "" {
			out.Unexplained++
			out.example("%s: %s", r.Device, why)
		}
		if r.State == Trusted && !served(now, r, files) {
			out.Wrong++
			out.example("%s holds ITL %s, which no node serves", r.Device, cut(r.HeldITL))
		}
	}
	return out, nil
}

// predicted is what a reset on paper has come to.
type predicted struct {
	reason, ctl, itl, config string
	report                   *boot.Report
}

// differs says what of a result was not predicted; "" where all was.
func (w *predicted) differs(r *Result) string {
	switch {
	case r.Boots == 0:
		return "it has not booted"
	case r.Reason != w.reason:
		return fmt.Sprintf("%s, predicted was %s", r.Reason, w.reason)
	case r.HeldITL != w.itl:
		return fmt.Sprintf("it holds ITL %s, predicted was %s", cut(r.HeldITL), cut(w.itl))
	case r.HeldCTL != w.ctl:
		return fmt.Sprintf("it holds CTL %s, predicted was %s", cut(r.HeldCTL), cut(w.ctl))
	case r.HeldConfig != w.config:
		return fmt.Sprintf("it holds configuration %s, predicted was %s", cut(r.HeldConfig), cut(w.config))
	}
	return ""
}

func cut(hash string) string {
	if hash == "" {
		return "none"
	}
	return hash[:min(len(hash), 8)]
}

// served reports whether what a phone that trusts holds is what a node serves. files
// remembers what that is.
func served(s *state.State, r *Result, files map[string]map[string]bool) bool {
	if files["itl"] == nil {
		files["itl"], files["ctl"] = map[string]bool{"": true}, map[string]bool{"": true}
		for _, n := range s.Nodes {
			files["itl"][hashOf(n.ITL)], files["ctl"][hashOf(n.CTL)] = true, true
		}
	}
	if !files["itl"][r.HeldITL] || !files["ctl"][r.HeldCTL] {
		return false
	}
	if r.Config.Reason != trust.Accepted.String() || !strings.HasPrefix(r.Config.Name, "SEP") {
		return true // the default configuration, whose signed form is another file
	}
	name := r.Device + ".cnf.xml"
	return slices.ContainsFunc(s.Nodes, func(n *state.Node) bool {
		data, err := n.File(name, false)
		return err == nil && hashOf(data) == r.HeldConfig
	})
}
