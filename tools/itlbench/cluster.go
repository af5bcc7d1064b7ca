package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"itlagent/testbench/cluster"
)

func runCluster(e *env, args []string) int {
	f := e.flags("cluster up")
	profile := f.String("profile", "note", "`NAME` of a built-in profile; there is one: note")
	dir := f.String("dir", "", "`DIR` for files NODE.tftp and NODE.tvs with the addresses")
	port := f.Int("port", 0, "first `PORT`; free ones where 0")
	verbose := f.BoolP("verbose", "v", false, "log what the services refuse")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	switch {
	case f.Arg(0) != "up":
		return e.usage("cluster: no %q; there is: cluster up", f.Arg(0))
	case *profile != "note":
		return e.usage("cluster up: no profile %q; there is one: note", *profile)
	case *port < 0 || *port > 65000:
		return e.usage("cluster up: port %d", *port)
	}
	opts := cluster.Options{Ports: *port}
	if *verbose {
		opts.Logf = func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := cluster.New(cluster.Note(), opts)
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return e.fail(exitInfra, "cluster: %v", err)
	}
	defer c.Close()
	for _, n := range c.Nodes() {
		role := "subscriber"
		if n.NodeSpec.Publisher {
			role = "publisher"
		}
		fmt.Fprintf(e.stdout, "%s %s tftp %s tvs %s\n", n.Name, role, n.Address(), n.TVSAddress())
	}
	if *dir != "" {
		if err := writeAddresses(*dir, c); err != nil {
			return e.fail(exitInfra, "%v", err)
		}
	}
	<-ctx.Done()
	return exitOK
}

// writeAddresses leaves the addresses for scripts; the file of the publisher's
// TFTP service comes last, so that whoever sees it finds the others too.
func writeAddresses(dir string, c *cluster.Cluster) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return plainPath(err)
	}
	nodes := c.Nodes()
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		for _, a := range [][2]string{{n.Name + ".tvs", n.TVSAddress()}, {n.Name + ".tftp", n.Address()}} {
			if err := writeOutput(filepath.Join(dir, a[0]), []byte(a[1]+"\n")); err != nil {
				return err
			}
		}
	}
	return nil
}
