package lockout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// Change is one step of a plan, with the restarts that belong to it.
type Change struct {
	Text  string // as it is written: "regen CallManager@test10pub"
	Reset bool   // every phone resets here

	actions []action
	split   []Change // the same, one node at a time; nil for one node
}

// rowOf returns the row of the change that a word begins; nil where there is none.
func rowOf(word string) *row {
	for _, row := range table {
		if row.name == word && row.parse != nil {
			return row
		}
	}
	return nil
}

// Syntax describes changes, a line each.
func Syntax() (lines []string) {
	for _, row := range table {
		if row.parse != nil {
			lines = append(lines, fmt.Sprintf("%-40s %s", strings.TrimSpace(row.name+" "+row.args), row.about))
		}
	}
	return lines
}

// parser reads the changes of a plan.
type parser struct {
	w     World
	find  func(name string) (*cluster.Cluster, error)
	named map[string]int // places of the clusters that changes have named
}

// ParseChanges reads the changes of a plan, which may stand in one argument each or in
// words. find finds a cluster that a change names; such clusters are added to the world that is
// returned.
func ParseChanges(w World, args []string, find func(name string) (*cluster.Cluster, error)) ([]Change, World, error) {
	tokens := strings.Fields(strings.Join(args, " "))
	if len(tokens) == 0 {
		return nil, w, errors.New("no change given")
	}
	p := &parser{w: slices.Clone(w), find: find, named: make(map[string]int)}
	var changes []Change
	for len(tokens) > 0 {
		n := 1
		for n < len(tokens) && rowOf(tokens[n]) == nil {
			n++
		}
		c, err := p.change(tokens[0], tokens[1:n])
		if err != nil {
			return nil, p.w, fmt.Errorf("%s: %w", strings.Join(tokens[:n], " "), err)
		}
		changes, tokens = append(changes, c), tokens[n:]
	}
	return changes, p.w, nil
}

var errSyntax = errors.New("not a change that is known; see itlbench plan --help")

// change reads one change, and what it is one node at a time.
func (p *parser) change(word string, args []string) (Change, error) {
	row := rowOf(word)
	if row == nil {
		return Change{}, errSyntax
	}
	ch, err := row.parse(p, args)
	if err != nil {
		return ch, err
	}
	if ch.Text == "" {
		ch.Text = strings.Join(append([]string{word}, args...), " ")
	}
	nodes := p.w[0].Nodes()
	acts := 0 // on how many nodes, but for restarts
	for k := range ch.actions {
		a := &ch.actions[k]
		a.place = 1 + slices.IndexFunc(nodes, func(n *cluster.Node) bool { return a.cluster == 0 && n.Name() == a.node })
		if a.op.name == word {
			acts++
		}
	}
	if !row.perNode || acts < 2 {
		return ch, nil
	}
	last := len(args) - 1
	what, _, _ := strings.Cut(args[last], "@")
	for _, n := range nodes {
		one, err := p.change(word, append(slices.Clone(args[:last]), what+"@"+n.Name()))
		if err != nil {
			return ch, err
		}
		ch.split = append(ch.split, one)
	}
	return ch, nil
}

func noWords(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected word %q", args[0])
	}
	return nil
}

// other returns the place of the cluster that the only argument names.
func (p *parser) other(args []string) (int, error) {
	if len(args) != 1 {
		return 0, errSyntax
	}
	if at, ok := p.named[args[0]]; ok {
		return at, nil
	}
	c, err := p.find(args[0])
	if err != nil {
		return 0, err
	}
	p.w = append(p.w, c)
	p.named[args[0]] = len(p.w) - 1
	return len(p.w) - 1, nil
}

// restarts are the restarts of a service, of the named nodes where there are some.
func (p *parser) restarts(service profile.Service, nodes ...string) (all []action) {
	for _, name := range active(p.w[0], service) {
		if len(nodes) == 0 || slices.Contains(nodes, name) {
			all = append(all, action{op: restart(), node: name, service: service})
		}
	}
	return all
}

