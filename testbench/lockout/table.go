package lockout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// table has every operation, those that offer remedies in the order of their cost: services,
// keys, other clusters, old states, and at last the phone itself.
var table = []*row{
	regen(), sign(), rename(), upgrade(), fips(), rollback(), reset(),
	fix(), restart(), signDigest(), itlReset(), ctlUpdate(), ctlReset(), remoteKey(), importCertificates(), migrate(), serveList(), restore(), decrypt(),
	alternate(), erase(), factoryReset(),
}

func regen() *row {
	return &row{
		name: "regen", args: "UNIT[@NODE|@all]", perNode: true,
		about: "re-create a certificate and restart what uses it: CallManager, TVS, CAPF, tomcat, CallManager-ECDSA, ITLRecovery",
		parse: parseRegen,
		commands: func(s *sheet, a *action) {
			s.admin(a.at(s.c), "yes", "set cert regen %s", a.unit)
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			return c.Apply(operation.Regenerate(a.at(c), a.unit))
		},
	}
}

func parseRegen(p *parser, args []string) (Change, error) {
	if len(args) != 1 {
		return Change{}, errSyntax
	}
	name, at, _ := strings.Cut(args[0], "@")
	unit, err := p.unit(p.w[0].State().Release().Units(), name)
	if err != nil {
		return Change{}, err
	}
	nodes, err := p.nodes(at)
	if err != nil {
		return Change{}, err
	}
	if at != "all" {
		at = strings.Join(nodes, "+")
	}
	ch := Change{Text: "regen " + string(unit) + "@" + at}
	for _, n := range nodes {
		ch.actions = append(ch.actions, action{op: regen(), node: n, unit: unit})
	}
	ch.actions = append(ch.actions, p.restartsFor(unit, nodes...)...)
	return ch, nil
}

func rename() *row {
	return &row{
		name: "rename", args: "host|domain [NAME][@NODE|@all]", perNode: true,
		about: "give nodes another name; the publisher where no node is named",
		parse: func(p *parser, args []string) (Change, error) {
			if len(args) == 0 || len(args) > 2 {
				return Change{}, errSyntax
			}
			what, at, _ := strings.Cut(args[0], "@")
			name := map[string]string{"host": "renamed", "domain": "renamed.example"}[what]
			if len(args) == 2 {
				name, at, _ = strings.Cut(args[1], "@")
			}
			if what != "host" && what != "domain" || name == "" {
				return Change{}, errSyntax
			}
			if what == "host" && at == "all" {
				return Change{}, errors.New("nodes cannot all have one name")
			}
			nodes, err := p.nodes(at)
			var ch Change
			for _, n := range nodes {
				ch.actions = append(ch.actions, action{op: rename(), node: n, value: what + " " + name})
			}
			return ch, err
		},
		commands: func(s *sheet, a *action) {
			what, name, _ := strings.Cut(a.value, " ")
			s.admin(a.at(s.c), "y", "utils network %s %s", map[string]string{"host": "hostname", "domain": "domain"}[what], name)
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			what, name, _ := strings.Cut(a.value, " ")
			if what == "host" {
				return c.Apply(operation.Rename(a.at(c), name, ""))
			}
			return c.Apply(operation.Rename(a.at(c), "", name))
		},
	}
}

func upgrade() *row {
	return &row{
		name: "upgrade", args: "RELEASE", about: "10.0, 10.5, 11.5, 12.5 or 14",
		parse: func(_ *parser, args []string) (Change, error) {
			if len(args) != 1 {
				return Change{}, errSyntax
			}
			_, err := profile.FindRelease(args[0])
			return Change{actions: []action{{op: upgrade(), value: args[0]}}}, err
		},
		commands: func(s *sheet, a *action) { s.admin("", "y", "utils system upgrade initiate %s", a.value) },
		do:       func(_ World, c *cluster.Cluster, a *action) error { return c.Apply(operation.Upgrade(a.value)) },
	}
}

func fips() *row {
	return &row{
		name: "fips", args: "on|off[@NODE]", perNode: true, about: "re-create all certificates of a node, or of every node",
		parse: func(p *parser, args []string) (Change, error) {
			value, at, _ := strings.Cut(strings.Join(args, " "), "@")
			if value != "on" && value != "off" {
				return Change{}, errSyntax
			}
			if at == "" {
				at = "all"
			}
			nodes, err := p.nodes(at)
			var ch Change
			for _, n := range nodes {
				ch.actions = append(ch.actions, action{op: fips(), node: n, value: value})
			}
			return ch, err
		},
		commands: func(s *sheet, a *action) {
			s.admin(a.at(s.c), "y", "utils fips %s", map[string]string{"on": "enable", "off": "disable"}[a.value])
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			return c.Apply(operation.SetFIPS(a.at(c), a.value == "on"))
		},
	}
}

