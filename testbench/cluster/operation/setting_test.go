package operation_test

import (
	"strings"
	"testing"
	"time"

	"itlagent/agent/settings"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// The login of the debug shell can be set, and phones read it.
func TestShellLogin(t *testing.T) {
	s, err := operation.Install(profile.Note(), false)
	if err != nil {
		t.Fatal(err)
	}
	const mac = "64A0E71502CC"
	apply(t, s, operation.Set(mac, "sshUserId", "joe"), operation.Set(mac, "sshPassword", "secret"))
	data, err := s.Publisher().File("SEP"+mac+".cnf.xml", false)
	if err != nil {
		t.Fatal(err)
	}
	set, err := settings.Parse(data)
	if err != nil || set.ShellUser != "joe" || set.ShellPassword != "secret" {
		t.Errorf("login %q %q, %v", set.ShellUser, set.ShellPassword, err)
	}
	if err := operation.Set(mac, "nothing", "1")(s); err == nil {
		t.Error("a setting that phones do not have was taken")
	}
}

// A time that is too long is told as that.
func TestLongDuration(t *testing.T) {
	for _, text := range []string{"157800000h", "24001h", "9999999999999999999h"} {
		if d, err := operation.ParseDuration(text); err == nil || !strings.Contains(err.Error(), "at most 1000 days") {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	if d, err := operation.ParseDuration("24000h"); err != nil || d != 24000*time.Hour {
		t.Errorf("24000h: %v, %v", d, err)
	}
}
