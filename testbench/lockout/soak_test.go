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

// A day of random operations of an administrator, faults, and resets: what becomes of every
// handset is what was predicted, and nothing grows.
func TestDay(t *testing.T) {
	handsets, steps := dayHandsets, daySteps
	if testing.Short() {
		handsets, steps = 20, warmSteps+4
	}
	d := newDay(t, handsets)
	var warm usage
	operations := make(map[string]int)
	for step := range steps {
		operation := d.step(t, step)
		operations[strings.Fields(operation)[0]]++
		if step == warmSteps {
			warm = use(t)
		}
		if t.Failed() {
			return
		}
	}
	end := use(t)
	runtime.KeepAlive(d)
	t.Logf("%d handsets of a cluster of release %s, %d hours, %d resets, %d of them refused; operations %v", handsets, d.c.State().Release().Name, steps/2, d.cycles, d.locked, operations)
	t.Logf("after %d hours: %d goroutines, %d descriptors, %d KiB; at the end: %d, %d, %d KiB", warmSteps/2, warm.goroutines, warm.descriptors, warm.heap>>10,
		end.goroutines, end.descriptors, end.heap>>10)
	// Some connections may be closing; the state of the cluster has its history, some
	// 200 bytes a list.
	const few = 16
	if end.goroutines > warm.goroutines+few || end.descriptors > warm.descriptors+few || end.heap > warm.heap+warm.heap/4+2<<20 {
		t.Errorf("something grows: %+v, then %+v", warm, end)
	}
}

// day is a cluster that runs, with its handsets.
type day struct {
	seed uint64
	r    *rand.Rand
	c    *cluster.Cluster
	all  []*unit

	mu             sync.Mutex
	cycles, locked int
}

// unit is a handset, and what is known of it on paper.
type unit struct {
	phone lockout.Phone
	store *holdings.MemStore
	agent *agent.Agent
}

// newDay starts a cluster of a random release, with handsets.
func newDay(t *testing.T, handsets int) *day {
	t.Helper()
	d := &day{seed: *seed}
	if d.seed == 0 {
		d.seed = uint64(time.Now().UnixNano())
	}
	d.r = rand.New(rand.NewPCG(d.seed, 3))
	p, err := profile.Builtin([]string{"note", "10.5", "11.5", "12.5", "14"}[d.r.IntN(5)])
	if err != nil {
		t.Fatal(err)
	}
	p.Installed, p.Phones = profile.Note().Installed, nil
	for i := range handsets {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("0011223%05X", i), Model: []string{"CP-7965G", "CP-8861"}[i%2]})
	}
	if d.c, err = cluster.New(p, cluster.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.c.Close)
	if err := d.c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, spec := range d.c.State().Phones {
		u := &unit{phone: lockout.Phone{MAC: spec.MAC, Model: spec.Model, Servers: servers(d.c)}, store: new(holdings.MemStore)}
		if d.r.IntN(3) == 0 {
			u.phone.Servers = []string{u.phone.Servers[1], u.phone.Servers[0]}
		}
		u.agent, err = agent.New(agent.Config{MAC: spec.MAC, Model: spec.Model, Servers: u.phone.Servers, Store: u.store, Dial: new(net.Dialer).DialContext,
			TFTP: fetch.PlainTFTP, Now: d.c.Now, PerFile: 8 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		d.all = append(d.all, u)
	}
	return d
}

// step is half an hour: an operation, and the resets of some handsets. It returns the
// operation.
func (d *day) step(t *testing.T, step int) string {
	t.Helper()
	done := administer(t, d.r, lockout.World{d.c})
	if err := d.c.Apply(operation.Advance(stepTime)); err != nil {
		t.Fatal(err)
	}
	var chosen []*unit
	for _, u := range d.all {
		if step == 0 || d.r.IntN(3) == 0 {
			chosen = append(chosen, u)
		}
		if d.r.IntN(100) == 0 { // somebody stands before it
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
				d.reset(t, u, fmt.Sprintf("seed %d, step %d (%s), phone %s", d.seed, step, done, u.phone.MAC))
			}
		})
	}
	for _, u := range chosen {
		work <- u
	}
	close(work)
	workers.Wait()
	return done
}

// reset resets a handset, on paper and in truth.
func (d *day) reset(t *testing.T, u *unit, where string) {
	stored, err := holdings.Read(u.store)
	if err != nil {
		t.Error(err)
		return
	}
	before := u.phone
	before.Stored, before.Answers = stored, u.agent.Snapshot().Answers
	next, predicted, err := before.Boot(t.Context(), lockout.World{d.c})
	if err != nil {
		t.Error(err)
		return
	}
	got := u.agent.Cycle(t.Context())
	if diff := differ(predicted, got); diff != "" {
		t.Errorf("%s: %s", where, diff)
	}
	after, err := holdings.Read(u.store)
	if err != nil {
		t.Error(err)
		return
	}
	for _, key := range holdings.Deciding() {
		if !bytes.Equal(next.Stored[key], after[key]) {
			t.Errorf("%s: it stores another %s than was predicted", where, key)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cycles++
	if got.Locked() {
		d.locked++
	}
}

// administer does something to the cluster, at random.
func administer(t *testing.T, r *rand.Rand, w lockout.World) string {
	t.Helper()
	c := w[0]
	nodes := c.Nodes()
	n := nodes[r.IntN(len(nodes))].Name()
	var err error
	done := "nothing"
	switch r.IntN(10) {
	case 0: // fix everything
		done = "fix all services"
		for _, n := range nodes {
			for _, s := range profile.Services() {
				err = errors.Join(err, c.Apply(operation.SetFault(n.Name(), s, profile.NoFault)), c.Apply(operation.Service(n.Name(), s, operation.Restart)))
			}
		}
	case 1:
		kind := []string{"busy", "missing", "old", "truncate", "large"}[r.IntN(5)]
		done = "fault of TFTP: " + kind
		err = c.Apply(operation.SetFault(n, profile.TFTPService, kind))
	case 2:
		kind := []string{"close", "garbage", "invalid", "mismatch", "norole"}[r.IntN(5)]
		done = "fault of TVS: " + kind
		err = c.Apply(operation.SetFault(n, profile.TVSService, kind))
	case 3:
		done = "stop or start TVS"
		_, started := nodes[r.IntN(len(nodes))].State().Runs(profile.TVSService)
		action := operation.Start
		if started {
			action = operation.Stop
		}
		err = c.Apply(operation.Service(n, profile.TVSService, action))
	case 4:
		phone := c.State().Phones[r.IntN(len(c.State().Phones))]
		done = "set a phone"
		err = c.Apply(operation.Set(phone.MAC, "webAccess", fmt.Sprint(r.IntN(2))))
	default:
		changes, _, parseErr := lockout.ParseChanges(w, randomChanges(r, 1), func(string) (*cluster.Cluster, error) { return nil, errors.New("one cluster") })
		if parseErr != nil {
			return done
		}
		done = changes[0].Text
		if err = changes[0].Do(w); errors.Is(err, lockout.ErrImpossible) {
			return done + " (impossible)"
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", done, err)
	}
	return done
}
