package qemu_test

import (
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/testbench/cluster"
	"itlagent/testbench/scenario"
	"itlagent/tools/qemu"
)

var (
	cuts    = flag.Int("cuts", 5, "how often the power of each board is cut")
	cutSeed = flag.Uint64("cutseed", 0, "seed of the moments; 0 takes the time")
	stories = flag.String("stories", "both-regenerated", "stories that are told to each board, joined by commas")
)

// emulated runs a test for every emulated board for which there are an emulator and
// a kernel, with an image of it.
func emulated(t *testing.T, f func(t *testing.T, b *board.Board, base string)) {
	for _, name := range boards.Names() {
		b, err := boards.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.QEMU == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if err := qemu.Check(b); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			kernel, modules, err := image.FindKernel(b)
			if err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			base := t.TempDir()
			if _, err := image.Build(b, image.Options{Dir: base, Kernel: kernel, Modules: modules, Source: "../.."}); err != nil {
				t.Fatal(err)
			}
			f(t, b, base)
		})
	}
}

// A board boots, and a phone on it is locked out and won back, over its serial
// console.
func TestStoriesOnBoards(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		for name := range strings.SplitSeq(*stories, ",") {
			s, err := scenario.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			r := scenario.Run(t.Context(), s, scenario.Options{Dir: t.TempDir(), Boot: qemu.Boots(b, base, t.TempDir(), 0), Advertise: "10.0.2.2"})
			switch {
			case r.Skipped:
				t.Logf("%s: not for boards: %v", name, r.Err)
			case r.Err != nil || r.Checks == 0:
				t.Errorf("%s: %d checks, %v\n%s", name, r.Checks, r.Err, r.Journal)
			default:
				t.Logf("%s: %d checks in %.1f s", name, r.Checks, r.Took.Seconds())
			}
		}
	})
}

// The power of a board is cut while its lists are replaced.
func TestPowerCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		p := cluster.Note()
		p.Advertise = "10.0.2.2"
		c, err := cluster.New(p, cluster.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "phone")
		if err := qemu.PrepareFlash(b, base, dir); err != nil {
			t.Fatal(err)
		}
		var servers []string
		for _, n := range c.Nodes() {
			_, port, _ := strings.Cut(n.Address(), ":")
			servers = append(servers, "10.0.2.2:"+port)
		}
		phone := scenario.Phone{MAC: p.Phones[0].MAC, Model: p.Phones[0].Model}
		res, err := qemu.PowerCuts(t.Context(), b, c, qemu.Options{Dir: dir}, phone, servers, *cuts, seed(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range res.Lost {
			t.Error(line)
		}
		if res.Done != *cuts || res.Updates < uint64(*cuts) {
			t.Errorf("%d cuts among %d updates", res.Done, res.Updates)
		}
		t.Logf("%d power cuts among %d updates: %d lost", res.Done, res.Updates, len(res.Lost))
	})
}
