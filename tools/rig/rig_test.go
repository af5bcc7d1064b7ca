package rig_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"itlagent/platform/flash/image"
	"itlagent/platform/serial/pseudo"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/scenario"
	"itlagent/tools/expect"
	"itlagent/tools/power"
	"itlagent/tools/rig"
	"itlagent/tools/rig/rigtest"
)

func TestMain(m *testing.M) {
	rigtest.Main()
	os.Exit(m.Run())
}

// vaultOf reads the flash of a board that is off.
func vaultOf(b *rigtest.Board) func() ([]byte, error) {
	return func() ([]byte, error) {
		dev, err := image.Open(b.Image, rigtest.Geometry())
		if err != nil {
			return nil, err // also where the board is on
		}
		defer dev.Close()
		return os.ReadFile(b.Image)
	}
}

// relayTo plugs a board in.
func relayTo(t *testing.T, b *rigtest.Board, o rig.RelayOptions) *rig.Relay {
	t.Helper()
	line, err := pseudo.Open(b.Link)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	if o.Supply, err = power.Parse(b.Power); err != nil {
		t.Fatal(err)
	}
	o.Line = line
	return rig.NewRelay(o)
}

// A board that is there runs scenarios as an emulated one does: what it held before does
// not count, its power is cut, and it is left as new.
func TestScenarioOnRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("a board is a process of this test program, too slow with the race detector")
	}
	b := rigtest.New(t, rigtest.Board{Servers: []string{rigtest.Nowhere(t)}})
	relay := relayTo(t, b, rig.RelayOptions{})
	p := rig.NewPhone(relay, nil)
	for range 2 { // the second finds what the first has left
		s, err := scenario.Load("recovery-note")
		if err != nil {
			t.Fatal(err)
		}
		r := scenario.Run(t.Context(), s, scenario.Options{Dir: t.TempDir(), Boot: p.Boots(b.MAC, "CP-7965G")})
		if r.Err != nil || r.Checks == 0 {
			t.Fatalf("%d checks, %v\n%s", r.Checks, r.Err, r.Journal)
		}
	}
	mac, model, err := p.Identity(t.Context())
	if err != nil || mac != "64A0E71502CC" || model != "CP-7965G" {
		t.Errorf("%s, a %s, %v", mac, model, err)
	}
	if out, ok, err := p.Shell(t.Context(), "show itl", nil); !ok || err != nil || !strings.Contains(out, "Not Installed") {
		t.Errorf("it is not as new: %q, %v", out, err)
	}
}

// The power of a board that is there is cut; its flash is seen from outside, or it is
// asked.
func TestPowerCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("a board is a process of this test program, too slow with the race detector")
	}
	for name, seen := range map[string]bool{"seen": true, "asked": false} {
		t.Run(name, func(t *testing.T) {
			p := profile.Note()
			c, err := cluster.New(p, cluster.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			b := rigtest.New(t, rigtest.Board{Servers: []string{rigtest.Nowhere(t)}})
			var o rig.RelayOptions
			if seen {
				o.Vault = vaultOf(b)
			}
			const cuts = 3
			told := 0
			relay := relayTo(t, b, o)
			res, err := (&rig.Campaign{Rig: relay, Phone: rig.NewPhone(relay, []string{c.Publisher().Address()}), MAC: b.MAC, Cluster: c, Cuts: cuts, Seed: 1,
				Say: func(cut rig.Cut) {
					told++
					if cut.Verdict != "accepted" || (cut.During == rig.Unknown) == seen || (cut.Keys > 0) != seen {
						t.Errorf("%+v", cut)
					}
				}}).Run(t.Context())
			if err != nil || len(res.Lost) > 0 || res.Done != cuts || told != cuts || res.Updates < cuts {
				t.Errorf("%+v, %d told, %v", res, told, err)
			}
			t.Logf("%+v", res)
		})
	}
}

// A board that does not come back, and power that is not switched, end with an error.
func TestRelayFails(t *testing.T) {
	for name, test := range map[string]struct {
		board    rigtest.Board
		patience time.Duration
		want     error
	}{
		"dead":         {rigtest.Board{Dead: true}, 6 * time.Second, expect.ErrSilent}, // long enough for the power command
		"broken relay": {rigtest.Board{Broken: true}, rig.Patience, power.ErrSwitch},
		"slow relay":   {rigtest.Board{Slow: true}, 100 * time.Millisecond, power.ErrSwitch},
		"interrupted":  {rigtest.Board{Slow: true}, rig.Patience, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.want == context.Canceled {
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			relay := relayTo(t, rigtest.New(t, test.board), rig.RelayOptions{Patience: test.patience})
			if _, _, err := rig.NewPhone(relay, nil).Identity(ctx); !errors.Is(err, test.want) {
				t.Error(err)
			}
		})
	}
}
