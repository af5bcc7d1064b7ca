package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent/fetch"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// A thousand clients that say nothing, rubbish, or too much, on each service:
// others are served, and memory stays within a fixed multiple of them.
func TestHostileClients(t *testing.T) {
	c := startProfile(t, "11.5")
	pub := c.Publisher()
	clients := 1000
	if testing.Short() {
		clients = 200
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := heap()
	noise := make([]byte, 4096)
	rand.Read(noise)
	ports := []string{"http", "tvs", "sip", "https"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	for _, port := range ports {
		wg.Go(func() {
			for i := range clients {
				conn, err := net.Dial("tcp", pub.Endpoint(port))
				if err != nil {
					continue // the service may hold that many and no more
				}
				conn.SetDeadline(time.Now().Add(time.Minute))
				switch i % 10 {
				case 0:
					conn.Write(noise)
				case 1:
					io.WriteString(conn, "GET /"+strings.Repeat("A", 20_000)+" HTTP/1.1\r\n")
				case 2:
					io.WriteString(conn, "\x57\x01\x03\x00\x00\x00\x00\x00\xff\xff")
				}
				mu.Lock()
				conns = append(conns, conn)
				mu.Unlock()
			}
		})
	}
	udp, err := net.Dial("udp", pub.Endpoint("tftp"))
	if err != nil {
		t.Fatal(err)
	}
	for range clients {
		udp.Write(noise[:512])
		udp.Write([]byte("\x00\x01"))
		udp.Write([]byte("\x00\x01../../etc/passwd\x00octet\x00"))
	}
	udp.Close()
	wg.Wait()
	if len(conns) < clients*len(ports)*9/10 {
		t.Errorf("only %d of %d connections", len(conns), clients*len(ports))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dial := new(net.Dialer).DialContext
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no HTTP") }
	for name, client := range map[string]*fetch.Client{"HTTP": {Dial: dial}, "TFTP": {Dial: refuse, TFTP: fetch.PlainTFTP}} {
		if f, err := client.Get(ctx, []string{pub.Address()}, "ITLSEP"+mac+".tlv", 1<<20); err != nil || f.Transport != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if res := verify(t, pub, pub.Identity(profile.CallManager).Certificate.Raw); res.Status != 0 {
		t.Errorf("TVS: %+v", res)
	}
	sip, err := net.Dial("tcp", pub.Endpoint("sip"))
	if err != nil {
		t.Fatal(err)
	}
	defer sip.Close()
	sip.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(sip, refer(alarm("Not Installed")))
	if line, err := bufio.NewReader(sip).ReadString('\n'); err != nil || !strings.HasPrefix(line, "SIP/2.0 202") {
		t.Errorf("SIP: %q, %v", line, err)
	}
	const perClient = 64 << 10 // bytes, both ends of a connection
	if used := heap() - min(before, heap()); used > uint64(len(conns))*perClient {
		t.Errorf("%d connections take %d KiB", len(conns), used>>10)
	}
	for _, conn := range conns {
		conn.Close()
	}
}

// What the directory keeps is the same cluster when it is opened again, and a
// damaged state is named and left alone.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	open := func() *cluster.Cluster {
		t.Helper()
		c, err := cluster.New(profile.Note(), cluster.Options{Dir: dir, Logf: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pub := c.Publisher()
	for _, err := range []error{
		c.Apply(operation.Regenerate(pub.Name(), profile.CallManager)), c.Apply(operation.Set(mac, "webAccess", "0")), c.Apply(operation.Advance(25 * time.Hour)),
		c.Apply(operation.SetFault(pub.Name(), profile.TVSService, "invalid")), c.Apply(operation.Service("test10sub", profile.TFTPService, operation.Stop)), c.Apply(operation.SetMixedMode(true)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	describe := func(c *cluster.Cluster) string {
		events, _, err := c.Events().Since(0)
		if err != nil {
			t.Fatal(err)
		}
		pub := c.Publisher()
		_, started := c.Nodes()[1].State().Runs(profile.TFTPService)
		return fmt.Sprintf("%x %x %x %v %v %v %v %s %s", sha1.Sum(pub.ITL()), pub.Identity(profile.CallManager).Certificate.SerialNumber,
			sha1.Sum(pub.State().RecoveryP12()), c.State().Phone(mac).Settings, c.Now(), started, len(events), pub.Address(), pub.TVSAddress())
	}
	want := describe(c)
	if other, err := cluster.New(profile.Note(), cluster.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	} else {
		if err := other.Start(); !errors.Is(err, cluster.ErrUp) {
			t.Errorf("a second process runs the nodes: %v", err)
		}
		if got := describe(other); got != want {
			t.Errorf("another process sees\n%s, want\n%s", got, want)
		}
		// What one process changes, the other acts on.
		if err := other.Apply(operation.SetFault(pub.Name(), profile.TVSService, "none")); err != nil {
			t.Fatal(err)
		}
		if res := verify(t, pub, pub.Identity(profile.TVS).Certificate.Raw); res.Status != 0 {
			t.Errorf("TVS: %+v", res)
		}
		if err := other.Apply(operation.Service(pub.Name(), profile.TVSService, operation.Stop)); err != nil {
			t.Fatal(err)
		}
		if conn, err := net.Dial("tcp", pub.TVSAddress()); err == nil {
			conn.Close()
			t.Error("a service listens that another process stopped")
		}
		if err := other.Apply(operation.Service(pub.Name(), profile.TVSService, operation.Start)); err != nil {
			t.Fatal(err)
		}
		other.Close()
	}
	want = describe(c)
	c.Close()
	c = open()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if got := describe(c); got != want {
		t.Errorf("opened again:\n%s, want\n%s", got, want)
	}
	c.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm()&0o077 != 0 && info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	path := filepath.Join(dir, "state.json")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() []byte{
		"empty":    func() []byte { return nil },
		"half":     func() []byte { return sound[:len(sound)/2] },
		"one byte": func() []byte { b := bytes.Clone(sound); b[len(b)/2] ^= 1; return b },
		"rubbish":  func() []byte { return []byte("{}") },
	} {
		data := damage()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := cluster.New(profile.Note(), cluster.Options{Dir: dir})
		if !errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, data) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
}