// restartsFor are the restarts after which nothing has the former certificate of a unit of
// the named nodes, or of all.
func (p *parser) restartsFor(unit profile.Unit, nodes ...string) []action {
	switch unit {
	case profile.TVS: // which every list names
		return append(p.restarts(profile.TVSService, nodes...), p.restarts(profile.TFTPService)...)
	case profile.Tomcat:
		return p.restarts(profile.TomcatService, nodes...)
	case profile.CallManager, profile.CallManagerEC:
		return p.restarts(profile.TFTPService, nodes...)
	case profile.IPsec:
		return nil
	}
	return p.restarts(profile.TFTPService)
}

// unit finds a unit by its name.
func (p *parser) unit(among []profile.Unit, name string) (profile.Unit, error) {
	if u, ok := profile.FindUnit(among, name); ok {
		return u, nil
	}
	return "", fmt.Errorf("no such certificate %q in this release; there are: %s", name, strings.Trim(fmt.Sprint(among), "[]"))
}

// nodes finds nodes by name, by "pub" and "sub" where the role is enough, or all.
func (p *parser) nodes(name string) ([]string, error) {
	c := p.w[0]
	var all, subs []string
	for _, n := range c.Nodes() {
		all = append(all, n.Name())
		if !n.IsPublisher() {
			subs = append(subs, n.Name())
		}
	}
	switch {
	case slices.Contains(all, name):
		return []string{name}, nil
	case name == "all":
		return all, nil
	case name == "" || name == "pub":
		return []string{c.Publisher().Name()}, nil
	case name == "sub" && len(subs) == 1:
		return subs, nil
	}
	_, err := c.Node(name)
	return nil, err
}

// do makes the change to a world, which should be a fork: phones are not in it.
// Certificates that must wait for each other do.
func (ch *Change) do(w World) error {
	for i := range ch.actions {
		if err := ch.Act(w, i); err != nil {
			return err
		}
	}
	return nil
}

// Len returns of how many single actions the change consists.
func (ch *Change) Len() int { return len(ch.actions) }

// Act does one of the change's actions to a world: to the clusters themselves, not to
// copies. A certificate that must wait for another one has the bench clock moved ahead.
func (ch *Change) Act(w World, i int) error {
	a := &ch.actions[i]
	if a.op.do == nil {
		return nil
	}
	if a.unit != "" {
		if err := waitForHold(w[a.cluster], a.at(w[a.cluster]), a.unit); err != nil {
			return err
		}
	}
	if _, err := a.apply(w, Phone{}); err != nil {
		return fmt.Errorf("%s: %w", ch.Text, err)
	}
	return nil
}

// Elsewhere reports whether the change, or a part of it, is made where a cluster cannot
// reach: phones are given other servers, or a CA signs a certificate.
func (ch *Change) Elsewhere() bool {
	return slices.ContainsFunc(ch.actions, func(a action) bool { return a.op.move != nil || a.op.outside })
}

// waitForHold moves the bench clock of a cluster ahead until a certificate of a node
// may be regenerated.
func waitForHold(c *cluster.Cluster, node string, u profile.Unit) error {
	var hold *operation.HoldError
	if errors.As(operation.Held(c.State(), node, u), &hold) {
		return c.Apply(operation.Advance(operation.HoldTime + time.Minute))
	}
	return nil
}

// move is what the change does to a phone without a reset: it may be given other
// servers.
func (ch *Change) move(w World, p Phone) (Phone, error) {
	for i := range ch.actions {
		if a := &ch.actions[i]; a.op.move != nil {
			var err error
			if p, err = a.apply(w, p); err != nil {
				return p, fmt.Errorf("%s: %w", ch.Text, err)
			}
		}
	}
	return p, nil
}

// Commands returns what is typed for the change.
func (ch *Change) Commands(w World) (all []Command) {
	for i := range ch.actions {
		all = append(all, ch.actions[i].commandsIn(w)...)
	}
	return all
}
