package rollout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/sip/siptest"
)

func mac(i int) string { return fmt.Sprintf("%012d", i) }

// start starts a cluster of the note with so many phones more, which nobody has.
func start(t *testing.T, phones int) *cluster.Cluster {
	t.Helper()
	p := profile.Note()
	p.Phones = nil
	for i := range phones {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: mac(i), Model: "CP-7965G"})
	}
	c, err := cluster.New(p, cluster.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// handsets runs the phones from one number to another, until the test ends.
func handsets(t *testing.T, c *cluster.Cluster, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		a, err := agent.New(agent.Config{MAC: mac(i), Model: "CP-7965G", Servers: lockout.Servers(c), Store: new(holdings.MemStore),
			Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now, Rand: rand.Reader, Address: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.Run(ctx, time.Hour, nil, nil)
		}()
		t.Cleanup(func() { stop(); <-done })
	}
	wait(t, c, to)
}

// wait waits until so many phones are registered.
func wait(t *testing.T, c *cluster.Cluster, phones int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n := 0
		all, err := c.Phones()
		for i := range all {
			if all[i].Registered {
				n++
			}
		}
		if err == nil && n >= phones {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d phones are registered, %v", n, phones, err)
		}
	}
}

// status counts the phones by what their lists are to those that are served.
func status(t *testing.T, c *cluster.Cluster) map[evidence.ITLStatus]int {
	t.Helper()
	reports, err := evidence.ClusterReports(c)
	if err != nil {
		t.Fatal(err)
	}
	all, err := evidence.Registrations(c, reports)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[evidence.ITLStatus]int)
	for i := range all {
		counts[all[i].ITLStatus]++
	}
	return counts
}

// everything is the safe sequence for regenerating all that phones trust.
func everything(t *testing.T, c *cluster.Cluster) (changes []lockout.Change, asked []string) {
	t.Helper()
	w := lockout.World{c}
	asked = strings.Fields("regen CallManager@all regen TVS@all regen ITLRecovery")
	changes, _, err := lockout.ParseChanges(w, asked, nil)
	if err != nil {
		t.Fatal(err)
	}
	reports, err := evidence.ClusterReports(c)
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := evidence.Phones(w, reports, false)
	if err != nil || len(fleet.Phones) == 0 {
		t.Fatalf("%+v, %v", fleet, err)
	}
	plan, err := lockout.Predict(t.Context(), w, fleet.Phones, changes, lockout.Options{Sequence: true})
	if err != nil || plan.Safe() || plan.Sequence == nil {
		t.Fatalf("safe %v, sequence %v, %v", plan.Safe(), plan.Sequence, err)
	}
	return plan.Sequence, asked
}

// serials are those of every certificate of a cluster.
func serials(c *cluster.Cluster) (all []string) {
	for _, n := range c.State().Nodes {
		for _, own := range n.Certificates() {
			all = append(all, fmt.Sprintf("%s %s %X", n.Name, own.Unit, own.Certificate.SerialNumber))
		}
	}
	return all
}

// regenerated counts the certificates that were made again, by name and node.
func regenerated(t *testing.T, c *cluster.Cluster) map[string]int {
	t.Helper()
	all, _, err := c.Events().Since(0)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for i := range all {
		if all[i].Name == "CertRegenerated" {
			counts[all[i].Node+" "+all[i].Tag("CertName")]++
		}
	}
	return counts
}

