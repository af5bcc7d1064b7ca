package main

import (
	"bytes"
	"crypto/sha1"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/cluster"
)

var clusterKills = flag.Int("clusterkills", 8, "how often the cluster is killed")

// seen is what a cluster keeps, as far as a kill could harm it.
type seen struct {
	keys, itls, events string
	count              int // of events
}

func look(t *testing.T, dir string) seen {
	t.Helper()
	c, err := cluster.Open(cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var s seen
	for _, n := range c.Nodes() {
		for _, u := range n.State().Certificates() {
			s.keys += fmt.Sprintf("%s %s %x\n", n.Name(), u.Unit, u.Certificate.SerialNumber)
		}
		s.itls += fmt.Sprintf("%x\n", sha1.Sum(n.ITL()))
	}
	events, _, err := c.Events().Since(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		s.events += e.String() + "\n"
	}
	s.count = len(events)
	return s
}

// A cluster is killed at random moments: while it is installed, while it serves,
// while a command changes it. Started again it has the same keys and lists, those
// of before or after that command, and every event that was shown.
func TestKilledCluster(t *testing.T) {
	dir, program, r := toKill(t)
	moment := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	state := filepath.Join(dir, "cluster")
	start := func() (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		up := exec.Command(program, "cluster", "up", "--dir", state)
		stderr := new(bytes.Buffer)
		up.Stderr = stderr
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		return up, stderr
	}
	kill := func(cmd *exec.Cmd) {
		cmd.Process.Kill()
		cmd.Wait()
	}
	command := func(stdin string, args ...string) *exec.Cmd {
		args = append(args[:1:1], append([]string{"--dir", state}, args[1:]...)...)
		if args[0] == "cluster" {
			args = append([]string{"cluster", args[3]}, append(args[4:], args[1:3]...)...)
		}
		cmd := exec.Command(program, args...)
		cmd.Stdin = strings.NewReader(stdin)
		return cmd
	}
	address := filepath.Join(state, "test10pub.tftp")

	for range 3 { // while it is installed
		up, _ := start()
		time.Sleep(moment(150 * time.Millisecond))
		kill(up)
	}
	var last *seen
	commands, changed := 0, 0
	for i := range *clusterKills {
		os.Remove(address)
		up, stderr := start()
		if i%3 == 2 { // while it starts
			time.Sleep(moment(60 * time.Millisecond))
			kill(up)
			os.Remove(address)
			up, stderr = start()
		}
		var at []byte
		for deadline := time.Now().Add(30 * time.Second); len(at) == 0; {
			if at, _ = os.ReadFile(address); time.Now().After(deadline) {
				kill(up)
				t.Fatalf("kill %d: the cluster does not start: %s", i, stderr)
			}
			time.Sleep(time.Millisecond)
		}
		now := look(t, state)
		if last != nil && now != *last {
			t.Errorf("kill %d: started again it is\n%+v\nand was\n%+v", i, now, *last)
		}
		res, err := http.Get("http://" + strings.TrimSpace(string(at)) + "/ITLFile.tlv")
		if err != nil {
			t.Fatal(err)
		}
		list, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.HasPrefix(now.itls, fmt.Sprintf("%x\n", sha1.Sum(list))) {
			t.Errorf("kill %d: %d bytes of a list that is not the kept one, %v", i, len(list), err)
		}
		for _, cmd := range []*exec.Cmd{
			command("", "cluster", "clock", "+6m"), command("yes\n", "admin", "set cert regen CallManager"), command("", "admin", "utils service restart tftp"),
		} {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
			}
			commands++
		}
		before := look(t, state)
		inFlight := command("yes\n", "admin", "set cert regen CallManager")
		if i%2 == 0 {
			inFlight = command("", "admin", "utils service restart tftp")
		}
		if err := inFlight.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(moment(80 * time.Millisecond))
		kill(inFlight)
		kill(up)
		after := look(t, state)
		// Regenerating changes one key and no list; restarting TFTP one list and no key.
		if i%2 == 0 && after.keys != before.keys || i%2 == 1 && after.itls != before.itls {
			t.Errorf("kill %d: a command has changed what it does not change:\n%+v\nwas\n%+v", i, after, before)
		}
		if after.keys != before.keys || after.itls != before.itls {
			changed++
		}
		if !strings.HasPrefix(after.events, before.events) {
			t.Errorf("kill %d: events that were shown are lost:\n%s\nwere\n%s", i, after.events, before.events)
		}
		last = &after
	}
	if !t.Failed() {
		t.Logf("%d kills, %d commands before them and %d of those in flight took effect: 0 lost", *clusterKills, commands, changed)
	}
}
