package shell_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/shell"
	"itlagent/platform/console"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

const mac = "64A0E71502CC"

type bench struct {
	t       *testing.T
	cluster *cluster.Cluster
	phone   *agent.Agent
	store   *holdings.MemStore
}

func start(t *testing.T) *bench {
	t.Helper()
	c, err := cluster.New(profile.Note(), cluster.Options{Logf: t.Logf})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &bench{t, c, nil, new(holdings.MemStore)}
	b.restart()
	return b
}

// restart is what a power cut is to the phone.
func (b *bench) restart() {
	b.t.Helper()
	var err error
	b.phone, err = agent.New(agent.Config{MAC: mac, Model: "CP-7965G", Servers: []string{b.cluster.Publisher().Address()}, Store: b.store,
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: b.cluster.Now, Rand: strings.NewReader(strings.Repeat("x", 1<<16))})
	if err != nil {
		b.t.Fatal(err)
	}
}

// run runs one command.
func (b *bench) run(o shell.Options, line string, answers ...string) (string, bool) {
	b.t.Helper()
	var out bytes.Buffer
	in := strings.NewReader(strings.Join(append(answers, ""), "\n"))
	ok := shell.New(b.phone, console.NewPlain(in, &out), o).Run(b.t.Context(), line)
	return out.String(), ok
}

func TestCommands(t *testing.T) {
	b := start(t)
	for _, line := range []string{"why", "directory"} {
		if out, ok := b.run(shell.Options{}, line); ok {
			t.Errorf("%s before the first cycle:\n%s", line, out)
		}
	}
	b.phone.Cycle(t.Context())
	resets := 0
	o := shell.Options{Reset: func() { resets++ }, Restart: func() { resets += 10 }, Trace: new(shell.Trace),
		Flash: func(w io.Writer) error { _, err := io.WriteString(w, "4 erase blocks\n"); return err }, Network: func() []string { return []string{"eth0 up"} }, System: func() []string { return []string{"up 5 s"} }}
	for line, want := range map[string][]string{
		"show status":        {"CP-7965G SEP64A0E71502CC firmware 9.4.2", "ITL: 5302 bytes, signed by CN=test10pub.joemar2.lab;", "CTL: Not Installed", "locked: no", "reason: accepted "},
		"show messages":      {"18:00:00 ITL installed"},
		"show itl":           {"record 1: System Administrator Security Token, CN=test10pub.joemar2.lab", "MD5  "},
		"show ctl":           {"CTL: Not Installed"},
		"show tvs":           {"TVS 1: 127.0.0.1:"},
		"show config":        {"webAccess 1", "directoryURL https://127.0.0.1:"},
		"show flash":         {"4 erase blocks"},
		"show alarms":        {"DeviceTLInfo CTL_Signature=Not Installed ITL_Signature=", "1 waiting, 0 dropped"},
		"show registration":  {"not registered"},
		"show network":       {"TFTP server 1: 127.0.0.1:", "Alternate TFTP: No (tftp1 ", "CUCM server1: 127.0.0.1:", "eth0 up"},
		"show system":        {"up 5 s"},
		"why":                {"accepted: ITLSEP64A0E71502CC.tlv", "via: first-use", "tried: self record 1: accepted (first use)", "phone: accepted "},
		"directory":          {"<Title>Directories</Title>"},
		"help":               {"show status", "factory-reset", "set tftp1 HOST[:PORT]|none"},
		"?":                  {"exit"},
		"  ":                 nil,
		"set tftp1 10.0.0.1": nil,
		"trace on":           nil,
		"trace off":          nil,
		"reset":              nil,
		"restart":            nil,
		"clear messages":     nil,
	} {
		out, ok := b.run(o, line)
		if !ok {
			t.Errorf("%q failed:\n%s", line, out)
		}
		for _, w := range want {
			if !strings.Contains(out, w) && line != "show messages" { // which another row may have cleared
				t.Errorf("%q lacks %q:\n%s", line, w, out)
			}
		}
	}
	if resets != 11 {
		t.Errorf("reset and restart: %d", resets)
	}
	for _, line := range []string{"nonsense", "show", "show nothing", "show itl now", "set tftp1", "set tftp1 a b", "set alttftp maybe", "set tftp1 \x01", "\x00\xff", "erase", "SHOW STATUS"} {
		if out, ok := b.run(o, line); ok || strings.Count(out, "\n") != 1 {
			t.Errorf("%q: %v\n%s", line, ok, out)
		}
	}
	for _, line := range []string{"reset", "restart", "show flash", "show system", "trace on"} {
		if out, ok := b.run(shell.Options{}, line); ok || !strings.Contains(out, "not available here") {
			t.Errorf("%q without it: %v %s", line, ok, out)
		}
	}
	if out, ok := b.run(o, "set tftp1 none"); !ok {
		t.Error(out)
	}
	if out, ok := b.run(o, "set alttftp yes"); ok {
		t.Errorf("alternate servers without any:\n%s", out)
	}
}

