package agent_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/agent/logger"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

func TestNewRefuses(t *testing.T) {
	w := world{}
	good := agent.Config{MAC: mac, Model: "CP-7965G", Servers: []string{"pub"}, Store: new(holdings.MemStore), Dial: w.dial}
	for name, change := range map[string]func(*agent.Config){
		"no MAC":        func(c *agent.Config) { c.MAC = "" },
		"short MAC":     func(c *agent.Config) { c.MAC = "64A0E71502C" },
		"MAC not hex":   func(c *agent.Config) { c.MAC = "64A0E71502CG" },
		"model":         func(c *agent.Config) { c.Model = "7965" },
		"model as path": func(c *agent.Config) { c.Model = "CP-../../x" },
		"no server":     func(c *agent.Config) { c.Servers = nil },
		"no store":      func(c *agent.Config) { c.Store = nil },
		"no network":    func(c *agent.Config) { c.Dial = nil },
	} {
		c := good
		if change(&c); newErr(c) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, form := range []string{mac, "64:a0:e7:15:02:cc", "64-A0-E7-15-02-CC", "64a0.e715.02cc", "SEP64A0E71502CC"} {
		c := good
		c.MAC = form
		if a, err := agent.New(c); err != nil || a.Snapshot().Device != "SEP"+mac {
			t.Errorf("MAC %s: %v", form, err)
		}
	}
}

func newErr(c agent.Config) error { _, err := agent.New(c); return err }

// faulty is a Store whose Put or Get can be made to fail, or to lie.
type faulty struct {
	holdings.MemStore
	put, get error
	lie      func(key string, value []byte) []byte // what is stored in place of a value
}

func (f *faulty) Put(key string, value []byte) error {
	if f.put != nil {
		return f.put
	}
	if f.lie != nil {
		value = f.lie(key, value)
	}
	return f.MemStore.Put(key, value)
}

func (f *faulty) Get(key string) ([]byte, error) {
	if f.get != nil {
		return nil, f.get
	}
	return f.MemStore.Get(key)
}

// A list that cannot be stored, or does not read back, is not in force.
func TestNotStoredIsNotInForce(t *testing.T) {
	for name, store := range map[string]*faulty{
		"write error": {put: errors.New("erase block 3: I/O error")},
		"lost bytes":  {lie: func(_ string, v []byte) []byte { return v[:len(v)-1] }},
		"flipped bit": {lie: func(_ string, v []byte) []byte { v = slices.Clone(v); v[9] ^= 1; return v }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "pub")
			s.publish("1")
			p := world{"pub": s}.phone(t, store, "pub")
			r := p.Cycle(t.Context())
			if r.ITL.Verdict.Reason != trust.NotStored || !strings.Contains(r.ITL.Verdict.Reason.Text(), "internal failure") || r.Locked() || r.ExitCode() != 1 {
				t.Errorf("ITL %v (%s), locked %v", r.ITL.Verdict.Reason, r.ITL.Verdict.Detail, r.Locked())
			}
			if p.Snapshot().ITL != nil || r.HeldITL != nil {
				t.Error("the list is in force")
			}
		})
	}
}

// What is stored and cannot be read is no reason to trust the next list that
// comes along.
func TestDamagedStore(t *testing.T) {
	s := newSite(t, "pub")
	s.publish("1")
	for name, damage := range map[string]func(*faulty){
		"read error":         func(f *faulty) { f.get = errors.New("I/O error") },
		"list cut":           func(f *faulty) { v, _ := f.MemStore.Get("itl"); f.MemStore.Put("itl", v[:400]) },
		"empty list":         func(f *faulty) { f.MemStore.Put("itl", nil) },
		"rubbish for a CTL":  func(f *faulty) { f.MemStore.Put("ctl", []byte("rubbish")) },
		"broken settings":    func(f *faulty) { f.MemStore.Put("config", []byte("<device>")) },
		"no settings at all": func(f *faulty) { f.MemStore.Put("config", nil) },
	} {
		store := new(faulty)
		w := world{"pub": s}
		want(t, name, w.phone(t, store, "pub").Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, installed)
		damage(store)
		p := w.phone(t, store, "pub")
		if r := p.Cycle(t.Context()); r.Reason() != trust.HeldDamaged || !r.Locked() || r.Messages[0] != failed {
			t.Errorf("%s: reason %v, messages %q", name, r.Reason(), r.Messages)
		}
	}
}

// Lists and settings survive the process.
func TestRestart(t *testing.T) {
	s := newSite(t, "pub")
	s.publish("0")
	w, store := world{"pub": s}, new(holdings.MemStore)
	w.phone(t, store, "pub").Cycle(t.Context())
	delete(w, "pub")
	p := w.phone(t, store, "pub")
	r := p.Cycle(t.Context())
	if r.HeldITL == nil || r.Settings.Web != "0" || r.Locked() {
		t.Errorf("held %v, settings %+v, locked %v", r.HeldITL, r.Settings, r.Locked())
	}
	if r.Reason() != trust.DownloadFailed || r.ExitCode() != 3 || r.Messages[0] != failed {
		t.Errorf("no server: reason %v, exit code %d, messages %q", r.Reason(), r.ExitCode(), r.Messages)
	}
}

