package qemu_test

import (
	"flag"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/platform/linuxinit"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/scenario"
	"itlagent/testbench/vaultimage"
	"itlagent/tools/qemu"
	"itlagent/tools/rig"
)

var (
	cuts      = flag.Int("cuts", 3, "how often the power of each board is cut")
	cutSeed   = flag.Uint64("cutseed", 0, "seed of the moments; 0 takes the time")
	scenarios = flag.String("scenarios", "both-regenerated", "scenarios that are run on each board, joined by commas")
)

// emulated runs a test for every emulated board for which there are an emulator and
// a kernel, with an image of it; or for those of the names alone. Boards run side by
// side, for much of their time they wait.
func emulated(t *testing.T, f func(t *testing.T, b *board.Board, base string), only ...string) {
	names := boards.Names()
	if len(only) > 0 {
		names = only
	}
	for _, name := range names {
		b, err := boards.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.QEMU == nil || b.QEMU.UBoot != "" {
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
			t.Parallel()
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
	t.Parallel()
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		for name := range strings.SplitSeq(*scenarios, ",") {
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
	t.Parallel()
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		c, servers := forGuest(t)
		dir := filepath.Join(t.TempDir(), "phone")
		if err := qemu.PrepareFlash(b, base, dir); err != nil {
			t.Fatal(err)
		}
		phone := scenario.Phone{MAC: c.State().Phones[0].MAC, Model: c.State().Phones[0].Model}
		board := qemu.NewRig(b, phone.MAC, phone.Model, qemu.Options{Dir: dir})
		res, err := (&rig.Campaign{Rig: board, Phone: rig.NewPhone(board, servers), MAC: phone.MAC, Cluster: c, Cuts: *cuts, Seed: seed(t)}).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range res.Lost {
			t.Error(line)
		}
		if res.Done != *cuts || res.Updates < uint64(*cuts) {
			t.Errorf("%d cuts among %d updates", res.Done, res.Updates)
		}
		if res.During[rig.Unknown] > 0 {
			t.Errorf("%d cuts of a flash that was not seen", res.During[rig.Unknown])
		}
		t.Logf("%d power cuts among %d updates, during %v: %d lost", res.Done, res.Updates, res.During, len(res.Lost))
	})
}

// A board whose kernel asks for its address by DHCP boots, and is turned off in
// order: its flash is whole.
func TestDHCPAndPowerOff(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	t.Parallel()
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		dhcp := *b
		dhcp.Network = board.Network{}
		dhcp.Kernel.Args = append(slices.Clone(b.Kernel.Args), "ip=dhcp")
		kernel, _, err := image.FindKernel(b)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := image.Build(&dhcp, image.Options{Dir: dir, Kernel: kernel, Source: "../.."}); err != nil {
			t.Fatal(err)
		}
		c, servers := forGuest(t)
		m, err := qemu.Start(t.Context(), &dhcp, qemu.Options{Dir: dir, Phone: qemu.PhoneArgs(c.State().Phones[0].MAC, "CP-7965G", servers)})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Kill()
		e := qemu.NewExpect(m.Console)
		if _, _, err := e.Wait(t.Context(), 2*time.Minute, regexp.MustCompile(`SEP64A0E71502CC accepted: `)); err != nil {
			t.Fatal(err)
		}
		m.PowerOff()
		<-m.Done()
		if err := m.Err(); err != nil {
			t.Error(err)
		}
		data, err := qemu.Vault(&dhcp, dir)
		if err != nil {
			t.Fatal(err)
		}
		img, err := vaultimage.Read(data, 0)
		if err != nil || len(img.Damage) > 0 || len(img.Keys) < 2 {
			t.Errorf("the flash: %d keys, damage %v, %v", len(img.Keys), img.Damage, err)
		}
	}, "qemu-arm")
}

// The phone feeds the watchdog of its board while it has nothing to do.
func TestIdlePhoneIsNotReset(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	t.Parallel()
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		c, servers := forGuest(t)
		m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: base, Phone: qemu.PhoneArgs(c.State().Phones[0].MAC, "CP-7965G", servers)})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Kill()
		e := qemu.NewExpect(m.Console)
		for _, line := range []string{`reset by the watchdog after 1m0s`, `SEP64A0E71502CC accepted: `} {
			if _, _, err := e.Wait(t.Context(), 2*time.Minute, regexp.MustCompile(line)); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-m.Done():
			t.Fatal("the board was reset")
		case <-time.After(linuxinit.WatchdogTimeout + 15*time.Second): // of the emulator, which has no other clock
		}
		if err := e.Send("show status"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Wait(t.Context(), 2*time.Minute, regexp.MustCompile(`locked: no`)); err != nil {
			t.Error(err)
		}
	}, "qemu-arm")
}

// forGuest starts a cluster that emulated boards reach.
func forGuest(t *testing.T) (*cluster.Cluster, []string) {
	t.Helper()
	p := profile.Note()
	p.Advertise = "10.0.2.2"
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var servers []string
	for _, n := range c.Nodes() {
		_, port, _ := strings.Cut(n.Address(), ":")
		servers = append(servers, "10.0.2.2:"+port)
	}
	return c, servers
}
