package lockout

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
)

// Change is one step of what an administrator is about to do, with the restarts that
// belong to it.
type Change struct {
	Text    string // as it is written: "regen CallManager@test10pub"
	Actions []Action
	Reset   bool // every phone resets here

	split []Change // the same, one node at a time; nil for one node
}

// words are those that a change begins with.
var words = []string{"regen", "rename", "migrate", "import", "upgrade", "fips", "rollback", "restart", "itl-reset", "reset"}

// Syntax describes changes, a line each.
func Syntax() []string {
	return []string{
		"regen UNIT[@NODE|@all]       make a certificate again and restart what uses it: CallManager, TVS, CAPF, tomcat, CallManager-ECDSA, ITLRecovery",
		"rename host|domain [NAME][@NODE|@all]   give nodes another name; the publisher where no node is named",
		"migrate TO                   give the phones the TFTP servers of another cluster: its directory, or the profile of a new one",
		"import TO                    let this cluster's TVS know that one's certificates",
		"upgrade RELEASE              10.0, 10.5, 11.5, 12.5 or 14",
		"fips on|off[@NODE]           all certificates of a node, or of every node, are made again",
		"rollback [on|off]            Prepare Cluster for Rollback to Pre 8.0",
		"itl-reset                    utils itl reset localkey",
		"restart tftp|tvs             on every node",
		"reset                        every phone resets here",
	}
}

// Other finds the cluster that a change names.
type Other func(name string) (*cluster.Cluster, error)

// ParseChanges reads a sequence of changes, which may stand in one argument each or in
// words. Clusters that it names are added to the world that is returned.
func ParseChanges(w World, args []string, other Other) ([]Change, World, error) {
	tokens := strings.Fields(strings.Join(args, " "))
	if len(tokens) == 0 {
		return nil, w, errors.New("no change given")
	}
	w = slices.Clone(w)
	named := make(map[string]int)
	var changes []Change
	for i := 0; i < len(tokens); {
		j := i + 1
		for j < len(tokens) && !slices.Contains(words, tokens[j]) {
			j++
		}
		if slices.Contains([]string{"itl-reset", "reset"}, tokens[i]) && j > i+1 {
			return nil, w, fmt.Errorf("%s %s: it takes no words", tokens[i], tokens[i+1])
		}
		place := func(name string) (int, error) {
			if at, ok := named[name]; ok {
				return at, nil
			}
			c, err := other(name)
			if err != nil {
				return 0, err
			}
			w = append(w, c)
			named[name] = len(w) - 1
			return len(w) - 1, nil
		}
		c, err := parseWhole(w[0], tokens[i], tokens[i+1:j], place)
		if err != nil {
			return nil, w, fmt.Errorf("%s: %w", strings.Join(tokens[i:j], " "), err)
		}
		changes = append(changes, c)
		i = j
	}
	return changes, w, nil
}

// parseWhole reads a change, and what it is one node at a time.
func parseWhole(c *cluster.Cluster, word string, args []string, place func(string) (int, error)) (Change, error) {
	ch, err := parseChange(c, word, args, place)
	if err != nil {
		return ch, err
	}
	for k := range ch.Actions {
		a := &ch.Actions[k]
		a.Place = 1 + slices.IndexFunc(c.Nodes(), func(n *cluster.Node) bool { return a.Cluster == 0 && n.Name() == a.Node })
	}
	last := len(args) - 1
	if last < 0 || word != "regen" && word != "rename" && word != "fips" {
		return ch, nil
	}
	what, at, _ := strings.Cut(args[last], "@")
	if at != "all" && (word != "fips" || at != "") || len(c.Nodes()) == 1 {
		return ch, nil
	}
	for _, n := range c.Nodes() {
		one, err := parseWhole(c, word, append(slices.Clone(args[:last]), what+"@"+n.Name()), place)
		if err != nil {
			return ch, err
		}
		ch.split = append(ch.split, one)
	}
	return ch, nil
}

var errSyntax = errors.New("not a change that is known; see itlbench plan --help")

