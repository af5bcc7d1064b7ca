package lockout

import (
	"errors"
	"strings"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
)

// multiServer is the node of a certificate that all nodes share.
const multiServer = "multi"

func sign() *row {
	return &row{
		name: "sign", args: "UNIT[@NODE|@all|@multi]", perNode: true, outside: true,
		about: "import a certificate signed by a CA and restart what uses it; @multi: one that all nodes share",
		parse: parseSign,
		commands: func(s *sheet, a *action) {
			generate := "set csr gen " + string(a.unit)
			if a.value == multiServer {
				generate += " multi-server"
			}
			s.admin(a.at(s.c), "", "%s", generate)
			s.admin(a.at(s.c), "", "show csr own %s", a.unit)
			s.other("bench", "", "itlbench cert --sign %s-%s.csr --signer CA -o %s-%s.pem", a.at(s.c), a.unit, a.at(s.c), a.unit)
			store, _ := strings.CutSuffix(string(a.unit.Trust()), "-trust")
			s.admin(a.at(s.c), "", "set cert import trust %s", store).About = "the certificate of the CA, and of each above it"
			s.admin(a.at(s.c), "", "set cert import own %s", a.unit).About = "the signed certificate"
		},
		do: func(_ World, c *cluster.Cluster, a *action) error {
			all := a.value == multiServer
			if all {
				for _, n := range c.Nodes() {
					if err := waitForHold(c, n.Name(), a.unit); err != nil {
						return err
					}
				}
			}
			return c.Apply(operation.SignByCA(a.at(c), a.unit, all))
		},
	}
}

func parseSign(p *parser, args []string) (Change, error) {
	if len(args) != 1 {
		return Change{}, errSyntax
	}
	name, at, _ := strings.Cut(args[0], "@")
	release := p.w[0].State().Release()
	unit, err := p.unit(release.Signable(), name)
	if err != nil {
		return Change{}, err
	}
	if at == multiServer {
		if !release.Shareable(unit) {
			return Change{}, errors.New("in this release every node has a certificate " + string(unit) + " of its own")
		}
		pub := p.w[0].Publisher().Name()
		one := action{op: sign(), node: pub, unit: unit, value: multiServer}
		return Change{Text: "sign " + string(unit) + "@" + multiServer, actions: append([]action{one}, p.restartsFor(unit)...)}, nil
	}
	nodes, err := p.nodes(at)
	if err != nil {
		return Change{}, err
	}
	if at != "all" {
		at = strings.Join(nodes, "+")
	}
	ch := Change{Text: "sign " + string(unit) + "@" + at}
	for _, n := range nodes {
		ch.actions = append(ch.actions, action{op: sign(), node: n, unit: unit})
	}
	ch.actions = append(ch.actions, p.restartsFor(unit, nodes...)...)
	return ch, nil
}
