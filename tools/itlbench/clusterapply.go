package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// differs tells how a cluster that was there before differs from what the command line
// wants of it; it says nothing of flags that were not given. ok is false where it does.
func (e *env) differs(c *cluster.Cluster, f *pflag.FlagSet, dir string, p *profile.Profile) (ok bool) {
	now := c.State()
	var all []string
	if f.Changed("profile") || f.Changed("config") || f.Changed("port") {
		have := now.Profile
		want := *p
		if !f.Changed("profile") && !f.Changed("config") { // the ports alone
			port, _ := f.GetInt("port")
			want = have
			want.FromPort(port)
		}
		for _, d := range have.Diff(&want) {
			all = append(all, d.String())
		}
	}
	if still, _ := f.GetBool("still"); f.Changed("still") && still != now.Set.IsZero() {
		mode := map[bool]string{true: "stands still", false: "runs with the machine's"}
		all = append(all, fmt.Sprintf("clock mode: it %s, not: it %s", mode[now.Set.IsZero()], mode[still]))
	}
	for _, text := range all {
		e.usage("cluster up: %s has another cluster: %s", dir, text)
	}
	return len(all) == 0
}

// readProfile reads a profile from a YAML file.
func readProfile(path string) (profile.Profile, error) {
	data, err := readYAML(path)
	if err != nil {
		return profile.Profile{}, plainPath(err)
	}
	p, err := profile.Parse(data)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	if p.Name == "" {
		p.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return p, nil
}

func clusterApply(e *env, args []string) int {
	f := e.flags("cluster apply")
	config := f.String("config", "", "`FILE` with a profile in YAML")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	p, err := readProfile(*config)
	if err != nil {
		return e.usage("cluster apply: %v", err)
	}
	have := c.State().Profile
	before := have.Diff(&p)
	err = c.Apply(operation.ApplyProfile(p))
	if errors.Is(err, operation.ErrInstall) {
		return e.fail(exitNo, "cluster apply: %v", err)
	}
	if err != nil {
		return e.operationFailed("cluster apply", err)
	}
	for _, d := range before {
		fmt.Fprintf(e.stdout, "%s: %s, was %s\n", d.Path, d.Want, d.Have)
	}
	return exitOK
}

func clusterPhone(e *env, args []string) int {
	f := e.flags("cluster phone")
	c, code := e.clusterCommand(f, args, -3)
	if c == nil {
		return code
	}
	defer c.Close()
	mac := strings.TrimPrefix(f.Arg(1), "SEP")
	var op operation.Operation
	switch {
	case f.Arg(0) == "add" && f.NArg() == 3:
		op = operation.AddPhone(mac, f.Arg(2))
	case f.Arg(0) == "add" && f.NArg() == 2:
		op = operation.AddPhone(mac, defaultModel)
	case f.Arg(0) == "remove" && f.NArg() == 2:
		op = operation.RemovePhone(mac)
	default:
		return e.usage("cluster phone: add MAC [MODEL], or remove MAC")
	}
	if err := c.Apply(op); err != nil {
		return e.operationFailed("cluster phone", err)
	}
	return exitOK
}

// defaultModel is that of a phone whose model is not given: the CUCM 10.0 note's.
const defaultModel = "CP-7965G"
