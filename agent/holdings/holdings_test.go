package holdings_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/holdings"
	"itlagent/agent/model"
	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

var errFlash = errors.New("I/O error")

// failing is a store whose operations fail as a plan says: one letter an operation, "."
// for one that works, "e" for one that fails and does nothing, "d" for one that does its
// work and fails all the same. What is behind the plan works.
type failing struct {
	*holdings.MemStore
	plan string
	ops  int
}

func (f *failing) next() byte {
	f.ops++
	if f.ops > len(f.plan) {
		return '.'
	}
	return f.plan[f.ops-1]
}

func (f *failing) Get(key string) ([]byte, error) {
	if f.next() != '.' {
		return nil, errFlash
	}
	return f.MemStore.Get(key)
}

func (f *failing) change(do func() error) error {
	switch f.next() {
	case '.':
		return do()
	case 'd':
		do()
	}
	return errFlash
}

func (f *failing) Put(key string, value []byte) error {
	return f.change(func() error { return f.MemStore.Put(key, value) })
}

func (f *failing) Delete(key string) error {
	return f.change(func() error { return f.MemStore.Delete(key) })
}

// full is a phone that holds everything.
func full(t *testing.T) map[string][]byte {
	t.Helper()
	call := pkitest.Identity(t, "pub", pki.Service)
	record := trustlist.RecordSpec{Role: trustlist.SAST, Certificate: call.Certificate}
	pem := func(name string) []byte {
		id, err := pki.New(pki.Request{Subject: pki.Name{CN: name}, Bits: 2048, From: pkitest.Time})
		if err != nil {
			t.Fatal(err)
		}
		data, err := id.PhonePEM()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	store := new(holdings.MemStore)
	for name, value := range map[string][]byte{
		holdings.ITL: pkitest.ITL(t, call, record).Bytes(), holdings.Config: []byte("<device><vendorConfig><webAccess>0</webAccess></vendorConfig></device>"),
		holdings.CTL:     pkitest.List(t, trustlist.ListSpec{Kind: trustlist.CTL, Records: []trustlist.RecordSpec{record}}, call).Bytes(),
		holdings.Newest:  []byte("ctl=2000000000\nitl=2000000000\n"),
		holdings.Servers: []byte("tftp1=192.0.2.1\ntftp2=\nalternate=1\n"), holdings.LSC: pem("lsc"), holdings.MIC: pem("mic"),
	} {
		store.Put(name, value)
	}
	h := open(store)
	if err := errors.Join(h.Alarms().Add(alarm.Info{Device: "SEP64A0E71502CC", ITL: []byte{1}}), h.Messages().Add(pkitest.Time, "ITL installed")); err != nil {
		t.Fatal(err)
	}
	return store.Values()
}

func open(s holdings.Store) *holdings.Holdings {
	return holdings.Open(s, holdings.Options{Model: model.Find("CP-7965G", "")})
}

// look writes down what is in force.
func look(s *holdings.State) string {
	list := func(f *trustlist.File) string {
		if f == nil {
			return "none"
		}
		return fmt.Sprintf("%x", f.Bytes())
	}
	id := "none"
	if s.Identity() != nil {
		id = s.Identity().Leaf.Subject.String()
	}
	return fmt.Sprintf("ctl %s\nitl %s\nconfig %s\nnetwork %+v\nnewest %v\nidentity %s\ndamaged %q", list(s.CTL), list(s.ITL), s.Config, s.Network, s.Newest, id, s.Damaged())
}

// After every operation, with every pattern of failures of the storage, what is in force
// is what a fresh load gives once the storage works again.
func TestEveryFailureOfTheStorage(t *testing.T) {
	before := full(t)
	other := pkitest.ITL(t, pkitest.Identity(t, "other", pki.Service), trustlist.RecordSpec{Role: trustlist.SAST, Certificate: pkitest.Identity(t, "x", pki.Service).Certificate})
	config := []byte("<device/>")
	parsed, err := settings.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	patterns := 0
	for name, do := range map[string]func(h *holdings.Holdings) error{
		"set list":    func(h *holdings.Holdings) error { return h.SetList(other) },
		"set config":  func(h *holdings.Holdings) error { return h.SetConfig(config, parsed) },
		"set network": func(h *holdings.Holdings) error { return h.SetNetwork(holdings.Network{TFTP1: "192.0.2.9"}) },
		"erase":       func(h *holdings.Holdings) error { return h.Erase(trustlist.CTL, trustlist.ITL) },
		"reset":       (*holdings.Holdings).FactoryReset,
	} {
		for _, plan := range plans(9) {
			store := &failing{MemStore: holdings.NewMemStore(before)}
			h := open(store)
			store.plan, store.ops = plan, 0
			err := do(h)
			failed := false
			for i := range min(store.ops, len(plan)) {
				failed = failed || plan[i] != '.'
			}
			store.plan = ""
			patterns++
			// A load that failed within the plan is made again by the next boot cycle.
			if got, want := look(h.Retry()), look(holdings.Load(store)); got != want {
				t.Fatalf("%s, %q (%v):\nin force %.300s\nstored   %.300s", name, plan, err, got, want)
			}
			reopened := open(store)
			if got, _ := h.Alarms().Waiting(); !sameAlarms(got, reopened) && err == nil {
				t.Fatalf("%s, %q: %d alarms wait, the store has others", name, plan, len(got))
			}
			// A deletion that was done is not less done where only the load behind it fails.
			if !failed && err != nil || failed && err == nil && name != "erase" && name != "reset" {
				t.Fatalf("%s, %q: error %v", name, plan, err)
			}
		}
	}
	t.Logf("%d patterns of failures", patterns)
}

func sameAlarms(waiting []alarm.Info, h *holdings.Holdings) bool {
	stored, _ := h.Alarms().Waiting()
	return reflect.DeepEqual(waiting, stored) || len(waiting)+len(stored) == 0
}

// plans are all with one or two failures within n operations.
func plans(n int) (all []string) {
	for i := range n {
		for _, kind := range "ed" {
			one := bytes.Repeat([]byte("."), n)
			one[i] = byte(kind)
			all = append(all, string(one))
			for j := i + 1; j < n; j++ {
				for _, kind := range "ed" {
					two := slices.Clone(one)
					two[j] = byte(kind)
					all = append(all, string(two))
				}
			}
		}
	}
	return append(all, "", "eeeeeeeee", "ddddddddd", "deeeeeeee")
}

// Each thing is loaded on its own: any one that is damaged leaves the others in force.
func TestDamageToOne(t *testing.T) {
	before := full(t)
	for _, k := range holdings.Keys() {
		if k.Name == holdings.Servers || k.Name == holdings.Newest || !k.Decides { // any bytes are some network settings
			continue
		}
		values := maps.Clone(before)
		values[k.Name] = append(slices.Clone(values[k.Name][:20]), "rubbish"...)
		s := holdings.Load(holdings.NewMemStore(values))
		for _, other := range holdings.Keys() {
			if err := s.Damage(other.Name); (err != nil) != (other.Name == k.Name) {
				t.Errorf("%s damaged: %s is %v", k.Name, other.Name, err)
			}
		}
		if k.Name != holdings.Config && s.Settings.Web != "0" {
			t.Errorf("%s damaged: the settings are gone", k.Name)
		}
		if k.Name != holdings.ITL && s.ITL == nil || k.Name == holdings.ITL && s.ITL != nil {
			t.Errorf("%s damaged: ITL %v", k.Name, s.ITL)
		}
		if k.Name == holdings.LSC && (s.Identity() == nil || s.Identity().Leaf.Subject.CommonName != "mic") {
			t.Error("without its LSC the phone does not show its MIC")
		}
	}
}

// A fault of the storage that passes is over at the next boot cycle.
func TestRetry(t *testing.T) {
	store := &failing{MemStore: holdings.NewMemStore(full(t)), plan: "e"}
	h := open(store)
	if h.State().Damage(holdings.CTL) == nil || h.State().CTL != nil {
		t.Fatal("the CTL could be read")
	}
	if s := h.Retry(); s.Damage(holdings.CTL) != nil || s.CTL == nil || h.State() != s {
		t.Errorf("afterwards: %v, %v", s.CTL, s.Damage(holdings.CTL))
	}
	ops := store.ops
	if h.Retry(); store.ops != ops {
		t.Errorf("%d operations where nothing is damaged", store.ops-ops)
	}
}

// A factory reset leaves the MIC and nothing else; a State that somebody holds stays as it
// was.
func TestFactoryReset(t *testing.T) {
	store := holdings.NewMemStore(full(t))
	h := open(store)
	was := h.State()
	if err := h.FactoryReset(); err != nil {
		t.Fatal(err)
	}
	left := slices.Sorted(maps.Keys(store.Values()))
	if !slices.Equal(left, []string{holdings.Alarms, holdings.MIC}) && !slices.Equal(left, []string{holdings.MIC}) {
		t.Errorf("left: %q", left)
	}
	if now := h.State(); now.CTL != nil || now.ITL != nil || now.Config != nil || now.Network.Alternate || now.Identity().Leaf.Subject.CommonName != "mic" {
		t.Errorf("in force: %+v", now)
	}
	if waiting, _ := h.Alarms().Waiting(); len(waiting) != 0 || len(h.Messages().Entries()) != 0 {
		t.Errorf("%d alarms, %d messages", len(waiting), len(h.Messages().Entries()))
	}
	if was.ITL == nil || was.Settings.Web != "0" || was.Identity().Leaf.Subject.CommonName != "lsc" {
		t.Error("a state that was looked at has changed")
	}
	if err := h.Messages().Add(time.Unix(0, 0), "x"); err != nil || len(open(store).Messages().Entries()) != 1 {
		t.Errorf("the next message: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	dhcp := []string{"192.0.2.1"}
	for _, c := range []struct {
		n    holdings.Network
		ok   bool
		want string
	}{
		{holdings.Network{}, true, "[192.0.2.1]"},
		{holdings.Network{TFTP1: "a", TFTP2: "b:6970"}, true, "[192.0.2.1]"},
		{holdings.Network{TFTP1: "a", TFTP2: "b:6970", Alternate: true}, true, "[a b:6970]"},
		{holdings.Network{TFTP2: "b", Alternate: true}, true, "[b]"},
		{holdings.Network{Alternate: true}, false, ""},
		{holdings.Network{TFTP1: "a b"}, false, ""},
		{holdings.Network{TFTP1: "a\nalternate=1"}, false, ""},
		{holdings.Network{TFTP1: string(bytes.Repeat([]byte("x"), 100))}, true, "[192.0.2.1]"},
		{holdings.Network{TFTP1: string(bytes.Repeat([]byte("x"), 101))}, false, ""},
	} {
		store := new(holdings.MemStore)
		h := open(store)
		if err := h.SetNetwork(c.n); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.n, err)
		} else if err == nil {
			if got := holdings.Load(store).Network; got != c.n || fmt.Sprint(got.Of(dhcp)) != c.want {
				t.Errorf("%+v: stored %+v, servers %v, want %s", c.n, got, got.Of(dhcp), c.want)
			}
		}
	}
}

// The date of the newest list that was in force survives older ones, a restart, and
// ends with the list by hand.
func TestNewestDates(t *testing.T) {
	call := pkitest.Identity(t, "pub", pki.Service)
	at := func(kind trustlist.Kind, hours int) *trustlist.File {
		return pkitest.List(t, trustlist.ListSpec{Kind: kind, Time: pkitest.Time.Add(time.Duration(hours) * time.Hour),
			Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: call.Certificate}}}, call)
	}
	store := new(holdings.MemStore)
	h := open(store)
	set := func(f *trustlist.File) {
		t.Helper()
		if err := h.SetList(f); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, hours int) {
		t.Helper()
		for _, s := range []*holdings.State{h.State(), holdings.Load(store)} {
			got := s.Newest.ITL
			if hours == 0 && !got.IsZero() || hours != 0 && !got.Equal(pkitest.Time.Add(time.Duration(hours)*time.Hour)) {
				t.Errorf("%s: %v, want %d hours", what, got, hours)
			}
		}
	}
	set(at(trustlist.ITL, 5))
	set(at(trustlist.ITL, 7))
	if want("newer lists", 0); len(store.Values()) != 1 {
		t.Errorf("%d values are stored where lists get newer", len(store.Values()))
	}
	set(at(trustlist.ITL, 3))
	want("an older one", 7)
	set(at(trustlist.ITL, 4))
	want("one between", 7)
	set(at(trustlist.CTL, 9))
	set(at(trustlist.CTL, 1))
	if want("a CTL", 7); !h.State().Newest.CTL.Equal(pkitest.Time.Add(9 * time.Hour)) {
		t.Errorf("CTL %v", h.State().Newest.CTL)
	}
	if err := h.Erase(trustlist.CTL); err != nil || !h.State().Newest.CTL.IsZero() {
		t.Errorf("CTL erased: %v, %v", h.State().Newest.CTL, err)
	}
	want("CTL erased", 7)
	if err := h.Erase(trustlist.ITL); err != nil {
		t.Fatal(err)
	}
	want("ITL erased", 0)
	for _, bad := range []string{"", "ctl=1", "ctl=1\nitl=x\n", "itl=1\nctl=1\n", "ctl=1\nitl=2\n3", "ctl=-1\nitl=2\n"} {
		store.Put(holdings.Newest, []byte(bad))
		if s := holdings.Load(store); s.Damage(holdings.Newest) == nil {
			t.Errorf("%q is read as %+v", bad, s.Newest)
		}
	}
}
