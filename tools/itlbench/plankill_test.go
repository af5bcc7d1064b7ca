package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

var planPhones = flag.Int("planphones", 8, "how many phones hear a plan that is killed")

// served is a cluster that processes of their own serve, with phones of this one.
type served struct {
	t            *testing.T
	program, dir string
	c            *cluster.Cluster // as any other process sees it
	phones       int
}

// serveSite installs a cluster with so many phones, every other one of which speaks SCCP, and
// lets a process serve each of some nodes; "" serves all.
func serveSite(t *testing.T, phones int, nodes ...string) (s *served, up map[string]*exec.Cmd) {
	t.Helper()
	dir, program, _ := toKill(t)
	s = &served{t: t, program: program, dir: filepath.Join(dir, "cluster"), phones: phones}
	yaml := "name: site\nrelease: \"10.0\"\nnodes:\n  - {name: pub, role: publisher}\n  - {name: sub}\nphones:\n"
	for i := range phones {
		yaml += fmt.Sprintf("  - {mac: \"%012d\", model: CP-7965G, settings: {deviceProtocol: %s}}\n", i, []string{"SIP", "SCCP"}[i%2])
	}
	config := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	up = make(map[string]*exec.Cmd)
	for _, node := range nodes {
		args := []string{"cluster", "up", "--config", config, "--dir", s.dir}
		if node != "" {
			args = append(args, "--node", node)
		}
		cmd := exec.Command(program, args...)
		stderr := new(bytes.Buffer)
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		up[node] = cmd
		if node == "" {
			node = "pub"
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if at, _ := os.ReadFile(filepath.Join(s.dir, node+".tftp")); len(at) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not start: %s", node, stderr)
			}
		}
	}
	var err error
	if s.c, err = cluster.Open(cluster.Options{Dir: s.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.c.Close)
	for i := range phones {
		s.phone(i)
	}
	return s, up
}

// phone runs a phone until the test ends.
func (s *served) phone(i int) {
	s.t.Helper()
	a, err := agent.New(agent.Config{MAC: fmt.Sprintf("%012d", i), Model: "CP-7965G", Servers: lockout.Servers(s.c), Store: new(holdings.MemStore),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: time.Now, Rand: rand.Reader, Address: "127.0.0.1"})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx, time.Hour, nil, nil)
	}()
	s.t.Cleanup(func() { stop(); <-done })
}

// registered waits until every phone is registered, with a node where that is not "", and
// holds a list that is served.
func (s *served) registered(node string, within time.Duration) {
	s.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		reports, err := evidence.ClusterReports(s.c)
		if err != nil {
			s.t.Fatal(err)
		}
		all, err := evidence.Registrations(s.c, reports)
		if err != nil {
			s.t.Fatal(err)
		}
		n := 0
		for i := range all {
			if p := &all[i]; p.Registered && (node == "" || p.Node == node) && p.ITLStatus == evidence.Match {
				n++
			}
		}
		if n == s.phones {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d of %d phones are registered and trusted: %+v", n, s.phones, all)
		}
	}
}

// killBegun kills a process a time after a file is there, unless it ends before.
func killBegun(cmd *exec.Cmd, ended <-chan error, file string, after time.Duration) error {
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(after):
		cmd.Process.Kill()
		return <-ended
	}
}

// The process that carries a plan out is killed at moments that come later and later. Asked
// for again it goes on where it stopped, until it is done: every certificate was made once,
// and every phone trusts its cluster.
func TestKilledPlan(t *testing.T) {
	phones := *planPhones
	if testing.Short() {
		phones = min(phones, 4)
	}
	s, _ := serveSite(t, phones, "")
	s.registered("", 5*time.Minute)
	kills, wentOn := 0, 0
	for after := 100 * time.Millisecond; ; after *= 2 {
		cmd := exec.Command(s.program, "plan", "--dir", s.dir, "regen", "CallManager@all", "regen", "TVS@all", "regen", "ITLRecovery", "--apply", "--rate", "200")
		out := new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		err := killBegun(cmd, ended, filepath.Join(s.dir, "plan.json"), after)
		if strings.Contains(out.String(), "goes on where it stopped") {
			wentOn++
		}
		if cmd.ProcessState.ExitCode() == -1 {
			if kills++; kills > 200 {
				t.Fatal("it does not end")
			}
			continue
		}
		if err != nil || !strings.HasSuffix(out.String(), "done\n") {
			t.Fatalf("after %d kills: %v\n%s", kills, err, out)
		}
		break
	}
	if kills < 2 || wentOn < 1 {
		t.Errorf("killed %d times, went on %d times", kills, wentOn)
	}
	s.registered("", time.Minute)
	all, _, err := s.c.Events().Since(0)
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]int)
	for i := range all {
		if all[i].Name == "CertRegenerated" {
			made[all[i].Node+" "+all[i].Tag("CertName")]++
		}
	}
	for _, name := range []string{"pub CallManager", "sub CallManager", "pub TVS", "sub TVS", "pub ITLRecovery"} {
		if made[name] != 1 {
			t.Errorf("%s was made %d times: %v", name, made[name], made)
		}
	}
	t.Logf("%d phones, %d kills, went on %d times", phones, kills, wentOn)
}

// Each node has a process of its own, and that of the publisher is killed: its phones are
// registered with the other node within two refresh times.
func TestKilledNode(t *testing.T) {
	const refresh = 2 * time.Minute // that is granted
	phones := *planPhones
	if testing.Short() {
		phones = min(phones, 4)
	}
	s, up := serveSite(t, phones, "pub", "sub")
	s.registered("pub", 5*time.Minute)
	began := time.Now()
	up["pub"].Process.Kill()
	up["pub"].Wait()
	s.registered("sub", 2*refresh)
	t.Logf("%d phones are with the other node after %v", phones, time.Since(began).Round(time.Millisecond))
	if out, err := exec.Command(s.program, "cluster", "phones", "--dir", s.dir).CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("%d of %d phones registered", phones, phones)) {
		t.Errorf("%v\n%s", err, out)
	}
}
