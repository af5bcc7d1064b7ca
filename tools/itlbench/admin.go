package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
)

// runAdmin is the command line of a node. The codes of its commands are those of
// the program.
func runAdmin(e *env, args []string) int {
	f := e.flags("admin")
	f.SetInterspersed(false) // what follows the flags is the command's
	dir := dirFlag(f)
	node := f.String("node", "", "`NAME` of the node; the publisher where none is given")
	const maxWords = 64
	if code, ok := e.parse(f, args, -maxWords); !ok {
		return code
	}
	c, code := e.openCluster(*dir)
	if c == nil {
		return code
	}
	defer c.Close()
	n := c.Publisher()
	if *node != "" {
		var err error
		if n, err = c.Node(*node); err != nil {
			return e.usage("admin: %v", err)
		}
	}
	if f.NArg() > 0 {
		s := admin.New(n, console.NewPlain(e.stdin, e.stdout))
		s.Progress = e.progress()
		return s.Run(commandLine(f.Args()))
	}
	return e.adminLoop(n)
}

// commandLine joins words; those with spaces are quoted.
func commandLine(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	var line []string
	for _, w := range words {
		if strings.ContainsRune(w, ' ') {
			w = `"` + w + `"`
		}
		line = append(line, w)
	}
	return strings.Join(line, " ")
}

// adminLoop runs a session on the user's terminal, or on what is piped in.
func (e *env) adminLoop(n *cluster.Node) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, _, leave, err := console.Attach(ctx, e.stdin, e.stdout, admin.Prompt, admin.Complete)
	if err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	defer leave()
	s := admin.New(n, c)
	s.Progress = e.progress()
	s.Loop()
	return exitOK
}