// The names are asked for in the order of a real phone, and a phone without
// lists takes an unsigned configuration.
func TestClusterWithoutLists(t *testing.T) {
	s := newSite(t, "pub")
	s.config("0")
	var asked []string
	w := world{"pub": s}
	p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}, Log: logger.To(func(format string, args ...any) {
		if strings.HasPrefix(format, "HTTP") {
			return
		}
		if strings.HasPrefix(format, "XXTP complete") {
			asked = append(asked, args[0].(string))
		}
	})})
	r := p.Cycle(t.Context())
	want(t, "no lists", r, trust.NotFound, trust.ViaNone, "No Trust List installed")
	if r.ExitCode() != 0 || r.Locked() || r.Settings.Web != "0" || r.Summary() != "SEP"+mac+" works without trust lists" {
		t.Errorf("exit code %d, %s, settings %+v", r.ExitCode(), r.Summary(), r.Settings)
	}
	wantNames := []string{"CTLSEP" + mac + ".tlv", "ITLSEP" + mac + ".tlv", "ITLFile.tlv", confName}
	if !slices.Equal(asked, wantNames) {
		t.Errorf("asked for %q, want %q", asked, wantNames)
	}
}

// An authentic configuration that cannot be used leaves the old settings.
func TestBadConfiguration(t *testing.T) {
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	for name, xml := range map[string]string{
		"broken":  "<device><vendorConfig>",
		"not XML": "settings = none",
		"empty":   "",
		"root":    "<other/>",
		"entity":  `<!DOCTYPE d [<!ENTITY a "b">]><device>&a;</device>`,
		"deep":    "<device>" + deep + "</device>",
		"two":     "<device/><device/>",
	} {
		s := newSite(t, "pub")
		s.publish("1")
		p := world{"pub": s}.phone(t, new(holdings.MemStore), "pub")
		p.Cycle(t.Context())
		s.serveConfig(confName, xml)
		r := p.Cycle(t.Context())
		if r.Config.Verdict.Reason != trust.BadContent || r.Settings.Web != "1" || !r.Locked() {
			t.Errorf("%s: %v, settings %+v", name, r.Config.Verdict.Reason, r.Settings)
		}
	}
}

// A list that came unsigned, or a file in place of a list, changes nothing.
func TestUnsignedWhileTrusting(t *testing.T) {
	s := newSite(t, "pub")
	s.publish("1")
	p := world{"pub": s}.phone(t, new(holdings.MemStore), "pub")
	p.Cycle(t.Context())
	s.files[confName+".sgn"] = s.files[confName]
	s.files["ITLSEP"+mac+".tlv"] = s.files[confName]
	want(t, "unsigned", p.Cycle(t.Context()), trust.Malformed, trust.NotSigned, failed)
	s.files["ITLSEP"+mac+".tlv"] = nil
	if r := p.Cycle(t.Context()); r.ITL.Verdict.Reason != trust.EmptyFile {
		t.Errorf("0-byte list: %v, want %v", r.ITL.Verdict.Reason, trust.EmptyFile)
	}
	s.list(trustlist.CTL, s.call)
	s.files["ITLSEP"+mac+".tlv"] = s.files["CTLSEP"+mac+".tlv"]
	if r := p.Cycle(t.Context()); r.ITL.Verdict.Reason != trust.WrongFile {
		t.Errorf("CTL for an ITL: %v, want %v", r.ITL.Verdict.Reason, trust.WrongFile)
	}
}

func TestMemStore(t *testing.T) {
	var m holdings.MemStore
	if _, err := m.Get("itl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want %v", err, fs.ErrNotExist)
	}
	v := []byte{1}
	m.Put("itl", v)
	v[0] = 2
	if got, err := m.Get("itl"); err != nil || got[0] != 1 {
		t.Errorf("the store shares the caller's bytes: %v, %v", got, err)
	}
	if m.Delete("itl"); m.Delete("itl") != nil {
		t.Error("deleting an absent value is an error")
	}
}

// A phone on real flash whose chip stops taking programs keeps its old list in
// force, says that it is an internal failure, and goes on when the chip does.
func TestFlashFails(t *testing.T) {
	d := flashtest.New(t, flash.Geometry{Size: 64 << 10, EraseSize: 4 << 10, ProgramSize: 1})
	v, err := vault.Open(d, vault.Options{Rand: strings.NewReader("sixteen bytes ..."), Format: vault.FormatErased})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "pub")
	s.publish("1")
	w := world{"pub": s}
	p := w.phoneWith(t, agent.Config{Store: v, Messages: v, Servers: []string{"pub"}})
	want(t, "first boot", p.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, installed)
	old := p.Snapshot().ITL

	s.regenerate(&s.call)
	s.publish("0")
	d.Inject(flashtest.Fault{Op: 1, Kind: flashtest.FailOn})
	r := p.Cycle(t.Context())
	want(t, "flash fails", r, trust.NotStored, trust.NotStored, failed)
	if now := p.Snapshot().ITL; !slices.Equal(now.Bytes(), old.Bytes()) || r.Settings.Web != "1" {
		t.Errorf("another list is in force, or other settings: %+v", r.Settings)
	}
	if !strings.Contains(r.ITL.Verdict.Detail, "program at 0x") {
		t.Errorf("detail %q does not say where", r.ITL.Verdict.Detail)
	}

	d.PowerOn()
	if v, err = vault.Open(d, vault.Options{}); err != nil {
		t.Fatal(err)
	}
	p = w.phoneWith(t, agent.Config{Store: v, Messages: v, Servers: []string{"pub"}})
	want(t, "flash mended", p.Cycle(t.Context()), trust.ViaTVS, trust.ViaITL, updated)
	if m := v.Messages(); len(m) < 4 || m[0].Text != installed {
		t.Errorf("messages %v", m)
	}
}