func parseChange(c *cluster.Cluster, word string, args []string, place func(string) (int, error)) (Change, error) {
	arg := strings.Join(args, " ")
	ch := Change{Text: strings.TrimSpace(word + " " + arg)}
	restart := func(service profile.Service, nodes ...string) {
		for _, n := range c.Nodes() {
			if active, _ := n.State().Runs(service); active && (len(nodes) == 0 || slices.Contains(nodes, n.Name())) {
				ch.Actions = append(ch.Actions, Action{Op: OpRestart, Node: n.Name(), Service: service})
			}
		}
	}
	want := func(n int) error {
		if len(args) != n {
			return errSyntax
		}
		return nil
	}
	switch word {
	case "regen":
		if err := want(1); err != nil {
			return ch, err
		}
		name, at, _ := strings.Cut(arg, "@")
		unit, err := findUnit(c, name)
		if err != nil {
			return ch, err
		}
		nodes, err := findNodes(c, at)
		if err != nil {
			return ch, err
		}
		for _, n := range nodes {
			ch.Actions = append(ch.Actions, Action{Op: OpRegenerate, Node: n, Unit: unit})
		}
		ch.Text = "regen " + string(unit) + "@" + strings.Join(nodes, "+")
		if at == "all" {
			ch.Text = "regen " + string(unit) + "@all"
		}
		switch unit {
		case profile.TVS:
			restart(profile.TVSService, nodes...)
			restart(profile.TFTPService)
		case profile.Tomcat:
			restart(profile.TomcatService, nodes...)
		case profile.CallManager, profile.CallManagerEC:
			restart(profile.TFTPService, nodes...)
		default:
			restart(profile.TFTPService)
		}
	case "rename":
		err := parseRename(c, args, &ch)
		return ch, err
	case "migrate", "import":
		if err := want(1); err != nil {
			return ch, err
		}
		to, err := place(arg)
		if err != nil {
			return ch, err
		}
		if word == "migrate" {
			ch.Actions = []Action{{Op: OpTFTPServers, Cluster: to}}
		} else {
			ch.Actions = []Action{{Op: OpImport, From: to}}
		}
	case "upgrade":
		if err := want(1); err != nil {
			return ch, err
		}
		if _, err := profile.FindRelease(arg); err != nil {
			return ch, err
		}
		ch.Actions = []Action{{Op: OpUpgrade, Value: arg}}
	case "fips":
		value, at, _ := strings.Cut(arg, "@")
		if value != "on" && value != "off" {
			return ch, errSyntax
		}
		if at == "" {
			at = "all"
		}
		nodes, err := findNodes(c, at)
		if err != nil {
			return ch, err
		}
		for _, n := range nodes {
			ch.Actions = append(ch.Actions, Action{Op: OpFIPS, Node: n, Value: value})
		}
	case "rollback":
		if arg != "" && arg != "on" && arg != "off" {
			return ch, errSyntax
		}
		ch.Actions = []Action{{Op: OpRollback, Value: arg}}
		restart(profile.TVSService)
		restart(profile.TFTPService)
	case "restart":
		service, err := profile.FindService(arg)
		if err != nil {
			return ch, err
		}
		restart(service)
	case "itl-reset":
		ch.Actions = []Action{{Op: OpResetITL}}
	case "reset":
		ch.Reset = true
	default:
		return ch, errSyntax
	}
	return ch, nil
}

func parseRename(c *cluster.Cluster, args []string, ch *Change) error {
	if len(args) == 0 || len(args) > 2 {
		return errSyntax
	}
	what, at, _ := strings.Cut(args[0], "@")
	name := "renamed"
	if len(args) == 2 {
		name, at, _ = strings.Cut(args[1], "@")
	}
	if what == "domain" && len(args) == 1 {
		name = "renamed.example"
	}
	if what != "host" && what != "domain" || name == "" {
		return errSyntax
	}
	if what == "host" && at == "all" {
		return errors.New("nodes cannot all have one name")
	}
	nodes, err := findNodes(c, at)
	for _, n := range nodes {
		ch.Actions = append(ch.Actions, Action{Op: OpRename, Node: n, Value: what + " " + name})
	}
	return err
}

func findUnit(c *cluster.Cluster, name string) (profile.Unit, error) {
	var have []string
	for _, own := range c.Publisher().State().Certificates() {
		if strings.EqualFold(string(own.Unit), name) {
			return own.Unit, nil
		}
		have = append(have, string(own.Unit))
	}
	return "", fmt.Errorf("no certificate %q in this release; there are: %s", name, strings.Join(have, ", "))
}

// findNodes finds nodes by name, by "pub" and "sub" where the role is enough, or all.
func findNodes(c *cluster.Cluster, name string) ([]string, error) {
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

// Do makes the change to a world, which should be a fork: phones are not in it.
// Certificates that must wait for each other do.
func (ch *Change) Do(w World) error {
	for i := range ch.Actions {
		a := &ch.Actions[i]
		if a.Op == OpTFTPServers {
			continue
		}
		if a.Op == OpRegenerate {
			if err := waitForHold(w[a.Cluster], a.node(w[a.Cluster]), a.Unit); err != nil {
				return err
			}
		}
		if _, err := a.Do(w, Phone{}); err != nil {
			return fmt.Errorf("%s: %w", ch.Text, err)
		}
	}
	return nil
}

// Move is what the change does to a phone without a reset: it may be given other
// servers.
func (ch *Change) Move(w World, p Phone) (Phone, error) {
	for i := range ch.Actions {
		if a := &ch.Actions[i]; a.Op == OpTFTPServers {
			var err error
			if p, err = a.Do(w, p); err != nil {
				return p, fmt.Errorf("%s: %w", ch.Text, err)
			}
		}
	}
	return p, nil
}

// Commands returns what is typed for the change.
func (ch *Change) Commands(w World) (all []Command) {
	for i := range ch.Actions {
		all = append(all, ch.Actions[i].Commands(w)...)
	}
	return all
}
