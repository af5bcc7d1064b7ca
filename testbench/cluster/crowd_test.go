package cluster_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"itlagent/agent/sccp"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip/siptest"
)

var crowd = flag.Int("crowd", 300, "how many phones are registered with one node at once; a tenth as many are silent")

// crowded are phones of which every other one speaks SCCP.
type crowded struct {
	sip    []*siptest.Phone
	skinny []*skinny
}

// renew refreshes all registrations. No phone may find that its own was lost.
func (c *crowded) renew(t *testing.T) {
	t.Helper()
	for _, p := range c.sip {
		if registers(t, p, "", 200); p.Fresh {
			t.Fatalf("%s: its registration was lost", p.Device)
		}
	}
	for _, p := range c.skinny {
		p.send(sccp.Message{ID: sccp.KeepAlive})
		p.next(sccp.KeepAliveAck)
	}
}

// flood registers strangers, and one phone again and again, as fast as it goes, until it is
// stopped, and returns how many answers there were.
func flood(t *testing.T, sip, sccpAt, known string) (stop func() (answers int)) {
	var running sync.WaitGroup
	end := make(chan struct{})
	counts := make(chan int, 8)
	repeat := func(once func() error) {
		running.Go(func() {
			n := 0
			defer func() { counts <- n }()
			for {
				select {
				case <-end:
					return
				default:
				}
				if err := once(); err != nil {
					t.Error(err)
					return
				}
				n++
			}
		})
	}
	for _, device := range []string{"SEPFFFFFFFFFFFF", known} {
		p, err := siptest.Dial("tcp", sip, device, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		repeat(func() error { _, err := p.Register(3600, ""); return err })
	}
	repeat(func() error {
		conn, err := net.DialTimeout("tcp", sccpAt, siptest.WaitTime)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(siptest.WaitTime))
		conn.Write(registerSCCP("SEPFFFFFFFFFFFF").Bytes())
		if m, err := sccp.Read(conn); err != nil || m.ID != sccp.RegisterReject {
			return fmt.Errorf("a stranger by SCCP: %#x, %v", m.ID, err)
		}
		return nil
	})
	return func() (answers int) {
		close(end)
		running.Wait()
		for range 3 {
			answers += <-counts
		}
		return answers
	}
}

// A node has its phones registered, connections that say nothing, and floods of REGISTER: it
// loses no registration, takes one more phone, serves lists, and tells all to reset.
func TestFullNode(t *testing.T) {
	n := *crowd
	if testing.Short() {
		n = min(n, 60)
	}
	if limit, _ := serve.Descriptors(1); limit < n+n/10+1000 {
		t.Fatalf("%d descriptors are too few for -crowd %d", limit, n)
	}
	c, process := elsewhere(t, n+2)
	pub := c.Publisher()
	before := resident(t, process)
	began := time.Now()
	all := new(crowded)
	for i := range n {
		device := fmt.Sprintf("SEP%012d", i)
		if i%2 == 0 {
			p := dial(t, pub, "tcp", device)
			registers(t, p, "initialized", 200)
			all.sip = append(all.sip, p)
			continue
		}
		p := dialSCCP(t, pub, false)
		p.send(registerSCCP(device))
		p.next(sccp.RegisterAck)
		all.skinny = append(all.skinny, p)
	}
	t.Logf("%d phones registered in %v, %d bytes each in their node's process", n, time.Since(began), (resident(t, process)-before)/n)
	for i := range n / 10 {
		conn, err := net.Dial("tcp", pub.Endpoint([]string{"sip", "sccp"}[i%2]))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	stop := flood(t, pub.Endpoint("sip"), pub.Endpoint("sccp"), fmt.Sprintf("SEP%012d", n))
	began = time.Now()
	all.renew(t)
	registers(t, dial(t, pub, "tcp", fmt.Sprintf("SEP%012d", n+1)), "initialized", 200)
	answer, err := http.Get("http://" + pub.Address() + "/ITLFile.tlv")
	if err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	answer.Body.Close()
	if err != nil || string(list) != string(pub.ITL()) {
		t.Errorf("the list has %d bytes, %v", len(list), err)
	}
	t.Logf("all refreshed, one more, and a list, in %v, while others got %d answers", time.Since(began), stop())
	if got := len(registeredWith(t, c)); got != n+2 {
		t.Errorf("%d are registered, want %d", got, n+2)
	}
	began = time.Now()
	if err := c.Apply(operation.Reset(state.Order{Action: "reset", Rate: state.MaxRate}, "test")); err != nil {
		t.Fatal(err)
	}
	for _, p := range all.sip {
		if action, err := p.Notified(200); err != nil || action != "reset" {
			t.Fatalf("%s: told %q, %v", p.Device, action, err)
		}
	}
	for _, p := range all.skinny {
		if a, ok := p.next(sccp.ResetPhone).Reset(); !ok || a != sccp.Reset {
			t.Fatalf("told %d", a)
		}
	}
	t.Logf("all told to reset in %v", time.Since(began))
}

// elsewhere is a cluster with so many phones that another process serves: both ends of each
// connection in one would take twice the descriptors.
func elsewhere(t *testing.T, phones int) (c *cluster.Cluster, process int) {
	t.Helper()
	p := profile.Note()
	for i := range phones {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("%012d", i), Model: "CP-7965G"})
	}
	c, err := cluster.New(p, cluster.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeCrowd$")
	cmd.Env = append(os.Environ(), crowdDir+"="+c.Dir())
	cmd.Stderr = os.Stderr
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c, cmd.Process.Pid
}

// crowdDir names the directory of a cluster that this process is to serve, for another one.
const crowdDir = "ITLAGENT_TEST_CROWD"

// The other process of TestFullNode. By itself it finds that there is nothing to serve.
func TestServeCrowd(t *testing.T) {
	dir := os.Getenv(crowdDir)
	if dir == "" {
		if _, err := cluster.Open(cluster.Options{Dir: t.TempDir()}); err == nil {
			t.Error("a directory without a cluster is served")
		}
		return
	}
	c, err := cluster.Open(cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

// resident is what a process has in memory, in bytes.
func resident(t *testing.T, process int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", process))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
