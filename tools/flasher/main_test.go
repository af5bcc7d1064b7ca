package flasher_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/tools/flasher"
)

// base is what the tests of a board share: its image, the cluster beside it, and its
// flash as it was after it had been flashed from an erased one.
type base struct {
	servers []string
	shared  string // folder

	making, flashing sync.Once
	span             time.Duration // that the first flash took; 0 where it failed
}

var (
	work  string // of all bases
	bases = make(map[string]*base)
	lock  sync.Mutex // of bases

	starting sync.Once
	phones   *cluster.Cluster
)

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if work, err = os.MkdirTemp("", "itlagent-flasher"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if phones != nil {
		phones.Close()
	}
	os.RemoveAll(work)
	os.Exit(code)
}

// prepare makes a board's image, and starts the cluster, once for all tests.
func prepare(t *testing.T, b *board.Board) *base {
	t.Helper()
	starting.Do(func() { phones = startCluster(t) })
	if phones == nil {
		t.Fatal("an earlier test could not start the cluster")
	}
	lock.Lock()
	p := bases[b.Name]
	if p == nil {
		p = &base{shared: filepath.Join(work, b.Name)}
		bases[b.Name] = p
	}
	lock.Unlock()
	p.making.Do(func() {
		kernel, modules, err := image.FindKernel(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := image.Build(b, image.Options{Dir: p.shared, Kernel: kernel, Modules: modules, Source: "../.."}); err != nil {
			t.Fatal(err)
		}
		for _, n := range phones.Nodes() {
			_, port, _ := strings.Cut(n.Address(), ":")
			p.servers = append(p.servers, "10.0.2.2:"+port)
		}
	})
	if len(p.servers) == 0 {
		t.Fatal("an earlier test could not make the image")
	}
	return p
}

// startCluster starts a cluster that emulated boards reach.
func startCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	p := profile.Note()
	p.Advertise = "10.0.2.2"
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		c.Close()
		t.Fatal(err)
	}
	return c
}

// link gives a test the image's files, and an erased flash of its own.
func (x *bench) link() {
	x.t.Helper()
	files, err := os.ReadDir(x.shared)
	if err != nil {
		x.t.Fatal(err)
	}
	for _, f := range files {
		from, to := filepath.Join(x.shared, f.Name()), filepath.Join(x.dir, f.Name())
		switch {
		case f.Name() == image.FlashFile:
			x.copy(from, to)
		case f.Type().IsRegular() && f.Name() != flashedFile:
			if err := os.Link(from, to); err != nil {
				x.t.Fatal(err)
			}
		}
	}
}

// flashedFile is the flash as it was after the first one.
const flashedFile = "flashed.img"

// first makes the test's flash what it is after a flash from an erased one and a boot:
// the first test that asks does so, the others get what it left.
func (x *bench) first() flasher.Job {
	x.t.Helper()
	own, kept := filepath.Join(x.dir, image.FlashFile), filepath.Join(x.shared, flashedFile)
	job := x.job()
	x.flashing.Do(func() {
		span := x.fresh(job)
		x.copy(own, kept)
		x.span = span
	})
	if x.span == 0 {
		x.t.Fatal("an earlier test could not flash the board")
	}
	x.copy(kept, own)
	return job
}

func (x *bench) copy(from, to string) {
	x.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		x.t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		x.t.Fatal(err)
	}
}
