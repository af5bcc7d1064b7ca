package trust_test

import (
	"testing"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// Where a CTL has addresses of TFTP servers, that of the server has to be among them.
func TestKnowsServer(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	ctl := func(records ...trustlist.RecordSpec) *trustlist.File {
		t.Helper()
		records = append(records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate, IP: [4]byte{192, 0, 2, 9}})
		data, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.CTL, Time: pkitest.Time, Records: records}, id.SigningKey())
		if err != nil {
			t.Fatal(err)
		}
		return pkitest.Parse(t, trustlist.CTL, data)
	}
	full := ctl(trustlist.RecordSpec{Role: trustlist.CCMTFTP, Certificate: id.Certificate, IP: [4]byte{192, 0, 2, 1}},
		trustlist.RecordSpec{Role: trustlist.TFTP, Form: trustlist.Blank, IP: [4]byte{192, 0, 2, 2}})
	for _, test := range []struct {
		name  string
		state trust.State
		host  string
		want  bool
	}{
		{"no CTL", trust.State{}, "198.51.100.1", true},
		{"listed", trust.State{CTL: full}, "192.0.2.1", true},
		{"listed, mapped into IPv6", trust.State{CTL: full}, "::ffff:192.0.2.1", true},
		{"a blank record", trust.State{CTL: full}, "192.0.2.2", true},
		{"no TFTP record", trust.State{CTL: full}, "192.0.2.9", false},
		{"another", trust.State{CTL: full}, "198.51.100.1", false},
		{"IPv6", trust.State{CTL: full}, "2001:db8::1", false},
		{"a name", trust.State{CTL: full}, "pub.example.lab", true},
		{"any server", trust.State{CTL: full, Policy: trust.Policy{AnyServer: true}}, "198.51.100.1", true},
		{"a CTL without addresses", trust.State{CTL: ctl(trustlist.RecordSpec{Role: trustlist.CCMTFTP, Certificate: id.Certificate})}, "198.51.100.1", true},
	} {
		if got := test.state.KnowsServer(test.host); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
