package capture_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

const (
	mac  = "64A0E71502CC"
	host = "127.77.0.1" // nobody else's, so that a capture has nothing but these tests
)

// keys are those of all clusters here.
var keys pki.Keys

var base = sync.OnceValues(func() (*cluster.Cluster, error) {
	p := profile.Note()
	p.Host = host
	return cluster.New(p, cluster.Options{})
})

// bench is a cluster with one phone, whose packets are recorded.
type bench struct {
	t     *testing.T
	c     *cluster.Cluster
	store *holdings.MemStore
	agent *agent.Agent
	rec   *recorder
	mu    sync.Mutex        // of files
	files map[string][]byte // served in the place of the cluster's own, where the phone is given the front
	// patience is for one file of one server.
	patience time.Duration
	was      []holdings.Store // what the phone held before each boot
	saw      []*boot.Report
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c, err := base()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, c: c.Fork(&keys), store: new(holdings.MemStore), rec: newRecorder(), files: map[string][]byte{}, patience: 20 * time.Second}
	t.Cleanup(b.c.Close)
	b.must(b.c.Apply(operation.Unbind()))
	b.must(b.c.Start())
	b.serve(b.c.Publisher().Address(), b.c.Nodes()[1].Address())
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// serve gives the phone TFTP servers.
func (b *bench) serve(servers ...string) {
	b.t.Helper()
	a, err := agent.New(agent.Config{MAC: mac, Model: "CP-7965G", Servers: servers, Store: b.store, Address: "127.0.0.1", Rand: rand.Reader,
		Dial: b.rec.dial, TFTP: b.rec.tftp, Now: b.c.Now, PerFile: b.patience})
	b.must(err)
	b.agent = a
}

// reset resets the phone.
func (b *bench) reset() *boot.Report {
	b.was = append(b.was, holdings.NewMemStore(b.stored()))
	r := b.agent.Cycle(b.t.Context())
	b.saw = append(b.saw, r)
	return r
}

// stored returns what the phone decides by.
func (b *bench) stored() map[string][]byte {
	s, err := holdings.Read(b.store)
	b.must(err)
	return maps.Clone(s)
}

func (b *bench) restart(services ...profile.Service) {
	for _, s := range services {
		for _, n := range b.c.Nodes() {
			b.must(b.c.Apply(operation.Service(n.Name(), s, operation.Restart)))
		}
	}
}

func (b *bench) stop(s profile.Service) {
	for _, n := range b.c.Nodes() {
		b.must(b.c.Apply(operation.Service(n.Name(), s, operation.Stop)))
	}
}

func (b *bench) fault(s profile.Service, kind string) {
	for _, n := range b.c.Nodes() {
		b.must(b.c.Apply(operation.SetFault(n.Name(), s, kind)))
	}
}

// regenerate makes certificates again, with their hold, and restarts what uses them.
func (b *bench) regenerate(units ...profile.Unit) {
	for _, u := range units {
		b.must(b.c.Apply(operation.Advance(2 * operation.HoldTime)))
		for _, n := range b.c.Nodes() {
			if u == profile.TVS || n.IsPublisher() {
				b.must(b.c.Apply(operation.Regenerate(n.Name(), u)))
			}
		}
	}
	b.restart(profile.TVSService, profile.TFTPService)
}

// replace has the front serve a file in the place of the cluster's.
func (b *bench) replace(name string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files[name] = data
}

// front is a server of files in front of the publisher: some of them are others.
func (b *bench) front() {
	b.t.Helper()
	file := func(name string) ([]byte, error) {
		b.mu.Lock()
		data, ok := b.files[name]
		b.mu.Unlock()
		if ok {
			return data, nil
		}
		return b.c.Publisher().State().File(name, false)
	}
	l, err := net.Listen("tcp", host+":0")
	b.must(err)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := file(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	})}
	go web.Serve(l)
	b.t.Cleanup(func() { web.Close() })
	udp, err := net.ListenPacket("udp", l.Addr().String())
	b.must(err)
	s := tftp.NewServer(func(name string, to io.ReaderFrom) error {
		data, err := file(name)
		if err != nil {
			return os.ErrNotExist
		}
		_, err = to.ReadFrom(bytes.NewReader(data))
		return err
	}, nil)
	served := make(chan struct{})
	go func() { s.Serve(udp); close(served) }()
	b.t.Cleanup(func() { s.Shutdown(); <-served })
	b.serve(l.Addr().String())
}

// dump is tcpdump at work.
type dump struct {
	cmd  *exec.Cmd
	path string
}

// tcpdump starts a capture of the tests' own addresses. It is nil where the machine has no
// tcpdump, or does not let it look.
func tcpdump(t *testing.T) *dump {
	t.Helper()
	program, err := exec.LookPath("tcpdump")
	if err != nil {
		if program, err = exec.LookPath("/usr/bin/tcpdump"); err != nil {
			return nil
		}
	}
	d := &dump{path: filepath.Join(t.TempDir(), "lo.pcap")}
	// In immediate mode the kernel's buffer has room for as many packets as it has for the
	// largest one.
	d.cmd = exec.Command(program, "-i", "lo", "-w", "-", "-U", "--immediate-mode", "-B", "65536", "-s", "65550", "net", "127.77.0.0/24")
	out, err := os.Create(d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	said := new(says)
	d.cmd.Stdout, d.cmd.Stderr = out, said
	if err := d.cmd.Start(); err != nil {
		t.Logf("tcpdump: %v", err)
		return nil
	}
	ended := make(chan struct{})
	go func() { d.cmd.Wait(); close(ended) }()
	t.Cleanup(func() { d.cmd.Process.Kill(); <-ended })
	for !said.has("listening on") {
		select {
		case <-ended:
			t.Logf("tcpdump: %s", said)
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	return d
}

// says is what a program says.
type says struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *says) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }
func (s *says) String() string              { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
func (s *says) has(text string) bool        { return strings.Contains(s.String(), text) }

// end waits until everything is in the capture, and returns it.
func (d *dump) end(t *testing.T) []byte {
	t.Helper()
	d.mark(t, 1) // a packet of another processor may come late
	return d.mark(t, 2)
}

// mark sends a packet until it is in the capture, and returns what is.
func (d *dump) mark(t *testing.T, n int) []byte {
	t.Helper()
	mark := fmt.Appendf(nil, "the end of %s, %d", t.Name(), n)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := net.Dial("udp", "127.77.0.254:9")
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(mark)
		conn.Close()
		time.Sleep(10 * time.Millisecond)
		data, err := os.ReadFile(d.path)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.LastIndex(data, mark); i >= 0 {
			return data[:i+len(mark)]
		}
	}
	t.Fatal("tcpdump writes nothing")
	return nil
}
