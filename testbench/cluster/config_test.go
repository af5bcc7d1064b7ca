package cluster_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
)

const good = `name: site
release: "12.5"
organisation: {ou: voice, o: example, l: rtp, st: nc, c: US}
address: 127.0.0.1
clock: 2026-01-31T08:00:00Z
keySizes: {CallManager: 1024, TVS: 1024, CAPF: 1024, tomcat: 1024, ITLRecovery: 1024}
recoveryName: ITLRECOVERY_first
fixed: true
passwords: {administrator: administrator, security: security}
nodes:
  - name: pub
    domain: example.lab
    role: publisher
  - name: sub
    domain: example.lab
    address: 127.0.0.2
    services: [tvs, sip]
    keySizes: {TVS: 2048}
    capfName: CAPF-sub
phones:
  - mac: 64A0E71502CC
    model: CP-7965G
    settings: {webAccess: "0", load: sip.9-4-2}
`

func TestConfig(t *testing.T) {
	p, err := profile.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(p, cluster.Options{Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	sub := c.Nodes()[1]
	if !strings.HasPrefix(sub.TVSAddress(), "127.0.0.2:") || strings.HasSuffix(sub.TVSAddress(), ":0") {
		t.Errorf("sub's TVS is on %s", sub.TVSAddress())
	}
	if active, _ := sub.State().Runs(profile.TFTPService); active || fmt.Sprint(c.State().TFTPNodes()) != "[pub]" {
		t.Errorf("sub runs TFTP; nodes with it: %v", c.State().TFTPNodes())
	}
	if err := c.Apply(operation.RestartTFTP("sub")); err == nil {
		t.Error("a service was restarted where there is none")
	}
	if got := c.State().Phone("64A0E71502CC").Settings; got["webAccess"] != "0" || got["sshAccess"] != "1" || got["load"] != "sip.9-4-2" {
		t.Errorf("settings %v", got)
	}
	if got := c.State().Recovery().Certificate.Subject.CommonName; got != "ITLRECOVERY_first" {
		t.Errorf("recovery name %s", got)
	}
	if got := c.Now(); !got.Equal(time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("the bench clock is at %v", got)
	}
	if a, s := c.State().AdminPassword, c.State().SecurityPassword; a != "administrator" || s != "security" {
		t.Errorf("passwords %s, %s", a, s)
	}
}

// What is wrong in a file is said with the line where it stands.
func TestConfigErrors(t *testing.T) {
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the file", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, test := range map[string]struct{ file, want string }{
		"empty":                     {"", "line 1: no release"},
		"not YAML":                  {"\t{", "line 1"},
		"an unknown key":            {edit("fixed: true", "colour: red"), "line 8: unknown field \"colour\""},
		"an unknown key of a node":  {edit("    capfName: CAPF-sub", "    colour: red"), "line 19: unknown field \"colour\""},
		"a wrong type":              {edit("fixed: true", "fixed: [1]"), "line 8: "},
		"an unknown release":        {edit(`"12.5"`, `"13"`), `line 2: no release "13"`},
		"two nodes of a name":       {edit("name: sub", "name: pub"), "line 14: there are two nodes pub"},
		"a bad name":                {edit("name: sub", "name: s_b"), `line 14: invalid host name "s_b"`},
		"a bad domain":              {edit("    domain: example.lab\n    address", "    domain: ..\n    address"), `line 15: invalid domain name ".."`},
		"a bad role":                {edit("role: publisher", "role: primary"), `line 13: role "primary": publisher or subscriber`},
		"two publishers":            {edit("    address: 127.0.0.2", "    role: publisher"), "line 16: a second publisher"},
		"no publisher":              {edit("role: publisher", "role: subscriber"), "line 11: no node with the role publisher"},
		"a bad address":             {edit("address: 127.0.0.2", "address: here"), `line 16: invalid IP address "here"`},
		"an unknown service":        {edit("[tvs, sip]", "[tvs, fax]"), `line 17: no service "fax"`},
		"an unknown unit":           {edit("{TVS: 2048}", "{ipsec: 2048}"), `line 18: release 12.5 has no RSA certificate "ipsec"`},
		"an odd key size":           {edit("{TVS: 2048}", "{TVS: 2000}"), "line 18: TVS: 2000 bits; 1024, 2048 or 4096"},
		"recovery in an old one":    {edit(`"12.5"`, `"8.6"`), `line 6: release 8.6 has no RSA certificate "ITLRecovery"`},
		"a bad MAC address":         {edit("64A0E71502CC", "64:A0"), `line 21: MAC address "64:A0"`},
		"a bad model":               {edit("CP-7965G", "telephone"), `line 22: model "telephone"`},
		"a bad setting":             {edit(`webAccess: "0"`, `webAccess: "<b>"`), `line 23: setting "webAccess"`},
		"a setting that rings":      {edit(`webAccess: "0"`, `webAccess: "\e[1m"`), `line 23: setting "webAccess"`},
		"a setting that is no text": {edit(`webAccess: "0"`, `webAccess: "\u202e0"`), `line 23: setting "webAccess"`},
		"an escape in a CAPF name":  {edit("capfName: CAPF-sub", `capfName: "\e[1m"`), `line 19: "\x1b[1m" has characters that cannot be seen`},
		"an escape in the name":     {edit("name: site", `name: "a\e[1m"`), `line 1: "a\x1b[1m" has characters that cannot be seen`},
		"a NUL in a country":        {edit("c: US", `c: "\0"`), `line 3: "\x00" has characters that cannot be seen`},
		"told nowhere":              {edit("fixed: true", "advertise: \"::\""), "phones cannot be told the address ::"},
		"two phones":                {good + "  - {mac: 64A0E71502CC, model: CP-7965G}\n", "line 24: there are two phones 64A0E71502CC"},
		"a bad clock":               {edit("2026-01-31T08:00:00Z", "yesterday"), `line 5: clock "yesterday"`},
		"an unknown time zone":      {edit("fixed: true", "timezone: Mars"), `line 8: unknown time zone "Mars"`},
		"a short password":          {edit("security: security", "security: x"), "line 9: a password has at least 6 characters"},
		"a port out of range":       {edit("    capfName: CAPF-sub", "    port: 65530"), "line 19: port 65530"},
		"an unknown port":           {edit("    capfName: CAPF-sub", "    ports: {fax: 1}"), "line 19: port fax: 1"},
		"a port twice":              {edit("    capfName: CAPF-sub", "    ports: {http: 7000, tvs: 7000}"), "line 14: tvs 127.0.0.2:7000 is that of sub http too"},
		"a port of another node":    {edit("    address: 127.0.0.2", "    port: 7000\n    ports: {sip: 7001}"), "is that of sub"},
		"too many nodes":            {"release: \"14\"\nnodes:" + strings.Repeat("\n  - {name: x, domain: y}", 40), "line 3: 40 nodes: a cluster has 1 to 39"},
		"too long":                  {strings.Repeat("#", 2<<20), "at most 262144"},
	} {
		_, err := profile.Parse([]byte(test.file))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v\nwant %s", name, err, test.want)
		}
	}
}

