package lockout_test

import (
	"fmt"
	"testing"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

const mac = "64A0E71502CC"

// paperCluster installs the two nodes of a built-in profile in memory, on addresses
// of their own: nothing needs to listen for them to be told apart.
func paperCluster(t testing.TB, release string, net int) *cluster.Cluster {
	t.Helper()
	p, err := profile.Builtin(release)
	if err != nil {
		t.Fatal(err)
	}
	p.Name = fmt.Sprintf("%s-%d", release, net)
	p.Installed = profile.Note().Installed
	for i := range p.Nodes {
		p.Nodes[i].Host = fmt.Sprintf("127.0.%d.%d", net, i+1)
	}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// servers are the TFTP servers of a cluster.
func servers(c *cluster.Cluster) (list []string) {
	for _, n := range c.Nodes() {
		list = append(list, n.State().Advertised("http"))
	}
	return list
}

// site is a world with one phone.
type site struct {
	t     *testing.T
	w     lockout.World
	p     lockout.Phone
	hints lockout.Hints
	n     counts
}

func newSite(t *testing.T, profiles ...string) *site {
	s := &site{t: t}
	for i, name := range profiles {
		s.w = append(s.w, paperCluster(t, name, i+1))
	}
	s.p = lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: servers(s.w[0])}
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// reset resets a real handset that holds what the phone does, and compares.
func (s *site) reset(want trust.Reason) {
	s.t.Helper()
	_, h, err := live(s.t, s.w, s.p)
	s.must(err)
	got := h.agent.Cycle(s.t.Context())
	if got.Reason() != want {
		s.t.Errorf("the handset reports %v, want %v", got.Reason(), want)
	}
	next, predicted, err := s.p.Boot(s.t.Context(), s.w)
	s.must(err)
	got.Config.Changed = predicted.Config.Changed // the ports in it are others
	check(s.t, s.w, s.p, got, s.hints, &s.n)
	s.p = next
}

func (s *site) restart(service profile.Service) {
	s.t.Helper()
	for _, n := range s.w[0].Nodes() {
		s.must(s.w[0].Apply(operation.Service(n.Name(), service, operation.Restart)))
	}
}

// regenerate makes certificates again, with their hold, and restarts what uses them.
func (s *site) regenerate(units ...profile.Unit) {
	s.t.Helper()
	for _, u := range units {
		s.must(s.w[0].Apply(operation.Advance(2 * operation.HoldTime)))
		for _, n := range s.w[0].Nodes() {
			if u == profile.TVS || n.IsPublisher() {
				s.must(s.w[0].Apply(operation.Regenerate(n.Name(), u)))
			}
		}
	}
	s.restart(profile.TVSService)
	s.restart(profile.TFTPService)
}

func (s *site) fault(service profile.Service, kind string) {
	s.t.Helper()
	for _, n := range s.w[0].Nodes() {
		s.must(s.w[0].Apply(operation.SetFault(n.Name(), service, kind)))
	}
}

// serve makes TFTP serve a list like its own but for what change does to it.
func (s *site) serve(change func(*trustlist.ListSpec)) {
	s.t.Helper()
	pub := s.w[0].Publisher()
	call := pub.Identity(profile.CallManager)
	spec := trustlist.ListSpec{Kind: trustlist.ITL, Digest: trustlist.SHA1, Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: call.Certificate},
		{Role: trustlist.TFTP, Certificate: call.Certificate},
		{Role: trustlist.TVS, Certificate: pub.Identity(profile.TVS).Certificate},
		{Role: trustlist.SAST, Certificate: s.w[0].State().Recovery().Certificate},
	}}
	change(&spec)
	s.must(s.w[0].Apply(operation.ServeITL(pkitest.List(s.t, spec, call).Bytes())))
}

