package cluster_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

var stops = flag.Int("stops", 40, "how often TestStopUnderCommands starts and stops a cluster")

// A cluster stops while sessions of SSH and other processes run commands that wait for
// what it holds, and starts again; nothing hangs, and everything reads what is whole
// (run it with -race).
func TestStopUnderCommands(t *testing.T) {
	dir := t.TempDir()
	command := func(conn net.Conn, n *cluster.Node) { // an administrator's session
		for i := 0; ; i++ {
			service := profile.Services()[i%len(profile.Services())]
			if n.Cluster().Apply(operation.Service(n.Name(), service, operation.Restart)) != nil {
				return
			}
			if _, err := fmt.Fprintln(conn, i); err != nil {
				return
			}
		}
	}
	p := profile.Note()
	for i := range p.Nodes { // whose ports nobody else takes while they are stopped
		p.Nodes[i].Host = fmt.Sprintf("127.77.%d.%d", os.Getpid()%250+1, i+1)
	}
	c, err := cluster.New(p, cluster.Options{Dir: dir, SSH: command})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other, err := cluster.Open(cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	done := make(chan bool)
	var callers sync.WaitGroup
	defer callers.Wait()
	defer close(done)
	until := func(f func()) {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					f()
				}
			}
		})
	}
	until(func() { // a session
		conn, err := net.DialTimeout("tcp", c.Publisher().Endpoint("ssh"), time.Second)
		if err != nil {
			time.Sleep(time.Millisecond)
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
		io.Copy(io.Discard, conn)
	})
	until(func() { other.Apply(operation.SetFault("test10sub", profile.TVSService, "close")) })
	until(func() {
		other.Apply(operation.SetFault("test10sub", profile.TVSService, profile.NoFault))
		other.Status()
	})
	until(func() { c.Status(); c.Apply(operation.ResetPhones("a test wants it")) })
	for i := range *stops {
		if err := c.Start(); err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		stopped := make(chan bool)
		go func() { c.Stop(); close(stopped) }()
		select {
		case <-stopped:
		case <-time.After(30 * time.Second):
			t.Fatalf("stop %d hangs", i)
		}
	}
}

// The sockets of a cluster belong to its owner only.
func TestModes(t *testing.T) {
	dir := t.TempDir()
	c, err := cluster.New(profile.Note(), cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	found := 0
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(e.Name()) == ".sock" {
			found++
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if found != 2 {
		t.Errorf("%d sockets, want 2", found)
	}
}