func rollback() *row {
	return &row{
		name: "rollback", args: "[on|off]", about: "Prepare Cluster for Rollback to Pre 8.0",
		parse: func(p *parser, args []string) (Change, error) {
			value := strings.Join(args, " ")
			if value != "" && value != "on" && value != "off" {
				return Change{}, errSyntax
			}
			return Change{actions: slices.Concat([]action{{op: rollback(), value: value}}, p.restarts(profile.TVSService), p.restarts(profile.TFTPService))}, nil
		},
		commands: func(s *sheet, a *action) {
			s.admin("", "", `set enterprise parameter "Prepare Cluster for Rollback to Pre 8.0" %s`, map[bool]string{true: "True", false: "False"}[a.value != "off"])
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			return c.Apply(operation.SetRollback(a.value != "off"))
		},
	}
}

// reset is the step in which every phone resets.
func reset() *row {
	return &row{
		name: "reset", about: "every phone resets here",
		parse: func(_ *parser, args []string) (Change, error) {
			return Change{Reset: true}, noWords(args)
		},
	}
}

func fix() *row {
	return &row{
		name: "fix", services: true,
		commands: func(s *sheet, a *action) {
			n, err := s.c.Node(a.at(s.c))
			if err != nil {
				return
			}
			if n.State().Fault(a.service).Kind != "" {
				s.other("bench", "", "itlbench cluster fault %s %s none", n.Name(), profile.ShortName(a.service))
			}
			if _, started := n.State().Runs(a.service); !started {
				s.admin(n.Name(), "", "utils service start %s", a.service)
			}
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			n, err := c.Node(a.at(c))
			if err == nil {
				err = c.Apply(operation.SetFault(n.Name(), a.service, profile.NoFault))
			}
			if err != nil {
				return err
			}
			if _, started := n.State().Runs(a.service); started {
				return nil
			}
			return c.Apply(operation.Service(n.Name(), a.service, operation.Start))
		},
		remedies: func(s *situation) (all []Remedy) {
			tvs, tftp := s.w.broken(profile.TVSService), s.w.broken(profile.TFTPService)
			all = []Remedy{
				{Name: "fix-tvs", What: "make TVS answer again", actions: tvs},
				{Name: "fix-tftp", What: "make TFTP serve again", actions: tftp},
			}
			if len(tvs) > 0 && len(tftp) > 0 {
				all = append(all, Remedy{Name: "fix-both", What: "make TVS and TFTP work again", actions: slices.Concat(tvs, tftp)})
			}
			return all
		},
	}
}

// broken are the actions that fix a service everywhere.
func (w World) broken(service profile.Service) (all []action) {
	for i, c := range w {
		for _, n := range c.Nodes() {
			active, started := n.State().Runs(service)
			if fault := n.State().Fault(service); active && (!started || fault.Kind != "") {
				all = append(all, action{op: fix(), cluster: i, node: n.Name(), service: service})
			}
		}
	}
	return all
}

func restart() *row {
	return &row{
		name: "restart", args: "tftp|tvs|sip", about: "on every node", services: true,
		parse: func(p *parser, args []string) (Change, error) {
			service, err := profile.FindService(strings.Join(args, " "))
			if err != nil {
				return Change{}, err
			}
			return Change{actions: p.restarts(service)}, nil
		},
		commands: func(s *sheet, a *action) { s.admin(a.at(s.c), "", "utils service restart %s", a.service) },
		do: func(_ World, c *cluster.Cluster, a *action) error {
			return c.Apply(operation.Service(a.at(c), a.service, operation.Restart))
		},
		remedies: func(s *situation) []Remedy {
			var tvs []action
			for i := range s.w {
				tvs = append(tvs, s.w.running(i, profile.TVSService)...)
			}
			return []Remedy{
				{Name: "restart-tvs", What: "restart TVS, which then knows all that was imported", actions: tvs},
				{Name: "restart-tftp", What: "restart TFTP, which then signs as always", actions: s.w.running(s.at, profile.TFTPService)},
			}
		},
	}
}

// running are the restarts of a service where it runs, on a cluster.
func (w World) running(at int, service profile.Service) (all []action) {
	for _, n := range w[at].Nodes() {
		if _, started := n.State().Runs(service); started {
			all = append(all, action{op: restart(), cluster: at, node: n.Name(), service: service})
		}
	}
	return all
}

