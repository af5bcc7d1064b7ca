package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/evidence"
)

// listJSON is the object that `cluster lists --json` prints.
type listJSON struct {
	Kind   string `json:"kind"`
	Node   string `json:"node"`
	SHA1   string `json:"sha1"`
	Since  int64  `json:"since"`
	Until  int64  `json:"until"` // 0 where it is served now
	Reason string `json:"reason"`
}

func clusterLists(e *env, args []string) int {
	f := e.flags("cluster lists")
	asJSON := f.Bool("json", false, "print one JSON object a list")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	for _, s := range c.State().Lists() {
		out := listJSON{Kind: s.Kind.String(), Node: c.Nodes()[s.Node].Name(), SHA1: s.SHA1, Since: s.Since.Unix(), Reason: s.Reason}
		until := "now"
		if !s.Until.IsZero() {
			out.Until, until = s.Until.Unix(), s.Until.UTC().Format(time.DateTime)
		}
		if *asJSON {
			printJSON(e.stdout, out)
			continue
		}
		fmt.Fprintf(e.stdout, "%s %s %s from %s to %s: %s\n", out.Kind, out.Node, out.SHA1, s.Since.UTC().Format(time.DateTime), until, trustlist.Printable([]byte(s.Reason)))
	}
	return exitOK
}

func clusterServe(e *env, args []string) int {
	f := e.flags("cluster serve")
	c, code := e.clusterCommand(f, args, 1)
	if c == nil {
		return code
	}
	defer c.Close()
	list, err := c.List(strings.ToLower(f.Arg(0)))
	if errors.Is(err, store.ErrNoList) {
		var file *trustlist.File
		if file, err = evidence.OpenFile(f.Arg(0)); err != nil {
			return e.fail(exitNo, "neither a list that the cluster has served nor a file: %v", err)
		}
		if file.Kind != trustlist.ITL {
			return e.fail(exitNo, "%s: it is a %v, not an ITL", f.Arg(0), file.Kind)
		}
		list = file.Bytes()
	}
	if err == nil {
		err = c.Apply(operation.ServeITL(list))
	}
	if err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	return exitOK
}