// The lists can be deleted one by one, and everything at once when that is wanted.
func TestErase(t *testing.T) {
	b := start(t)
	if err := b.cluster.Apply(operation.SetMixedMode(true)); err != nil {
		t.Fatal(err)
	}
	if err := b.cluster.Apply(operation.RestartTFTP("test10pub")); err != nil {
		t.Fatal(err)
	}
	held := func() string {
		now := b.phone.Snapshot()
		return fmt.Sprintf("%v %v %s", now.CTL != nil, now.ITL != nil, now.Settings.Web)
	}
	b.phone.Cycle(t.Context())
	for _, step := range [][3]string{{"erase ctl", "", "false true 1"}, {"erase itl", "", "false false 1"}, {"factory-reset", "no", "false false 1"}, {"factory-reset", "yes", "false false "}} {
		b.run(shell.Options{}, step[0], step[1])
		if got := held(); got != step[2] {
			t.Errorf("after %s %s: %s, want %s", step[0], step[1], got, step[2])
		}
	}
}

// A login is asked for where the configuration sets one.
func TestLogin(t *testing.T) {
	b := start(t)
	session := func(lines ...string) string {
		var out bytes.Buffer
		shell.New(b.phone, console.NewPlain(strings.NewReader(strings.Join(append(lines, ""), "\n")), &out), shell.Options{}).Loop(t.Context())
		return out.String()
	}
	if out := session("show status", "exit"); !strings.Contains(out, "no cycle has run yet") {
		t.Errorf("without a login:\n%s", out)
	}
	if err := b.store.Put("config", []byte("<device><sshUserId>admin</sshUserId><sshPassword>secret</sshPassword></device>")); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if out := session("admin", "wrong", "nobody", "secret", "admin", "secret", "show status", "exit"); strings.Count(out, "Login incorrect") != 2 || !strings.Contains(out, "CP-7965G") || strings.Contains(out, "secret\n") && strings.Contains(out, "password: secret") {
		t.Errorf("third time lucky:\n%s", out)
	}
	if out := session("a", "b", "c", "d", "e", "f", "admin", "secret", "show status"); strings.Contains(out, "CP-7965G") {
		t.Errorf("after three wrong ones:\n%s", out)
	}
	if out := session("admin"); strings.Contains(out, "CP-7965G") {
		t.Errorf("cut off:\n%s", out)
	}
}

// A trace has lines in the form of the phone's family, with nothing that steers a
// terminal.
func TestTrace(t *testing.T) {
	var out bytes.Buffer
	trace := &shell.Trace{Line: func(n int, text string) string { return fmt.Sprintf("%04d: NOT SECD: -%s", n, text) }}
	trace.Logf("not shown")
	trace.To(&out)
	trace.Logf("file \x1b[2J%s\nsecond", "x")
	trace.To(nil)
	trace.Logf("not shown")
	if got := out.String(); got != "0002: NOT SECD: -file \\x1b[2Jx; second\n" {
		t.Errorf("%q", got)
	}
}

// Whatever bytes are typed, on a terminal or through a pipe, nothing fails and
// nothing hangs. Commands that wait for the network are left out of the dictionary.
func TestAnyBytes(t *testing.T) {
	b := start(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	words := []string{"show ", "itl", "messages", "why", "set ", "tftp1 ", "factory-reset", "yes", "\r", "\n", "\t", "\x1b[A", "\x1b[200~", "\x7f", "\x15", "\xff\xfe", "\x00", "é", strings.Repeat("x", 5000)}
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for range rounds {
		var in strings.Builder
		for range r.IntN(200) {
			if r.IntN(3) == 0 {
				in.WriteByte(byte(r.Uint32()))
			} else {
				in.WriteString(words[r.IntN(len(words))])
			}
		}
		var c console.Console = console.NewPlain(strings.NewReader(in.String()), io.Discard)
		if r.IntN(2) == 0 {
			t := console.NewTerminal(struct {
				io.Reader
				io.Writer
			}{strings.NewReader(in.String()), io.Discard}, shell.Prompt, shell.Complete)
			t.SetSize(r.IntN(300)-10, r.IntN(100)-10)
			c = t
		}
		shell.New(b.phone, c, shell.Options{Trace: new(shell.Trace)}).Loop(t.Context())
	}
}
