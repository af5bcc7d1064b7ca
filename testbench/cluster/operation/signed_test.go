package operation_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// small is a cluster of a release with short keys, whose nodes have no domain.
func small(t *testing.T, release string) *state.State {
	t.Helper()
	p := profile.Profile{Name: "small", Release: release, Organisation: pki.Name{OU: "voice", O: "example", C: "US"}, Installed: pkitest.Time,
		Nodes: []profile.NodeSpec{{Name: "pub", Publisher: true}, {Name: "sub"}}, Phones: profile.Note().Phones,
		Bits: map[profile.Unit]int{profile.CallManager: 1024, profile.TVS: 1024, profile.CAPF: 1024, profile.Tomcat: 1024}}
	if release != "8.6" {
		p.Bits[profile.ITLRecovery] = 1024
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := operation.Install(p, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// authority is a CA below a root, valid from the installation of small on.
func authority(t *testing.T) *pki.Identity {
	t.Helper()
	root := pkitest.Make(t, pki.Request{Subject: pki.Name{CN: "Root"}, Bits: 1024, Usage: pki.Authority, Years: 20})
	return pkitest.Make(t, pki.Request{Subject: pki.Name{CN: "Issuing"}, Bits: 1024, Usage: pki.Authority, Years: 20, Signer: root})
}

// request generates a CSR and has it signed.
func request(t *testing.T, s *state.State, ca *pki.Identity, node int, u profile.Unit, all bool) *x509.Certificate {
	t.Helper()
	apply(t, s, operation.GenerateCSR(s.Nodes[node].Name, u, all))
	cert, err := ca.Issue(s.Nodes[node].CSRs[u].Request.Request, s.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A certificate is imported where it is the answer to the CSR, its chain is trusted, and
// all of it is valid; else nothing is.
func TestImportSigned(t *testing.T) {
	s := small(t, "11.5")
	ca := authority(t)
	root := ca.Chain[0]
	cert := request(t, s, ca, 0, profile.CallManager, false)
	other := request(t, s.Clone(), ca, 1, profile.CallManager, false)
	request := s.Nodes[0].CSRs[profile.CallManager].Request.Request
	late, err := ca.Issue(request, s.Now().Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	renamed := *request
	renamed.Extensions = nil
	nameless, err := ca.Issue(&renamed, s.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	store := profile.CallManager.Trust()
	for _, c := range []struct {
		name   string
		cert   *x509.Certificate
		before []operation.Operation
		want   error
	}{
		{"no CA", cert, nil, operation.ErrTrust},
		{"no root", cert, []operation.Operation{operation.Import(store, ca.Certificate)}, operation.ErrTrust},
		{"no issuing CA", cert, []operation.Operation{operation.Import(store, root)}, operation.ErrTrust},
		{"CAs in another store", cert, []operation.Operation{operation.Import(profile.TomcatTrust, root, ca.Certificate)}, operation.ErrTrust},
		{"another key", other, []operation.Operation{operation.Import(store, root, ca.Certificate)}, operation.ErrCSRKey},
		{"other names", nameless, []operation.Operation{operation.Import(store, root, ca.Certificate)}, operation.ErrNames},
		{"not valid yet", late, []operation.Operation{operation.Import(store, root, ca.Certificate)}, operation.ErrExpired},
		{"expired", cert, []operation.Operation{operation.Import(store, root, ca.Certificate), operation.Advance(6 * 366 * 24 * time.Hour)}, operation.ErrExpired},
		{"CSR deleted", cert, []operation.Operation{operation.Import(store, root, ca.Certificate), operation.DeleteCSR("pub", profile.CallManager)}, operation.ErrNoCSR},
		{"node renamed", cert, []operation.Operation{operation.Import(store, root, ca.Certificate), operation.Rename("pub", "", "example.lab")}, operation.ErrNoCSR},
		{"CSR replaced", cert, []operation.Operation{operation.Import(store, root, ca.Certificate), operation.GenerateCSR("pub", profile.CallManager, false)}, operation.ErrCSRKey},
		{"good", cert, []operation.Operation{operation.Import(store, ca.Certificate, root)}, nil},
	} {
		next := s.Clone()
		apply(t, next, c.before...)
		if err := operation.ImportSigned("pub", profile.CallManager, c.cert)(next); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		id := next.Nodes[0].Units[profile.CallManager]
		if done := id.Certificate.Equal(cert); done != (c.want == nil) {
			t.Errorf("%s: imported %v", c.name, done)
		}
		if c.want == nil && (len(id.Chain) != 2 || id.Fits() != nil || len(next.Nodes[0].CSRs) != 0 || next.Resets != s.Resets+1) {
			t.Errorf("%s: chain of %d, %v, %d CSRs, %d resets", c.name, len(id.Chain), id.Fits(), len(next.Nodes[0].CSRs), next.Resets-s.Resets)
		}
	}
	if _, ok := s.Nodes[0].CSRs[profile.CallManager]; !ok {
		t.Error("the state before has lost its CSR")
	}
	// It counts as a regeneration, and waits for others.
	apply(t, s, operation.Import(store, root, ca.Certificate), operation.ImportSigned("pub", profile.CallManager, cert))
	var hold *operation.HoldError
	if err := operation.Regenerate("pub", profile.TVS)(s.Clone()); !errors.As(err, &hold) || hold.Modified != profile.CallManager {
		t.Errorf("TVS just after it: %v", err)
	}
	// What is written of the state is read again.
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := state.Decode(data)
	if err != nil || len(back.Nodes[0].Units[profile.CallManager].Chain) != 2 {
		t.Errorf("read back: %v", err)
	}
}

// Lists name a signer by the CA's name and the certificate's serial number, and TVS finds
// it by both.
func TestSignedNames(t *testing.T) {
	for _, release := range []string{"11.5", "12.5"} {
		s := small(t, release)
		ca := authority(t)
		cert := request(t, s, ca, 0, profile.CallManager, false)
		apply(t, s, operation.Import(profile.CallManagerTrust, ca.Chain[0], ca.Certificate), operation.ImportSigned("pub", profile.CallManager, cert),
			operation.SetMixedMode(true), operation.RestartTFTP("pub"))
		itl, ctl := pkitest.Parse(t, trustlist.ITL, s.Nodes[0].ITL), pkitest.Parse(t, trustlist.CTL, s.CTL)
		if release == "11.5" {
			for _, list := range []*trustlist.File{itl, ctl} {
				if string(list.Signer.Name) != "CN=pub;OU=voice;O=example;C=US" || string(list.Signer.Issuer) != "CN=Issuing" || !bytes.Equal(list.Signer.Serial, cert.SerialNumber.Bytes()) {
					t.Errorf("%s: %v: signer %s of %s", release, list.Kind, list.Signer.Name, list.Signer.Issuer)
				}
			}
		}
		for _, list := range []*trustlist.File{itl, ctl} {
			if _, err := list.CheckOwn(); err != nil {
				t.Errorf("%s: %v: %v", release, list.Kind, err)
			}
			count := 0
			for i := range list.Records {
				if r := &list.Records[i]; r.Is([]byte("CN=Issuing"), cert.SerialNumber.Bytes()) && r.MatchesCertificate(cert) {
					count++
				}
			}
			if count != 2 {
				t.Errorf("%s: %v: %d records of it", release, list.Kind, count)
			}
		}
		ask := &tvs.Message{Type: tvs.QueryCertReq, Device: "SEP64A0E71502CC", Subject: trustlist.FormatName(cert.Subject), Issuer: "CN=Issuing", Serial: cert.SerialNumber.Bytes()}
		for _, n := range s.Nodes {
			if res := n.AnswerTVS(ask); res.Status != 0 || !bytes.Equal(res.Certificate, cert.Raw) || !slices.Equal(res.Roles, []trustlist.Role{trustlist.SAST, trustlist.CCMTFTP}) {
				t.Errorf("%s: TVS of %s: status %d, roles %v", release, n.Name, res.Status, res.Roles)
			}
		}
	}
}

// One certificate, and one key, is that of every node.
func TestMultiServer(t *testing.T) {
	s := small(t, "10.5")
	ca := authority(t)
	cert := request(t, s, ca, 0, profile.CallManager, true)
	if cert.Subject.CommonName != "pub-ms" || !slices.Equal(cert.DNSNames, []string{"pub", "sub"}) {
		t.Errorf("%s, %v", cert.Subject, cert.DNSNames)
	}
	apply(t, s, operation.Import(profile.CallManagerTrust, ca.Chain[0], ca.Certificate), operation.ImportSigned("pub", profile.CallManager, cert))
	for _, n := range s.Nodes {
		if id := n.Units[profile.CallManager]; !id.Certificate.Equal(cert) || id.Fits() != nil {
			t.Errorf("%s: %s", n.Name, id.Certificate.Subject)
		}
	}
	apply(t, s, operation.RestartTFTP("pub"), operation.RestartTFTP("sub"))
	if !bytes.Equal(s.Nodes[0].ITL, s.Nodes[1].ITL) {
		t.Error("the nodes serve different lists")
	}
	res := s.Nodes[1].AnswerTVS(&tvs.Message{Type: tvs.CertVerificationReq, Device: "SEP64A0E71502CC", Certificate: cert.Raw})
	if !slices.Equal(res.Roles, []trustlist.Role{trustlist.SAST, trustlist.CCMTFTP}) {
		t.Errorf("TVS gives roles %v", res.Roles)
	}
	if callManagers, _ := s.Foreign(); len(callManagers) != 1 {
		t.Errorf("%d CallManager certificates to export", len(callManagers))
	}
	if count := len(s.Trusted()); count != 1+2+2 { // CallManager, tomcat of each, the CAs
		t.Errorf("%d trusted certificates", count)
	}
	// What must be of one node, or of the cluster alone.
	for u, want := range map[profile.Unit]string{profile.TVS: "of its own", profile.CAPF: "of its own", profile.ITLRecovery: "no CA"} {
		if err := operation.GenerateCSR("pub", u, true)(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s for all nodes: %v", u, err)
		}
	}
	// The other node keeps it when one has its own again.
	apply(t, s, operation.Advance(operation.HoldTime), operation.Regenerate("pub", profile.CallManager))
	if s.Nodes[0].Units[profile.CallManager].Certificate.Equal(cert) || !s.Nodes[1].Units[profile.CallManager].Certificate.Equal(cert) {
		t.Error("regenerated elsewhere")
	}
}

// From release 14 on all nodes have one TVS certificate, whatever makes it.
func TestSharedTVS(t *testing.T) {
	tvsOf := func(s *state.State) (*x509.Certificate, bool) {
		pub, sub := s.Nodes[0].Units[profile.TVS], s.Nodes[1].Units[profile.TVS]
		return pub.Certificate, pub.Certificate.Equal(sub.Certificate)
	}
	old := small(t, "12.5")
	if _, one := tvsOf(old); one {
		t.Error("12.5 has one TVS certificate")
	}
	s := small(t, "14")
	first, one := tvsOf(s)
	if !one || !slices.Equal(first.DNSNames, []string{"pub", "sub"}) {
		t.Errorf("14 has one: %v, names %v", one, first.DNSNames)
	}
	for i, n := range s.Nodes {
		count := 0
		for j := range pkitest.Parse(t, trustlist.ITL, n.ITL).Records {
			if pkitest.Parse(t, trustlist.ITL, n.ITL).Records[j].Role() == trustlist.TVS {
				count++
			}
		}
		if count != 1 {
			t.Errorf("node %d: %d TVS records", i, count)
		}
	}
	ca := authority(t)
	for name, change := range map[string]func(*state.State){
		"regenerated": func(s *state.State) { apply(t, s, operation.Regenerate("sub", profile.TVS)) },
		"renamed":     func(s *state.State) { apply(t, s, operation.Rename("sub", "other", "")) },
		"rebuilt":     func(s *state.State) { apply(t, s, operation.Rebuild("password")) },
		"signed": func(s *state.State) {
			cert := request(t, s, ca, 1, profile.TVS, false)
			apply(t, s, operation.Import(profile.TVS.Trust(), ca.Chain[0], ca.Certificate), operation.ImportSigned("sub", profile.TVS, cert))
		},
	} {
		next := s.Clone()
		change(next)
		if now, one := tvsOf(next); !one || now.Equal(first) {
			t.Errorf("%s: one %v, new %v", name, one, !now.Equal(first))
		}
	}
	// A cluster that is upgraded gets one when TVS is renewed.
	apply(t, old, operation.Upgrade("14"))
	if _, one := tvsOf(old); one {
		t.Error("an upgrade replaces TVS certificates")
	}
	apply(t, old, operation.Regenerate("pub", profile.TVS))
	if _, one := tvsOf(old); !one {
		t.Error("two TVS certificates after an upgrade and a renewal")
	}
}

// Every unit of every release can have a signed certificate, ipsec too, but ITLRecovery.
func TestSignByCA(t *testing.T) {
	for _, release := range []string{"8.6", "11.5", "14"} {
		s := small(t, release)
		for _, u := range s.Release().Signable() {
			next := s.Clone()
			apply(t, next, operation.SignByCA("sub", u, false), operation.RestartTFTP("sub"))
			id := next.Nodes[1].Units[u]
			if id.Certificate.Issuer.CommonName != "Bench CA" || len(id.Chain) != 1 || id.Fits() != nil {
				t.Errorf("%s: %s: %s", release, u, id.Certificate.Issuer)
			}
			data, err := next.Encode()
			if err == nil {
				_, err = state.Decode(data)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", release, u, err)
			}
		}
	}
}
