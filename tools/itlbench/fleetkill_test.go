package main

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/fleet"
)

var fleetKills = flag.Int("fleetkills", 5, "how often a worker or the NATS server is killed, or a worker paused")

const (
	fleetWorkers = 3
	fleetPhones  = 40
	fleetRange   = 8
	fleetResets  = 3
	fleetAckWait = 2 * time.Second
)

// natsServer builds the server that go.mod names, and returns its path.
func natsServer(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "tool", "-n", "nats-server").Output()
	if err != nil {
		t.Fatalf("go tool nats-server: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// many is a NATS server and workers, as processes.
type many struct {
	t               *testing.T
	program, server string
	dir, address    string
	nats            *exec.Cmd
	workers         [fleetWorkers]*exec.Cmd
}

func (m *many) run(name string, args ...string) *exec.Cmd {
	m.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = new(bytes.Buffer), new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { kill(cmd) })
	return cmd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// startServer starts the NATS server, and waits until it listens.
func (m *many) startServer() {
	m.t.Helper()
	host, port, _ := net.SplitHostPort(m.address)
	m.nats = m.run(m.server, "-js", "-sd", filepath.Join(m.dir, "nats"), "-a", host, "-p", port)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", m.address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the NATS server does not listen: %v", m.nats.Stderr)
		}
	}
}

func (m *many) startWorker(i int) {
	m.t.Helper()
	m.workers[i] = m.run(m.program, "fleet", "worker", "--nats", "nats://"+m.address, "--name", fmt.Sprint("worker", i))
}

// disturb kills or pauses somebody.
func (m *many) disturb(moments *mrand.Rand) {
	m.t.Helper()
	i := moments.IntN(fleetWorkers)
	switch moments.IntN(4) {
	case 0:
		kill(m.nats)
		m.startServer()
	case 1:
		m.workers[i].Process.Signal(syscall.SIGSTOP)
		time.Sleep(fleetAckWait + fleetAckWait/2)
		m.workers[i].Process.Signal(syscall.SIGCONT)
	default:
		kill(m.workers[i])
		m.startWorker(i)
	}
}

// outcomes returns what a run says of each phone, but for times.
func outcomes(t *testing.T, path string) (rows []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all {
		rows = append(rows, strings.Join(row[:len(row)-1], " "))
	}
	return rows
}

// Workers and the server are killed, workers paused beyond their ack wait: the result of
// every phone is there once, and equal to that of a run without faults.
func TestKilledFleet(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spec := fleet.Spec{First: "001122000000", Count: fleetPhones, Models: []string{defaultModel}}
	if err := c.Apply(operation.AddPhones(spec.Phones())); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var servers []string
	for _, n := range c.Nodes() {
		servers = append(servers, n.Address())
	}
	if testing.Short() {
		*fleetKills = min(*fleetKills, 2)
	}
	dir, program, moments := toKill(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &many{t: t, program: program, server: natsServer(t), dir: dir, address: l.Addr().String()}
	l.Close()
	m.startServer()
	for i := range m.workers {
		m.startWorker(i)
	}
	start := func(name string) (*exec.Cmd, chan error) {
		cmd := m.run(program, "fleet", "run", "--nats", "nats://"+m.address, "--tftp", strings.Join(servers, ","), "--count", fmt.Sprint(fleetPhones),
			"--range", fmt.Sprint(fleetRange), "--resets", fmt.Sprint(fleetResets), "--ack-wait", fleetAckWait.String(), "--expect", "trusted=100%", "--csv", filepath.Join(dir, name))
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		return cmd, ended
	}
	cmd, ended := start("calm.csv")
	if err := <-ended; err != nil {
		t.Fatalf("without faults: %v\n%v", err, cmd.Stderr)
	}
	want := outcomes(t, filepath.Join(dir, "calm.csv"))
	if len(want) != fleetPhones+1 {
		t.Fatalf("%d lines of %d phones", len(want), fleetPhones)
	}
	runs := 0
	for faults := 0; faults < *fleetKills; runs++ {
		cmd, ended := start("disturbed.csv")
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("after %d faults: %v\n%v", faults, err, cmd.Stderr)
				}
				running = false
			case <-time.After(time.Duration(moments.IntN(400)) * time.Millisecond):
				if faults < *fleetKills {
					m.disturb(moments)
					faults++
				}
			}
		}
		if got := outcomes(t, filepath.Join(dir, "disturbed.csv")); !slices.Equal(got, want) {
			t.Fatalf("after %d faults the run tells\n%s\nwant\n%s", faults, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	t.Logf("%d faults over %d runs of %d phones and %d steps: every result once, and equal", *fleetKills, runs, fleetPhones, fleetResets+1)
}