// The safe sequence for "regenerate everything", carried out on a cluster whose 200 phones
// hear resets, ends with 200 that trust it.
func TestRegenerateEverything(t *testing.T) {
	const phones = 200
	c := start(t, phones)
	handsets(t, c, 0, phones)
	changes, asked := everything(t, c)
	before := serials(c)
	var said []string
	r, err := New(lockout.World{c}, changes, Options{Asked: asked, Rate: 200, Say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Run(t.Context()); err != nil {
		t.Fatalf("%v after\n%s", err, strings.Join(said, "\n"))
	}
	if got := status(t, c); got[evidence.Match] != phones {
		t.Errorf("statuses %v, want %d that match", got, phones)
	}
	same := 0
	for _, s := range serials(c) {
		if slices.Contains(before, s) {
			same++
		}
	}
	if want := len(before) - 5; same != want { // CallManager and TVS of two nodes, ITLRecovery of one
		t.Errorf("%d certificates are those of before, want %d", same, want)
	}
	if last := fmt.Sprintf("  %d of %d came back, %d of them trusted", phones, phones, phones); said[len(said)-1] != last {
		t.Errorf("said last %q, want %q", said[len(said)-1], last)
	}
	t.Logf("%d phones, %d steps", phones, len(r.changes))
}

var errKilled = errors.New("killed")

// A rollout that is killed behind every single thing that it does goes on each time, and
// does nothing twice: every certificate is made once.
func TestKilledEverywhere(t *testing.T) {
	const phones = 3
	c := start(t, phones)
	handsets(t, c, 0, phones)
	changes, asked := everything(t, c)
	kills := 0
	for ; ; kills++ {
		if kills > 1000 {
			t.Fatal("it does not end")
		}
		r, err := New(lockout.World{c}, changes, Options{Asked: asked})
		if err != nil {
			t.Fatal(err)
		}
		if _, resumes := r.Resumes(); resumes != (kills > 0) {
			t.Fatalf("kill %d: it goes on: %v", kills, resumes)
		}
		things := 0
		r.cut = func() error {
			if things++; things > 1 {
				return errKilled
			}
			return nil
		}
		err = r.Run(t.Context())
		r.Close()
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("after %d kills: %v", kills, err)
		}
		info, err := os.Stat(filepath.Join(c.Dir(), progressFile))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("progress: %v, %v", info, err)
		}
	}
	want := map[string]int{"test10pub CallManager": 1, "test10sub CallManager": 1, "test10pub TVS": 1, "test10sub TVS": 1, "test10pub ITLRecovery": 1}
	got := regenerated(t, c)
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s was made %d times, want %d", name, got[name], n)
		}
	}
	if len(got) != len(want) || status(t, c)[evidence.Match] != phones {
		t.Errorf("made %v; statuses %v", got, status(t, c))
	}
	if _, err := os.Stat(filepath.Join(c.Dir(), progressFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("progress is left at the end: %v", err)
	}
	t.Logf("%d kills", kills)
}

// stubborn is a phone that holds the list of the beginning for good.
func stubborn(t *testing.T, c *cluster.Cluster, i int, comesBack bool) {
	t.Helper()
	list := state.Hash(c.Publisher().ITL())
	p, err := siptest.Dial("tcp", c.Publisher().Endpoint("sip"), "SEP"+mac(i), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if code, err := p.Report(list); err != nil || code != 202 {
		t.Fatal(code, err)
	}
	if code, err := p.Register(3600, "initialized"); err != nil || code != 200 {
		t.Fatal(code, err)
	}
	go func() {
		for {
			if _, err := p.Notified(200); err != nil {
				return
			}
			if !comesBack {
				p.Close()
				return
			}
			p.Again()
			p.Register(3600, "reset-reset")
		}
	}()
}

// The first phone that comes back with a list of before, or not at all, ends a rollout: the
// steps behind it are not done. The same goes on once the phone is right.
func TestStops(t *testing.T) {
	for name, comesBack := range map[string]bool{"it holds its old list": true, "it stays away": false} {
		t.Run(name, func(t *testing.T) {
			c := start(t, 2)
			handsets(t, c, 0, 1)
			stubborn(t, c, 1, comesBack)
			changes, asked := everything(t, c)
			o := Options{Asked: asked, Patience: 2 * time.Second}
			r, err := New(lockout.World{c}, changes, o)
			if err != nil {
				t.Fatal(err)
			}
			err = r.Run(t.Context())
			if _, busy := New(lockout.World{c}, changes, o); !errors.Is(busy, ErrBusy) {
				t.Errorf("a second rollout of one cluster: %v, want %v", busy, ErrBusy)
			}
			r.Close()
			if !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "SEP"+mac(1)) {
				t.Fatalf("%v, want %v and the phone's name", err, ErrUntrusted)
			}
			if got := regenerated(t, c); got["test10pub TVS"] != 0 || got["test10pub CallManager"] != 1 {
				t.Errorf("certificates were made: %v", got)
			}
			asks, _, err := Pending(c.Dir())
			if err != nil || !slices.Equal(asks, asked) {
				t.Errorf("pending: %v, %v", asks, err)
			}
			handsets(t, c, 1, 2) // somebody has repaired it
			if r, err = New(lockout.World{c}, changes, o); err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Run(t.Context()); err != nil || status(t, c)[evidence.Match] != 2 {
				t.Errorf("once the phone is repaired: %v, %v", err, status(t, c))
			}
		})
	}
}

