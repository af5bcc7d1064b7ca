package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"

	"itlagent/testbench/cluster"
	"itlagent/testbench/portal"
	"itlagent/testbench/portal/gate"
)

// pagesFlags are how pages are served.
type pagesFlags struct {
	address string
	actions bool
}

func (x *pagesFlags) add(f *pflag.FlagSet, name, usage string) {
	f.StringVar(&x.address, name, x.address, usage)
	f.BoolVar(&x.actions, "actions", false, "let whoever has the token change the cluster through the pages")
}

// open makes the server and its listener, and says where it is.
func (x *pagesFlags) open(e *env, o portal.Options) (serve func(context.Context) error, code int) {
	o.Logf = func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }
	if x.actions {
		if o.Cluster == nil || o.Dir == "" || o.Cluster.State().Twin() {
			return nil, e.usage("pages: --actions changes a bench cluster: a saved audit and the copy of a real one are for looking at")
		}
		path := filepath.Join(o.Dir, "pages-token")
		var err error
		if o.Gate, err = gate.New(path); err != nil {
			return nil, e.fail(exitInfra, "pages: %v", plainPath(err))
		}
		fmt.Fprintf(e.stdout, "the token for changes is in %s\n", path)
	}
	s, err := portal.New(o)
	if err != nil {
		return nil, e.fail(exitInfra, "pages: %v", plainPath(err))
	}
	l, err := portal.Listen(x.address)
	if err != nil {
		return nil, e.usage("pages: %v", err)
	}
	if host, ok := l.Addr().(*net.TCPAddr); x.actions && ok && !host.IP.IsLoopback() {
		fmt.Fprintln(e.stderr, "itlbench: warning: the token goes over the network unencrypted: this address is not on loopback")
	}
	fmt.Fprintf(e.stdout, "pages at http://%s/\n", l.Addr())
	return func(ctx context.Context) error { return s.Serve(ctx, l) }, exitOK
}

// run serves pages beside a cluster, where they are wanted, until the context ends; wait waits
// for that.
func (x *pagesFlags) run(ctx context.Context, e *env, o portal.Options) (wait func(), code int) {
	if x.address == "" && x.actions {
		return nil, e.usage("cluster up: --actions lets pages change the cluster: give their --pages")
	}
	if x.address == "" {
		return func() {}, exitOK
	}
	serve, code := x.open(e, o)
	if code != exitOK {
		return nil, code
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serve(ctx); err != nil {
			fmt.Fprintf(e.stderr, "itlbench: pages: %v\n", err)
		}
	}()
	return func() { <-done }, exitOK
}

// runPages serves the pages of a cluster that this process does not run, or of a saved
// audit.
func runPages(e *env, args []string) int {
	f := e.flags("pages")
	x := pagesFlags{address: "127.0.0.1:0"}
	x.add(f, "listen", "`ADDR` of the pages, host:port; on loopback where no host is given, a free port where it is 0")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	o, code := e.pagesOf(f.Arg(0))
	if code != exitOK {
		return code
	}
	if o.Cluster != nil {
		defer o.Cluster.Close()
	}
	serve, code := x.open(e, o)
	if code != exitOK {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		return e.fail(exitInfra, "pages: %v", err)
	}
	return exitOK
}

// pagesOf opens what pages are about: the directory of a cluster or of the copy of a real
// one, or a file that audit --json wrote.
func (e *env) pagesOf(path string) (o portal.Options, code int) {
	info, err := os.Stat(path)
	if err != nil {
		return o, e.fail(exitInfra, "pages: %v", plainPath(err))
	}
	if !info.IsDir() {
		return portal.Options{Audit: path}, exitOK
	}
	c, err := cluster.Open(cluster.Options{Dir: path})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o, e.fail(exitInfra, "pages: no cluster in %s; itlbench cluster up makes one, itlbench import a copy of a real one", path)
	case err != nil:
		return o, e.clusterFailed("", err)
	}
	return portal.Options{Cluster: c, Dir: path}, exitOK
}