func signDigest() *row {
	return &row{
		name: "sign-digest",
		commands: func(s *sheet, a *action) {
			s.admin("", "", `set enterprise parameter "TFTP File Signature Algorithm" %s`, a.value)
			for _, name := range s.c.State().TFTPNodes() {
				s.admin(name, "", "utils service restart %s", profile.TFTPService)
			}
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			digest := trustlist.SHA1
			if a.value != digest.String() {
				digest = trustlist.SHA512
			}
			err := c.Apply(operation.SetDigest(digest))
			for _, name := range c.State().TFTPNodes() {
				err = errors.Join(err, c.Apply(operation.RestartTFTP(name)))
			}
			return err
		},
		remedies: func(s *situation) []Remedy {
			if s.c().State().Digest == trustlist.SHA1 {
				return nil
			}
			return []Remedy{{Name: "sha1", What: "sign with SHA-1", actions: []action{{op: signDigest(), cluster: s.at, value: trustlist.SHA1.String()}}}}
		},
	}
}

func itlReset() *row {
	return &row{
		name: "itl-reset", about: "utils itl reset localkey", temporary: true,
		parse: func(_ *parser, args []string) (Change, error) {
			return Change{actions: []action{{op: itlReset()}}}, noWords(args)
		},
		commands: func(s *sheet, _ *action) { s.admin("", "{admin}", "utils itl reset localkey") },
		do:       func(_ World, c *cluster.Cluster, _ *action) error { return c.Apply(operation.ResetITL(nil)) },
		remedies: func(s *situation) []Remedy {
			return []Remedy{{Name: "reset-localkey", What: "reset the ITL with the key of the publisher", actions: []action{{op: itlReset(), cluster: s.at}}}}
		},
	}
}

func ctlReset() *row {
	return &row{
		name:     "ctl-reset",
		commands: func(s *sheet, _ *action) { s.admin("", "{admin}", "utils ctl reset localkey") },
		do:       func(_ World, c *cluster.Cluster, _ *action) error { return c.Apply(operation.ResetCTL()) },
		remedies: func(s *situation) []Remedy {
			if s.c().Publisher().State().CTL == nil {
				return nil
			}
			ctl := action{op: ctlReset(), cluster: s.at}
			return []Remedy{
				{Name: "reset-ctl", What: "reset the CTL with the key of the publisher", actions: []action{ctl}},
				{Name: "reset-lists", What: "reset CTL and ITL with the key of the publisher", actions: []action{ctl, {op: itlReset(), cluster: s.at}}},
			}
		},
	}
}

// maxOldLists and maxBackups bound how much of the past is tried.
const (
	maxOldLists = 20
	maxBackups  = 10
)

func serveList() *row {
	return &row{
		name: "serve-list", temporary: true,
		commands: func(s *sheet, a *action) { s.other("bench", "", "itlbench cluster serve %s", a.value) },
		do: func(_ World, c *cluster.Cluster, a *action) error {
			list, err := c.List(a.value)
			if err != nil {
				return err
			}
			return c.Apply(operation.ServeITL(list))
		},
		remedies: func(s *situation) (all []Remedy) {
			for _, old := range oldLists(s.c()) {
				all = append(all, Remedy{Name: "restore-list", What: fmt.Sprintf("serve the list of %s again (%s)", old.Since.Format(time.DateTime), old.Reason),
					actions: []action{{op: serveList(), cluster: s.at, value: old.SHA1}}})
			}
			return all
		},
	}
}

func restore() *row {
	return &row{
		name:     "restore",
		commands: func(s *sheet, a *action) { s.admin("", "y", "utils disaster_recovery restore %s", a.value) },
		do:       func(_ World, c *cluster.Cluster, a *action) error { return c.Restore(a.value) },
		remedies: func(s *situation) (all []Remedy) {
			names := s.c().Backups()
			for _, name := range names[:min(len(names), maxBackups)] {
				all = append(all, Remedy{Name: "restore-backup", What: "restore the backup " + name, actions: []action{{op: restore(), cluster: s.at, value: name}}})
			}
			return all
		},
	}
}

func decrypt() *row {
	return &row{
		name:     "decrypt",
		commands: func(s *sheet, a *action) { s.other("bench", "", "itlbench cluster encrypt %s none", a.value) },
		do: func(_ World, c *cluster.Cluster, a *action) error {
			return c.Apply(operation.Encrypt(a.value, nil))
		},
		remedies: func(s *situation) []Remedy {
			if known := s.c().State().Phone(s.p.MAC); known == nil || known.Certificate == nil {
				return nil
			}
			return []Remedy{{Name: "decrypt", What: "serve the phone's configuration unencrypted", actions: []action{{op: decrypt(), cluster: s.at, value: s.p.MAC}}}}
		},
	}
}
