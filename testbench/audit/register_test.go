package audit_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/testbench/audit"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// In mixed mode a secured phone whose CTL is from before the call managers' certificates is
// told as trusted, but not able to register, with the remedy; its neighbour without security
// follows, and both do before.
func TestCannotRegister(t *testing.T) {
	p := profile.Note()
	p.Phones = []profile.PhoneSpec{{MAC: "000000000001", Model: "CP-7965G", Settings: map[string]string{state.SecuritySetting: "3"}}, {MAC: "000000000002", Model: "CP-7965G"}}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	apply := func(ops ...operation.Operation) {
		t.Helper()
		for _, op := range ops {
			if err := c.Apply(op); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := func() {
		t.Helper()
		for _, n := range c.Nodes() {
			apply(operation.RestartTFTP(n.Name()), operation.Service(n.Name(), profile.CallManagerService, operation.Restart))
		}
	}
	apply(operation.SetMixedMode(true))
	again()
	reports := evidence.New()
	for _, p := range p.Phones {
		line := fmt.Sprintf("1: pub: Jan 02 2026 15:04:05.000 UTC: %%UC_CALLMANAGER-6-DeviceTLInfo: %%[DeviceName=SEP%s][CTL_Signature=%s][ITL_Signature=%s][StatusCode=3]: Alarm of a phone\n",
			p.MAC, state.Hash(c.Publisher().State().CTL), state.Hash(c.Publisher().ITL()))
		if err := reports.Read(strings.NewReader(line), nil); err != nil {
			t.Fatal(err)
		}
	}
	judged := func() (phones []*audit.Phone, report string) {
		t.Helper()
		j := audit.NewJudge(t.Context(), lockout.World{c})
		for p, err := range j.Phones(reports) {
			if err != nil {
				t.Fatal(err)
			}
			phones = append(phones, p)
		}
		tally, err := j.Tally(reports)
		out := new(bytes.Buffer)
		if err == nil {
			err = j.Print(out, reports, tally, true)
		}
		if err != nil || len(phones) != 2 {
			t.Fatal(phones, err)
		}
		return phones, out.String()
	}
	phones, report := judged()
	for _, p := range phones {
		if !p.Follows() || p.CannotRegister {
			t.Errorf("before: %v follows %v, cannot register %v, %v", p.MAC, p.Follows(), p.CannotRegister, p.Verdict)
		}
	}
	if strings.Contains(report, "cannot register") {
		t.Errorf("before:\n%s", report)
	}
	for _, n := range c.Nodes() {
		apply(operation.Regenerate(n.Name(), profile.CallManager))
	}
	again()
	phones, report = judged()
	if p := phones[0]; !p.CannotRegister || p.Follows() || p.Verdict != trust.Accepted || p.Remedy == nil || p.Remedy.Name != "update-ctl" {
		t.Errorf("the secured phone: %+v", p)
	}
	if p := phones[1]; p.CannotRegister || !p.Follows() {
		t.Errorf("the other one: %+v", p)
	}
	if want := "1 trusted, but cannot register: no call manager shows a certificate that their lists have"; !strings.Contains(report, want) {
		t.Errorf("%s\nwant %q", report, want)
	}
}
