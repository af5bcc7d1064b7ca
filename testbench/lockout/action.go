package lockout

import (
	"errors"
	"fmt"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// row is all that is known of one operation, a thing that people do to clusters and phones: a row
// of the table. What is nil does not apply.
type row struct {
	name        string // stable; of a change also the word that it begins with
	args, about string // of a change, for help; about is "" where it is not one that can be asked about
	perNode     bool   // a change of all nodes can be made one node at a time
	onSite      bool   // somebody must be at the phone
	outside     bool   // somebody outside the cluster has a part in it
	services    bool   // as a remedy, it only sets services right: another one may have to follow
	temporary   bool   // TFTP serves something else until its next ordinary start

	// parse reads the arguments of a change. The text of the change is its words where it is left "".
	parse func(p *parser, args []string) (Change, error)
	// commands lists what is typed.
	commands func(s *sheet, a *action)
	// do does it to a cluster of the world.
	do func(w World, c *cluster.Cluster, a *action) error
	// move does it to a phone.
	move func(w World, a *action, p Phone) (Phone, error)
	// remedies are those that may be tried in a situation, cheapest first.
	remedies func(s *situation) []Remedy
}

// action is an operation with what it is done to.
type action struct {
	op      *row
	cluster int    // its place in the world
	node    string // its name; "" for the whole cluster
	place   int    // its place among the nodes, from 1 on, where it may be renamed before; else 0
	service profile.Service
	unit    profile.Unit
	value   string
	from    int           // of an import: the cluster whose certificates are imported
	key     *pki.Identity // saved recovery key
}

// at returns the present name of the action's node.
func (a *action) at(c *cluster.Cluster) string {
	if a.place > 0 {
		return c.Nodes()[a.place-1].Name()
	}
	return a.node
}

// commandsIn returns what is typed for the action in a world.
func (a *action) commandsIn(w World) []Command {
	s := sheet{w: w, c: w[a.cluster]}
	a.op.commands(&s, a)
	return s.lines
}

// ErrImpossible wraps the reason why something cannot be done.
var ErrImpossible = errors.New("impossible")

// apply does the action to a world and a phone, and returns what becomes of the phone. The
// clusters of the world are changed: it should be a fork.
func (a *action) apply(w World, p Phone) (Phone, error) {
	var err error
	if a.op.do != nil {
		err = a.op.do(w, w[a.cluster], a)
	}
	if a.op.move != nil && err == nil {
		p, err = a.op.move(w, a, p)
	}
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	return p, nil
}

// Command is a line to type, and where.
type Command struct {
	Where  string // "admin" with Node, "phone" (the shell on its console), "bench", "dhcp"
	Node   string
	Line   string
	Answer string // to what it asks; "{admin}" is the administrator's password
	About  string // of the answer, where it is long
}

// String writes the command as it looks to whoever types it.
func (c Command) String() string {
	switch c.Where {
	case "admin":
		line := c.Node + " admin:" + c.Line
		if c.About != "" {
			line += " (paste " + c.About + ")"
		}
		return line
	case "phone":
		return "phone $ " + c.Line
	}
	return c.Line
}

// sheet is what commands are written on.
type sheet struct {
	w     World
	c     *cluster.Cluster
	lines []Command
}

// admin adds a line for the command line of a node, "" for the publisher, with the answer to
// what it asks.
func (s *sheet) admin(node, answer, format string, args ...any) *Command {
	if node == "" {
		node = s.c.Publisher().Name()
	}
	return s.add("admin", node, answer, format, args...)
}

// other adds a line for elsewhere.
func (s *sheet) other(where, answer, format string, args ...any) {
	s.add(where, "", answer, format, args...)
}

func (s *sheet) add(where, node, answer, format string, args ...any) *Command {
	s.lines = append(s.lines, Command{Where: where, Node: node, Line: fmt.Sprintf(format, args...), Answer: answer})
	return &s.lines[len(s.lines)-1]
}
