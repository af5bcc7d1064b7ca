package operation_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// apply runs operations one after another.
func apply(t *testing.T, s *state.State, ops ...operation.Operation) {
	t.Helper()
	for _, op := range ops {
		if err := op(s); err != nil {
			t.Fatal(err)
		}
	}
}

// listed is a record in short: role, DNSNAME, length.
func listed(list *trustlist.File) (all []string) {
	for i := range list.Records {
		r := &list.Records[i]
		dns := strings.TrimRight(string(r.Value(trustlist.DNSName)), "\x00")
		all = append(all, fmt.Sprintf("%v %s %d %v", r.Role(), dns, r.Length(), r.Value(trustlist.IPAddress)))
	}
	return all
}

// krakow is the cluster of the listing in Cisco's document 118893: two nodes of 10.5
// without a domain, keys of 1024 bits.
func krakow(t *testing.T) *state.State {
	t.Helper()
	p := profile.Profile{Name: "krakow", Release: "10.5", Organisation: pki.Name{OU: "TAC", O: "Cisco", L: "Krakow", ST: "Malopolska", C: "PL"},
		Host: "10.48.47.153", Nodes: []profile.NodeSpec{{Name: "cucm-1051-a-pub", Publisher: true, CAPFName: "CAPF-e41e7d87"}, {Name: "cucm-1051-a-sub1", Host: "10.48.47.154"}},
		Bits: map[profile.Unit]int{profile.CallManager: 1024, profile.TVS: 1024, profile.CAPF: 1024, profile.Tomcat: 1024, profile.ITLRecovery: 1024}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := operation.Install(p, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The CTL of a real cluster has the sums of its listing, and those of a blank record.
func TestCTLOfTheListing(t *testing.T) {
	s := krakow(t)
	apply(t, s, operation.SetMixedMode(true))
	list := pkitest.Parse(t, trustlist.CTL, s.CTL)
	want := []string{
		"System Administrator Security Token cucm-1051-a-pub 1156 [10 48 47 153]", "CCM+TFTP cucm-1051-a-pub 1156 [10 48 47 153]",
		"CAPF cucm-1051-a-pub 1138 [10 48 47 153]", "CCM+TFTP cucm-1051-a-sub1 1161 [10 48 47 154]",
	}
	if got := listed(list); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(s.CTL) != 4947 || list.Length != 336 {
		t.Errorf("%d bytes, header %d; want 4947, 336", len(s.CTL), list.Length)
	}
	if got := string(list.Signer.Name); got != "CN=cucm-1051-a-pub;OU=TAC;O=Cisco;L=Krakow;ST=Malopolska;C=PL" {
		t.Errorf("signer %s", got)
	}
	if s.Nodes[0].CTL != nil {
		t.Error("10.5 serves a CTL before TFTP is restarted")
	}
	apply(t, s, operation.SetMixedMode(false))
	for i, r := range pkitest.Parse(t, trustlist.CTL, s.CTL).Records {
		if r.Role() == trustlist.CCMTFTP && r.Length() != 33-len("twelve-bytes")+len(s.Nodes[i/3].Name) {
			t.Errorf("blank record %d has %d bytes", i, r.Length())
		}
	}
}

// A reset of the CTL has the present ITLRecovery certificate in it, whose key signs it.
func TestResetCTL(t *testing.T) {
	s := krakow(t)
	apply(t, s, operation.SetMixedMode(true), operation.RestartTFTP("cucm-1051-a-pub"), operation.Regenerate("cucm-1051-a-pub", profile.ITLRecovery), operation.ResetCTL())
	list := pkitest.Parse(t, trustlist.CTL, s.Nodes[0].CTL)
	recovery := s.Recovery().Certificate
	last := list.Records[len(list.Records)-1]
	if last.Role() != trustlist.SAST || !bytes.Equal(last.Value(trustlist.Certificate), recovery.Raw) {
		t.Errorf("the last record is not the present ITLRecovery: %v", listed(list))
	}
	if at, err := list.CheckOwn(); err != nil || at != len(list.Records)-1 {
		t.Errorf("signed by record %d, %v", at, err)
	}
	apply(t, s, operation.RestartTFTP("cucm-1051-a-pub"))
	if got := pkitest.Parse(t, trustlist.CTL, s.Nodes[0].CTL); len(got.Bytes()) != 4947 {
		t.Errorf("after a restart of TFTP the CTL has %d bytes", len(got.Bytes()))
	}
}

// A TFTP server whose address is not in the CTL can be staged, and a release from 12.5 on
// serves a new CTL at once.
func TestUnlisted(t *testing.T) {
	p, err := profile.Builtin("12.5")
	if err != nil {
		t.Fatal(err)
	}
	s, err := operation.Install(p, false)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, operation.SetMixedMode(true))
	if s.Nodes[1].CTL == nil {
		t.Fatal("12.5 serves no CTL before TFTP is restarted")
	}
	if got := listed(pkitest.Parse(t, trustlist.CTL, s.CTL)); !strings.HasPrefix(got[len(got)-1], "System Administrator Security Token test10pub ") || len(got) != 5 {
		t.Errorf("records of 12.5: %v", got)
	}
	apply(t, s, operation.SetFault("test10sub", profile.TFTPService, "unlisted"), operation.UpdateCTL())
	for _, r := range listed(pkitest.Parse(t, trustlist.CTL, s.Nodes[0].CTL)) {
		if strings.Contains(r, "test10sub") {
			t.Errorf("the node is listed: %s", r)
		}
	}
}

// TVS records are whole from 12.5 on, so that the list of a large cluster is larger than
// phones read. It is served all the same, and the log says so.
func TestLargeCluster(t *testing.T) {
	p := profile.Note()
	p.Release, p.RecoveryName = "12.5", ""
	p.Bits = map[profile.Unit]int{}
	for _, u := range []profile.Unit{profile.CallManager, profile.TVS, profile.CAPF, profile.Tomcat, profile.ITLRecovery} {
		p.Bits[u] = 1024
	}
	p.Organisation.OU = strings.Repeat("u", 200) // as large as with keys of 2048 bits
	p.Nodes = p.Nodes[:1]
	for i := range 38 {
		p.Nodes = append(p.Nodes, profile.NodeSpec{Name: fmt.Sprintf("sub%d", i), Domain: "example.lab"})
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	s, err := operation.Install(p, false)
	if err != nil {
		t.Fatal(err)
	}
	itl, err := s.Publisher().File("ITLFile.tlv", false)
	if err != nil || len(itl) <= trustlist.MaxListSize {
		t.Errorf("%d bytes, %v; want more than %d", len(itl), err, trustlist.MaxListSize)
	}
	said := 0
	for _, e := range s.Effects.Events {
		if e.Name == "ITLTooLarge" {
			said++
		}
	}
	if said != len(p.Nodes) {
		t.Errorf("%d events, want %d", said, len(p.Nodes))
	}
	s.Record(nil)
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Decode(data); err != nil {
		t.Error(err)
	}
}