// A phone that was reset too often answers 503 for a while. It is told again, and the plan
// goes on; meanwhile it is waited for.
func TestRefusesForNow(t *testing.T) {
	c := start(t, 2)
	handsets(t, c, 0, 1)
	p, err := siptest.Dial("tcp", c.Publisher().Endpoint("sip"), "SEP"+mac(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.RetryAfter = 1
	if code, err := p.Register(3600, "initialized"); err != nil || code != 200 {
		t.Fatal(code, err)
	}
	told := make(chan int, 100)
	go func() {
		for n := 1; ; n++ {
			code := []int{200, 503}[n%2] // every other order is refused
			if _, err := p.Notified(code); err != nil {
				return
			}
			if told <- code; code == 200 {
				p.Again()
				p.Register(3600, "reset-reset")
			}
		}
	}()
	changes, _, err := lockout.ParseChanges(lockout.World{c}, []string{"restart tftp", "reset"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(lockout.World{c}, changes, Options{Asked: []string{"restart", "tftp", "reset"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, second := <-told, <-told; first != 503 || second != 200 {
		t.Errorf("answered %d, and then %d", first, second)
	}
}

// Phones that are not registered would miss the resets; a change that is made elsewhere is
// not carried out; and progress that is not what was written is an error.
func TestRefuses(t *testing.T) {
	c := start(t, 2)
	handsets(t, c, 0, 1)
	changes, _, err := lockout.ParseChanges(lockout.World{c}, []string{"restart tftp"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := c.State().Resets
	o := Options{Asked: []string{"restart", "tftp"}, Phones: []string{"SEP" + mac(0), "SEP" + mac(1)}}
	r, err := New(lockout.World{c}, changes, o)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Run(t.Context())
	r.Close()
	if !errors.Is(err, ErrUnregistered) || !strings.Contains(err.Error(), mac(1)) || c.State().Resets != before {
		t.Errorf("an unregistered phone: %v, %d resets", err, c.State().Resets-before)
	}
	o.Unregistered = true
	if r, err = New(lockout.World{c}, changes, o); err != nil {
		t.Fatal(err)
	}
	if err = r.Run(t.Context()); err != nil || c.State().Resets != before+1 {
		t.Errorf("left behind: %v, %d resets", err, c.State().Resets-before)
	}
	r.Close()
	if err := os.WriteFile(filepath.Join(c.Dir(), progressFile), []byte(`{"Format":1,"Step":7,"Sequence":["reset"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(lockout.World{c}, changes, o); !errors.Is(err, ErrProgress) {
		t.Errorf("a step that is not there: %v, want %v", err, ErrProgress)
	}
	if err := Forget(c.Dir()); err != nil {
		t.Fatal(err)
	}
	there := func(string) (*cluster.Cluster, error) { return c, nil }
	for _, words := range []string{"migrate there", "sign TVS@pub"} {
		if changes, _, err = lockout.ParseChanges(lockout.World{c}, []string{words}, there); err != nil {
			t.Fatal(err)
		}
		if _, err := New(lockout.World{c}, changes, o); !errors.Is(err, ErrElsewhere) {
			t.Errorf("%s: %v, want %v", words, err, ErrElsewhere)
		}
	}
}