// matrix is the sixteen documented cases.
var matrix = []struct {
	name string
	run  func(s *site)
}{
	{"1 first use", func(s *site) {}},
	// Its TVS responses have a reserved byte that is not zero: case 14.
	{"2 and 14 CallManager regenerated, TVS vouches", func(s *site) {
		s.regenerate(profile.CallManager)
		s.reset(trust.Accepted)
	}},
	{"3 TVS stopped", func(s *site) {
		s.regenerate(profile.CallManager)
		for _, n := range s.w[0].Nodes() {
			s.must(s.w[0].Apply(operation.Service(n.Name(), profile.TVSService, operation.Stop)))
		}
		s.reset(trust.TVSUnreachable)
	}},
	{"3 TLS fails", func(s *site) {
		s.regenerate(profile.CallManager)
		s.fault(profile.TVSService, "close")
		s.reset(trust.TVSUnreachable)
	}},
	{"3 TVS is not trusted", func(s *site) {
		s.regenerate(profile.TVS, profile.CallManager)
		s.reset(trust.TVSUntrusted)
	}},
	{"3 TVS does not know the signer", func(s *site) {
		s.regenerate(profile.CallManager)
		s.fault(profile.TVSService, "invalid")
		s.reset(trust.TVSInvalid)
	}},
	{"4 both regenerated, then the recovery key", func(s *site) {
		s.regenerate(profile.CallManager, profile.TVS)
		s.reset(trust.TVSUntrusted)
		s.must(s.w[0].Apply(operation.ResetITL(nil)))
		s.reset(trust.Accepted)
	}},
	{"5 the recovery key regenerated too", func(s *site) {
		s.hints.P12 = s.w[0].Publisher().State().RecoveryP12()
		s.regenerate(profile.ITLRecovery, profile.CallManager, profile.TVS)
		s.reset(trust.TVSUntrusted)
		s.must(s.w[0].Apply(operation.ResetITL(nil)))
		s.reset(trust.TVSUntrusted)
	}},
	{"6 rollback", func(s *site) {
		s.must(s.w[0].Apply(operation.SetRollback(true)))
		s.restart(profile.TVSService)
		s.restart(profile.TFTPService)
		s.reset(trust.Accepted)
		s.p.Servers = servers(s.w[1])
		s.reset(trust.Accepted)
	}},
	{"7 secure migration", func(s *site) {
		s.secure()
		s.must(s.w[1].Apply(operation.SetMixedMode(true)))
		for _, n := range s.w[1].Nodes() {
			s.must(s.w[1].Apply(operation.RestartTFTP(n.Name())))
		}
		s.p.Servers = servers(s.w[1])
		s.reset(trust.TVSInvalid)
		s.must(lockout.Import(s.w, 0, 1))
		s.reset(trust.Accepted)
	}},
	{"8 rollback with a CTL, then another cluster", func(s *site) {
		s.secure()
		s.must(s.w[0].Apply(operation.SetRollback(true)))
		s.restart(profile.TFTPService)
		s.reset(trust.Accepted)
		s.must(s.w[1].Apply(operation.SetMixedMode(true)))
		for _, n := range s.w[1].Nodes() {
			s.must(s.w[1].Apply(operation.RestartTFTP(n.Name())))
		}
		s.p.Servers = servers(s.w[1])
		s.reset(trust.UnknownSigner)
	}},
	{"9 SHA-512", func(s *site) {
		s.must(s.w[0].Apply(operation.SetDigest(trustlist.SHA512)))
		s.restart(profile.TFTPService)
		s.reset(trust.Accepted)
		s.must(s.w[0].Apply(operation.Advance(time.Minute)))
		s.restart(profile.TFTPService)
		s.p.Policy.NoSHA512 = true
		s.reset(trust.UnsupportedDigest)
	}},
	{"10 a list of more than 64 KiB", func(s *site) {
		s.fault(profile.TFTPService, "large")
		s.reset(trust.TooLarge)
	}},
	{"10 three SAST records", func(s *site) {
		s.p.Policy.MaxSAST = 2
		s.serve(func(l *trustlist.ListSpec) {
			l.Records = append(l.Records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: pkitest.Identity(s.t, "third", pki.Service).Certificate})
		})
		s.reset(trust.TooManySAST)
	}},
	{"11 a newer header", func(s *site) {
		s.serve(func(l *trustlist.ListSpec) {
			l.Version, l.SignerVersion = trustlist.Version{Major: 1, Minor: 3}, trustlist.Version{Major: 1, Minor: 1}
		})
		s.reset(trust.Accepted)
	}},
	{"12 a visiting phone is handed the home list", func(s *site) {
		s.p.Servers = servers(s.w[1])
		s.reset(trust.TVSInvalid)
		s.must(lockout.Import(s.w, 0, 1))
		s.reset(trust.Accepted)
	}},
	{"13 HTTP is busy", func(s *site) {
		s.fault(profile.TFTPService, "busy")
		s.reset(trust.Accepted)
	}},
	{"13 no file is found", func(s *site) {
		s.fault(profile.TFTPService, "missing")
		s.reset(trust.NotFound)
	}},
	{"15 TVS answers with another certificate", func(s *site) {
		s.regenerate(profile.CallManager)
		s.fault(profile.TVSService, "mismatch")
		s.reset(trust.TVSMismatch)
	}},
	{"15 TVS answers with no fitting role", func(s *site) {
		s.regenerate(profile.CallManager)
		s.fault(profile.TVSService, "norole")
		s.reset(trust.RoleMissing)
	}},
	{"16 unknown device, a default configuration without TVS", func(s *site) {
		s.w = lockout.World{paperCluster(s.t, "8.6", 9)}
		s.p = lockout.Phone{MAC: "001122334455", Model: "CP-7965G", Servers: servers(s.w[0])}
		s.reset(trust.Accepted)
		s.regenerate(profile.CallManager)
		s.reset(trust.UnknownSigner)
	}},
}

// The sixteen documented cases: what is predicted is what a handset reports, and every
// remedy is carried out.
func TestMatrix(t *testing.T) {
	for _, c := range matrix {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "note", "10.5")
			s.reset(trust.Accepted)
			c.run(s)
			t.Logf("case %s: %d resets predicted, %d locked; %d remedies and %d ineffective ones carried out; by files and text %d, %d of them with the log; by the log alone %d, without a list %d; first remedies typed: %d work, %d meet a fault of TFTP",
				c.name, s.n.resets, s.n.locked, s.n.remedies, s.n.ineffective, s.n.evidence, s.n.heeded, s.n.told, s.n.unserved, s.n.typed, s.n.faulty)
		})
	}
}

// secure turns mixed mode on, and the phone gets its CTL.
func (s *site) secure() {
	s.t.Helper()
	s.must(s.w[0].Apply(operation.SetMixedMode(true)))
	s.restart(profile.TFTPService)
	s.reset(trust.Accepted)
}
