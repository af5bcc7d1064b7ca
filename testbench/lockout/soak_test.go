package lockout_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
)

// A day of a cluster and its handsets, half an hour a step.
const (
	daySteps    = 48
	stepTime    = 30 * time.Minute
	dayHandsets = 200
	warmSteps   = 12 // before memory is looked at first
)

// usage is what a process holds.
type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

func use(t *testing.T) usage {
	t.Helper()
	var u usage
	for range 50 { // what ends needs a moment to do so
		runtime.GC()
		n := runtime.NumGoroutine()
		if n == u.goroutines {
			break
		}
		u.goroutines = n
		time.Sleep(20 * time.Millisecond)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	u.descriptors = len(fds)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap = m.HeapAlloc
	return u
}

// A day of random deeds of an administrator, faults, and resets: what becomes of every
// handset is what the decision predicted, and nothing grows.
func TestDay(t *testing.T) {
	handsets, steps := dayHandsets, daySteps
	if testing.Short() {
		handsets, steps = 20, warmSteps+4
	}
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	r := rand.New(rand.NewPCG(s, 3))
	p, err := profile.Builtin([]string{"note", "10.5", "11.5", "12.5", "14"}[r.IntN(5)])
	if err != nil {
		t.Fatal(err)
	}
	p.Installed, p.Phones = profile.Note().Installed, nil
	for i := range handsets {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("0011223%05X", i), Model: []string{"CP-7965G", "CP-8861"}[i%2]})
	}
	c, err := cluster.New(p, cluster.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w := lockout.World{c}
	type unit struct {
		phone lockout.Phone
		store *holdings.MemStore
		agent *agent.Agent
	}
	var all []*unit
	for _, spec := range c.State().Phones {
		u := &unit{phone: lockout.Phone{MAC: spec.MAC, Model: spec.Model, Servers: servers(c)}, store: new(holdings.MemStore)}
		if r.IntN(3) == 0 {
			u.phone.Servers = []string{u.phone.Servers[1], u.phone.Servers[0]}
		}
		u.agent, err = agent.New(agent.Config{MAC: spec.MAC, Model: spec.Model, Servers: u.phone.Servers, Store: u.store, Dial: new(net.Dialer).DialContext,
			TFTP: fetch.PlainTFTP, Now: c.Now, PerFile: 8 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	var mu sync.Mutex
	cycles, locked := 0, 0
	reset := func(u *unit, step int, deed string) {
		kept, err := holdings.Read(u.store)
		if err != nil {
			t.Error(err)
			return
		}
		before := u.phone
		before.Kept, before.Answers = kept, u.agent.Snapshot().Answers
		next, predicted, err := before.Boot(t.Context(), w)
		if err != nil {
			t.Error(err)
			return
		}
		got := u.agent.Cycle(t.Context())
		where := fmt.Sprintf("seed %d, step %d (%s), phone %s", s, step, deed, u.phone.MAC)
		if diff := differ(predicted, got); diff != "" {
			t.Errorf("%s: %s", where, diff)
		}
		after, err := holdings.Read(u.store)
		if err != nil {
			t.Error(err)
			return
		}
		for _, key := range holdings.Deciding() {
			if !bytes.Equal(next.Kept[key], after[key]) {
				t.Errorf("%s: it keeps another %s than was predicted", where, key)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		cycles++
		if got.Locked() {
			locked++
		}
	}
	var warm usage
	deeds := make(map[string]int)
	for step := range steps {
		deed := administer(t, r, w)
		deeds[strings.Fields(deed)[0]]++
		if err := c.Apply(operation.Advance(stepTime)); err != nil {
			t.Fatal(err)
		}
		var chosen []*unit
		for _, u := range all {
			if step == 0 || r.IntN(3) == 0 {
				chosen = append(chosen, u)
			}
			if r.IntN(100) == 0 { // somebody stands before it
				if err := u.agent.Erase(trustlist.CTL, trustlist.ITL); err != nil {
					t.Fatal(err)
				}
			}
		}
		work := make(chan *unit)
		var workers sync.WaitGroup
		for range 8 {
			workers.Go(func() {
				for u := range work {
					reset(u, step, deed)
				}
			})
		}
		for _, u := range chosen {
			work <- u
		}
		close(work)
		workers.Wait()
		if step == warmSteps {
			warm = use(t)
		}
		if t.Failed() {
			return
		}
	}
	end := use(t)
	runtime.KeepAlive(all)
	t.Logf("%d handsets of a cluster of release %s, %d hours, %d resets, %d of them refused; deeds %v", handsets, c.State().Release().Name, steps/2, cycles, locked, deeds)
	t.Logf("after %d hours: %d goroutines, %d descriptors, %d KiB; at the end: %d, %d, %d KiB", warmSteps/2, warm.goroutines, warm.descriptors, warm.heap>>10,
		end.goroutines, end.descriptors, end.heap>>10)
	// Some connections may be closing; the state of the cluster has its history, some
	// 200 bytes a list.
	const few = 16
	if end.goroutines > warm.goroutines+few || end.descriptors > warm.descriptors+few || end.heap > warm.heap+warm.heap/4+2<<20 {
		t.Errorf("something grows: %+v, then %+v", warm, end)
	}
}

// administer does something to the cluster, at random.
func administer(t *testing.T, r *rand.Rand, w lockout.World) string {
	t.Helper()
	c := w[0]
	nodes := c.Nodes()
	n := nodes[r.IntN(len(nodes))].Name()
	var err error
	deed := "nothing"
	switch r.IntN(10) {
	case 0: // fix everything
		deed = "fix all services"
		for _, n := range nodes {
			for _, s := range profile.Services() {
				err = errors.Join(err, c.Apply(operation.SetFault(n.Name(), s, profile.NoFault)), c.Apply(operation.Service(n.Name(), s, operation.Restart)))
			}
		}
	case 1:
		kind := []string{"busy", "missing", "old", "truncate", "large"}[r.IntN(5)]
		deed = "fault of TFTP: " + kind
		err = c.Apply(operation.SetFault(n, profile.TFTPService, kind))
	case 2:
		kind := []string{"close", "garbage", "invalid", "mismatch", "norole"}[r.IntN(5)]
		deed = "fault of TVS: " + kind
		err = c.Apply(operation.SetFault(n, profile.TVSService, kind))
	case 3:
		deed = "stop or start TVS"
		_, started := nodes[r.IntN(len(nodes))].State().Runs(profile.TVSService)
		action := operation.Start
		if started {
			action = operation.Stop
		}
		err = c.Apply(operation.Service(n, profile.TVSService, action))
	case 4:
		phone := c.State().Phones[r.IntN(len(c.State().Phones))]
		deed = "set a phone"
		err = c.Apply(operation.Set(phone.MAC, "webAccess", fmt.Sprint(r.IntN(2))))
	default:
		changes, _, parseErr := lockout.ParseChanges(w, randomChanges(r, 1), func(string) (*cluster.Cluster, error) { return nil, errors.New("one cluster") })
		if parseErr != nil {
			return deed
		}
		deed = changes[0].Text
		if err = changes[0].Do(w); errors.Is(err, lockout.ErrImpossible) {
			return deed + " (impossible)"
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", deed, err)
	}
	return deed
}
