package agent_test

import (
	"slices"
	"strings"
	"testing"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

const (
	installed = "ITL installed"
	updated   = "Trust List updated"
	failed    = "Trust List Update Failed"
	confName  = "SEP" + mac + ".cnf.xml"
)

// The sixteen cases of phones and clusters that are documented, each on a whole
// phone.
func TestMatrix(t *testing.T) {
	// booted is a phone that trusts its cluster, and the cluster.
	booted := func(t *testing.T) (*site, world, *agent.Agent, *holdings.MemStore) {
		t.Helper()
		s := newSite(t, "pub")
		s.publish("1")
		w, store := world{"pub": s}, new(holdings.MemStore)
		p := w.phone(t, store, "pub")
		want(t, "first boot", cycle(t, p), trust.ViaFirstUse, trust.ViaITL, installed)
		return s, w, p, store
	}
	web := func(t *testing.T, p *agent.Agent, value string) {
		t.Helper()
		if s := p.Snapshot().Settings; s.Web != value {
			t.Errorf("webAccess in force is %q, want %q", s.Web, value)
		}
	}

	t.Run("1 first use", func(t *testing.T) {
		_, _, p, _ := booted(t)
		web(t, p, "1")
		r := cycle(t, p)
		if want(t, "again", r, trust.ViaITL, trust.ViaITL, confName+".sgn(HTTP)"); r.ITL.Changed || r.Config.Changed {
			t.Error("a second cycle stored something")
		}
	})
	t.Run("2 CallManager regenerated, TVS vouches", func(t *testing.T) {
		s, _, p, _ := booted(t)
		s.regenerate(&s.call)
		s.publish("0")
		want(t, "reset", cycle(t, p), trust.ViaTVS, trust.ViaITL, updated)
		web(t, p, "0")
		if s.queries != 1 {
			t.Errorf("TVS was asked %d times, want 1", s.queries)
		}
	})
	for _, c := range []struct {
		name   string
		change func(*site)
		reason trust.Reason
	}{
		{"TVS down", func(s *site) { s.tvsDown = true }, trust.TVSUnreachable},
		{"TVS of another certificate", func(s *site) { s.regenerate(&s.tvs) }, trust.TVSUntrusted},
		{"TVS does not know the signer", func(s *site) { clear(s.known) }, trust.TVSInvalid},
	} {
		t.Run("3 CallManager regenerated, "+c.name, func(t *testing.T) {
			s, _, p, store := booted(t)
			old, _ := store.Get("itl")
			s.regenerate(&s.call)
			c.change(s)
			s.publish("0")
			r := cycle(t, p)
			want(t, "reset", r, c.reason, c.reason, failed)
			if web(t, p, "1"); !r.Locked() || r.Reason() != c.reason || r.ExitCode() != 1 {
				t.Errorf("locked %v, reason %v, exit code %d", r.Locked(), r.Reason(), r.ExitCode())
			}
			if now, _ := store.Get("itl"); !slices.Equal(now, old) {
				t.Error("the stored list has changed")
			}
		})
	}
	lockOut := func(s *site) {
		s.regenerate(&s.call)
		s.regenerate(&s.tvs)
		s.publish("0")
	}
	t.Run("4 CallManager and TVS regenerated, reset with the recovery key", func(t *testing.T) {
		s, _, p, _ := booted(t)
		lockOut(s)
		want(t, "locked", cycle(t, p), trust.TVSUntrusted, trust.TVSUntrusted, failed)
		s.list(trustlist.ITL, s.recovery)
		want(t, "reset", cycle(t, p), trust.ViaITL, trust.ViaITL, updated)
		web(t, p, "0")
	})
	t.Run("5 recovery key regenerated too, saved key", func(t *testing.T) {
		s, _, p, _ := booted(t)
		saved := s.recovery
		s.recovery = pkitest.Identity(t, "ITLRECOVERY_pub", pki.Recovery)
		lockOut(s)
		s.list(trustlist.ITL, s.recovery)
		want(t, "local key", cycle(t, p), trust.TVSUntrusted, trust.TVSUntrusted, failed)
		s.list(trustlist.ITL, saved)
		want(t, "saved key", cycle(t, p), trust.ViaITL, trust.ViaITL, updated)
	})
	t.Run("6 roll-back to a release before 8.0", func(t *testing.T) {
		s, w, p, _ := booted(t)
		blank(s)
		want(t, "blank list", cycle(t, p), trust.ViaITL, trust.ViaNone, updated)
		other := newSite(t, "other")
		other.publish("0")
		w["pub"] = other
		want(t, "any list", cycle(t, p), trust.ViaFirstUse, trust.ViaITL, updated)
	})
	// secure gives the phone a CTL beside its ITL.
	secure := func(t *testing.T) (*site, world, *agent.Agent, *holdings.MemStore) {
		s := newSite(t, "pub")
		s.publish("1")
		s.list(trustlist.CTL, s.call)
		w, store := world{"pub": s}, new(holdings.MemStore)
		p := w.phone(t, store, "pub")
		want(t, "first boot", cycle(t, p), trust.ViaCTL, trust.ViaCTL, "CTL and ITL installed")
		return s, w, p, store
	}
	t.Run("7 secure migration: CTL by the old TVS, ITL by the new CTL", func(t *testing.T) {
		s, w, _, store := secure(t)
		next := newSite(t, "next")
		next.publish("0")
		next.list(trustlist.CTL, next.call)
		next.tvsDown = true
		s.known[next.call] = []trustlist.Role{trustlist.SAST, trustlist.TFTP} // Phone-SAST-trust
		w["next"] = next
		r := w.phone(t, store, "next").Cycle(t.Context())
		if r.CTL.Verdict.Via != trust.ViaTVS {
			t.Errorf("CTL %v via %q, want via tvs", r.CTL.Verdict.Reason, r.CTL.Verdict.Via)
		}
		if want(t, "migrated", r, trust.ViaCTL, trust.ViaCTL, updated); s.queries != 1 {
			t.Errorf("TVS was asked %d times, want 1", s.queries)
		}
	})
	t.Run("8 CTL and ITL, roll-back, then a new cluster", func(t *testing.T) {
		s, w, p, _ := secure(t)
		blank(s)
		cycle(t, p)
		next := newSite(t, "pub")
		next.publish("0")
		next.list(trustlist.CTL, next.call)
		next.tvs = s.tvs
		w["pub"] = next
		r := cycle(t, p)
		if r.CTL.Verdict.Reason != trust.UnknownSigner || len(r.CTL.Verdict.Steps) == 0 {
			t.Errorf("CTL %v via %q, want unknown-signer", r.CTL.Verdict.Reason, r.CTL.Verdict.Via)
		}
		want(t, "new cluster", r, trust.UnknownSigner, trust.UnknownSigner, failed)
	})
	for name, c := range map[string]struct {
		policy trust.Policy
		want   any
	}{
		"9 SHA-512 on a phone that knows it":  {trust.Policy{}, trust.ViaITL},
		"9 SHA-512 on a phone that does not":  {trust.Policy{NoSHA512: true}, trust.UnsupportedDigest},
		"10 three SAST records, policy warns": {trust.Policy{}, trust.ViaITL},
		"10 three SAST records, policy fails": {trust.Policy{MaxSAST: 2}, trust.TooManySAST},
	} {
		t.Run(name, func(t *testing.T) {
			s, w, _, store := booted(t)
			records, digest := s.records(), trustlist.SHA512
			if strings.HasPrefix(name, "10") {
				records, digest = append(records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: s.tvs.Certificate}), trustlist.SHA1
			}
			f := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Digest: digest, Records: records}, s.call)
			s.files["ITLSEP"+mac+".tlv"] = f.Bytes()
			p := w.phoneWith(t, agent.Config{Store: store, Servers: []string{"pub"}, Policy: c.policy})
			message := updated
			if c.want != trust.ViaITL {
				message = failed
			}
			want(t, "reset", cycle(t, p), c.want, trust.ViaITL, message)
		})
	}
	t.Run("10 list of more than 64 KiB", func(t *testing.T) {
		s, _, p, _ := booted(t)
		s.files["ITLSEP"+mac+".tlv"] = make([]byte, 65536)
		want(t, "reset", cycle(t, p), trust.TooLarge, trust.ViaITL, failed)
	})
	t.Run("11 newer header", func(t *testing.T) {
		s, _, p, _ := booted(t)
		f := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Version: trustlist.Version{Major: 1, Minor: 3},
			SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Records: s.records()}, s.call)
		s.files["ITLSEP"+mac+".tlv"] = f.Bytes()
		r := cycle(t, p)
		if want(t, "reset", r, trust.ViaITL, trust.ViaITL, updated); len(r.ITL.Verdict.Warnings) != 1 {
			t.Errorf("warnings %q, want one", r.ITL.Verdict.Warnings)
		}
	})
	t.Run("12 home list handed to a visiting phone", func(t *testing.T) {
		s, _, p, _ := booted(t)
		home := newSite(t, "home")
		home.publish("0")
		s.known[home.call] = []trustlist.Role{trustlist.SAST, trustlist.TFTP} // imported in bulk
		s.files = home.files
		want(t, "log-in", cycle(t, p), trust.ViaTVS, trust.ViaITL, updated)
		web(t, p, "0")
	})
	for _, status := range []int{503, 404} {
		t.Run("13 HTTP answers, TFTP serves", func(t *testing.T) {
			s, _, p, _ := booted(t)
			s.httpStatus = status
			s.publish("0")
			r := cycle(t, p)
			if want(t, "reset", r, trust.ViaITL, trust.ViaITL, confName+".sgn(TFTP)"); r.ITL.Transport != "TFTP" || r.Config.Transport != "TFTP" {
				t.Errorf("got by %s and %s, want TFTP", r.ITL.Transport, r.Config.Transport)
			}
		})
	}
	t.Run("14 reserved byte of the TVS response", func(t *testing.T) {
		s, _, p, _ := booted(t)
		s.spoil = func(m *tvs.Message) { m.Reserved = 0xf7 }
		s.regenerate(&s.call)
		s.publish("0")
		want(t, "reset", cycle(t, p), trust.ViaTVS, trust.ViaITL, updated)
	})
	for _, c := range []struct {
		name   string
		spoil  func(s *site, m *tvs.Message)
		reason trust.Reason
	}{
		{"another certificate", func(s *site, m *tvs.Message) { m.Certificate = s.recovery.Certificate.Raw }, trust.TVSMismatch},
		{"no fitting role", func(_ *site, m *tvs.Message) { m.Roles = []trustlist.Role{trustlist.CAPF} }, trust.RoleMissing},
	} {
		t.Run("15 TVS answers with "+c.name, func(t *testing.T) {
			s, _, p, _ := booted(t)
			s.spoil = func(m *tvs.Message) { c.spoil(s, m) }
			s.regenerate(&s.call)
			s.publish("0")
			want(t, "reset", cycle(t, p), c.reason, c.reason, failed)
		})
	}
	t.Run("16 unknown device: a default configuration without TVS", func(t *testing.T) {
		s, _, p, _ := booted(t)
		delete(s.files, confName+".sgn")
		s.serveConfig("XMLDefault.cnf.xml", "<Default><loadInformation></loadInformation></Default>")
		want(t, "default taken", cycle(t, p), trust.ViaITL, trust.ViaITL, "XMLDefault.cnf.xml.sgn(HTTP)")
		s.regenerate(&s.call)
		s.publish("0")
		want(t, "new signer", cycle(t, p), trust.UnknownSigner, trust.UnknownSigner, failed)
		if s.queries != 0 {
			t.Errorf("TVS was asked %d times, want 0", s.queries)
		}
	})
}

// blank serves a list with empty TFTP and TVS sections, signed by the cluster,
// and the configuration unsigned.
func blank(s *site) {
	s.list(trustlist.ITL, s.call,
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: s.call.Certificate},
		trustlist.RecordSpec{Role: trustlist.TFTP, Form: trustlist.Blank},
		trustlist.RecordSpec{Role: trustlist.TVS, Form: trustlist.Blank})
}
