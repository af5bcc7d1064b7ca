package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
	"itlagent/testbench/portal"
)

func clusterUp(e *env, args []string) int {
	f := e.flags("cluster up")
	builtin := f.String("profile", "note", "`NAME` of a built-in profile: "+strings.Join(profile.ProfileNames(), ", "))
	config := f.String("config", "", "`FILE` with a profile in YAML")
	dir := dirFlag(f)
	port := f.Int("port", 0, "first `PORT` of the first node, the next has its ports 10 behind; free ones where 0")
	only := f.StringArray("node", nil, "run the node of this `NAME` alone")
	still := f.Bool("still", false, "a new cluster's bench clock moves by cluster clock alone")
	var pages pagesFlags
	var alerts alertFlags
	pages.add(f, "pages", "`ADDR` of pages to look at, host:port; on loopback where no host is given; none where it is empty")
	detach := f.Bool("detach", false, "go on in the background, and return once every port is open; cluster down ends it, and DIR/up.log has what it says")
	detached := f.Bool(detachedFlag, false, "this is what goes on in the background")
	f.MarkHidden(detachedFlag)
	alerts.add(f)
	verbose := f.BoolP("verbose", "v", false, "log what the services refuse")
	if code, ok := alerts.parse(e, f, args); !ok {
		return code
	}
	if *detach {
		return e.detach(*dir, withoutDetach(args))
	}
	p, code := e.profileOf(f.Changed("profile"), *builtin, *config, *port)
	if code != exitOK {
		return code
	}
	opts := cluster.Options{Dir: *dir, Tick: !*still, Only: *only, SSH: admin.ServeSSH, Logf: e.refusals(*verbose)}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := cluster.New(p, opts)
	if err != nil {
		return e.clusterFailed(*config, err)
	}
	defer c.Close()
	if !e.differs(c, f, *dir, &p) {
		return e.usage("cluster up: give another --dir, or leave the flags out; cluster apply brings ports and phones to a file")
	}
	if err := c.Host(); err != nil {
		return e.clusterFailed(*config, err)
	}
	files := addressesOf(*dir, c, *only)
	if err := c.Start(); err != nil {
		return e.clusterFailed(*config, err)
	}
	ready := e.untilReady(*detached)
	files.print(e.stdout)
	e.checkDescriptors(c, *only)
	if err := files.follow(); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	served, code := pages.run(ctx, e, portal.Options{Cluster: c, Dir: *dir})
	if code != exitOK {
		return code
	}
	defer func() { stop(); served() }()
	ready()
	defer alerts.run(ctx, e, c, stop)()
	return e.keepUp(ctx, c, files)
}

// refusals logs what the services refuse, where that is wanted.
func (e *env) refusals(wanted bool) func(format string, args ...any) {
	if !wanted {
		return nil
	}
	return func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }
}

// profileOf returns the built-in profile of a name, or that of a file where one is given,
// and not both, with ports from one on where it is not 0.
func (e *env) profileOf(named bool, builtin, config string, port int) (profile.Profile, int) {
	if named && config != "" {
		return profile.Profile{}, e.usage("cluster up: --profile and --config are two ways to say the same")
	}
	if port < 0 || port > 65000 {
		return profile.Profile{}, e.usage("cluster up: port %d", port)
	}
	p, err := profile.Builtin(builtin)
	if err != nil {
		return p, e.usage("cluster up: %v", err)
	}
	if config != "" {
		if p, err = readProfile(config); err != nil {
			return p, e.usage("%v", err)
		}
	}
	if port != 0 {
		p.FromPort(port)
	}
	return p, exitOK
}

// keepUp does what is due while a cluster is up, until its end.
func (e *env) keepUp(ctx context.Context, c *cluster.Cluster, files *addresses) int {
	renamed, tick := time.NewTicker(followEvery), time.NewTicker(time.Minute)
	defer renamed.Stop()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return exitOK
		case <-c.Down():
			return exitOK
		case <-renamed.C:
			if err := files.follow(); err != nil {
				fmt.Fprintf(e.stderr, "itlbench: %v\n", err)
			}
		case <-tick.C:
			if err := c.Remind(); err != nil {
				fmt.Fprintf(e.stderr, "itlbench: %v\n", err)
			}
		}
	}
}

// checkDescriptors says where this process may not have the file descriptors that its
// phones need: a connection each.
func (e *env) checkDescriptors(c *cluster.Cluster, only []string) {
	nodes := len(only)
	if nodes == 0 {
		nodes = len(c.Nodes())
	}
	limit, most := serve.Descriptors(nodes)
	if known := len(c.State().Phones); most < known {
		fmt.Fprintf(e.stderr, "itlbench: %d file descriptors: of %d phones %d can be registered with a node by TCP; ulimit -n allows more\n", limit, known, most)
	}
}