// A port in use is named with the node and its line, before anything is made.
func TestConfigPortInUse(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	p, err := profile.Parse([]byte(strings.Replace(good, "    role: publisher", "    role: publisher\n    ports: {tftp: "+port+"}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "d")
	_, err = cluster.New(p, cluster.Options{Dir: dir})
	var in *serve.PortError
	if !errors.As(err, &in) || !strings.HasPrefix(err.Error(), "line 11: node pub, port tftp: ") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err == nil {
		t.Error("a cluster was installed all the same")
	}
}

// Every built-in profile can be had, and is what it says.
func TestProfiles(t *testing.T) {
	for _, test := range []struct {
		name           string
		bits           int
		signer         string
		recovery, ec   bool
		years          int
		resetSucceeds  bool
		mixedAvailable bool
	}{
		{"note", 1024, "test10pub.", true, false, 5, true, true},
		{"8.6", 1024, "test10pub.", false, false, 0, false, false},
		{"10.5", 2048, "test10pub.", true, false, 5, true, true},
		{"11.5", 2048, "test10pub.", true, true, 5, true, true},
		{"12.5", 2048, "ITLRECOVERY_", true, true, 5, true, true},
		{"14", 2048, "ITLRECOVERY_", true, true, 20, true, true},
	} {
		p, err := profile.Builtin(test.name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cluster.New(p, cluster.Options{})
		if err != nil {
			t.Fatal(err)
		}
		list := itl(t, c.Publisher())
		if !strings.HasPrefix(string(list.Signer.Name), "CN="+test.signer) {
			t.Errorf("%s: signed by %s", test.name, list.Signer.Name)
		}
		if (c.State().Recovery() != nil) != test.recovery || (c.Publisher().Identity(profile.CallManagerEC) != nil) != test.ec || (list.SignerVersion.Major == 1) != test.ec {
			t.Errorf("%s: recovery %v, EC %v, signer version %v", test.name, c.State().Recovery() != nil, c.Publisher().Identity(profile.CallManagerEC) != nil, list.SignerVersion)
		}
		if _, err := list.CheckOwn(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.recovery {
			cert := c.State().Recovery().Certificate
			if got := cert.NotAfter.Year() - cert.NotBefore.Year(); got != test.years {
				t.Errorf("%s: ITLRecovery is valid for %d years, want %d", test.name, got, test.years)
			}
		}
		if err := c.Apply(operation.ResetITL(nil)); (err == nil) != test.resetSucceeds {
			t.Errorf("%s: reset: %v", test.name, err)
		}
		if err := c.Apply(operation.SetMixedMode(true)); (err == nil) != test.mixedAvailable {
			t.Errorf("%s: mixed mode: %v", test.name, err)
		}
	}
	if _, err := profile.Builtin("9.1"); err == nil {
		t.Error("there is a profile 9.1")
	}
}
