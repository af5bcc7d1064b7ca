package shell_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/login"
	"itlagent/agent/shell"
	"itlagent/platform/console"
	"itlagent/platform/console/consoletest"
)

const loginConfig = "<device><sshUserId>admin</sshUserId><sshPassword>secret</sshPassword></device>"

// alone returns a phone that has this stored, in a network with one server, which has
// the configuration that serve returns.
func alone(t *testing.T, store *holdings.MemStore, serve func() string) *agent.Agent {
	t.Helper()
	phone, err := agent.New(agent.Config{
		MAC: mac, Model: "CP-7965G", Servers: []string{"192.0.2.1"}, Store: store,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no HTTP") },
		TFTP: func(_ context.Context, _, name string, _ int) ([]byte, error) {
			if serve != nil && name == "SEP"+mac+".cnf.xml" {
				return []byte(serve()), nil
			}
			return nil, fetch.ErrNotFound
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return phone
}

func storeOf(t *testing.T, values map[string]string) *holdings.MemStore {
	t.Helper()
	s := new(holdings.MemStore)
	for k, v := range values {
		if err := s.Put(k, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// session runs a shell on lines.
func session(t *testing.T, phone *agent.Agent, o shell.Options, lines ...string) string {
	t.Helper()
	if o.Wait == nil {
		o.Wait = func(context.Context, time.Duration) error { return nil }
	}
	var out bytes.Buffer
	shell.New(phone, console.NewPlain(strings.NewReader(strings.Join(append(lines, ""), "\n")), &out), o).Loop(t.Context())
	return out.String()
}

// A login that is stored is asked for from the first byte on, before any boot.
func TestLoginBeforeTheFirstBoot(t *testing.T) {
	phone := alone(t, storeOf(t, map[string]string{"config": loginConfig}), nil)
	if out := session(t, phone, shell.Options{}, "show status", "x"); !strings.HasPrefix(out, "log in: ") || strings.Contains(out, "CP-7965G") {
		t.Errorf("nobody was asked:\n%s", out)
	}
	if out := session(t, phone, shell.Options{}, "admin", "secret", "show status"); !strings.Contains(out, "CP-7965G") {
		t.Errorf("the right login:\n%s", out)
	}
}

// A damaged list does not take the login with it.
func TestLoginBesideADamagedList(t *testing.T) {
	b := start(t)
	b.phone.Cycle(t.Context())
	itl, err := b.store.Get("itl")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"one byte more": string(itl) + "x", "one byte less": string(itl[:len(itl)-1]), "nothing": ""} {
		phone := alone(t, storeOf(t, map[string]string{"config": loginConfig, "itl": value}), nil)
		if out := session(t, phone, shell.Options{}, "show status", "x"); !strings.HasPrefix(out, "log in: ") || strings.Contains(out, "CP-7965G") {
			t.Errorf("%s: nobody was asked:\n%s", name, out)
		}
	}
}

// steps is a console whose lines come from a function.
type steps struct {
	bytes.Buffer
	next func(prompt string) (string, error)
}

func (s *steps) Ask(prompt string, _ console.Echo) (string, error) {
	fmt.Fprint(s, prompt)
	line, err := s.next(prompt)
	fmt.Fprintln(s)
	return line, err
}

func (s *steps) Discard() {}

// A configuration that brings a login, or another one, ends the sessions that are open:
// what is typed next is not run, and the trace is silent.
func TestNewLoginEndsSessions(t *testing.T) {
	for _, row := range []struct{ name, before, after, user, password string }{
		{"none before", "<device/>", loginConfig, "admin", "secret"},
		{"another password", loginConfig, strings.Replace(loginConfig, "secret", "other", 1), "admin", "other"},
	} {
		now := row.before
		phone := alone(t, new(holdings.MemStore), func() string { return now })
		phone.Cycle(t.Context())
		trace := new(shell.Trace)
		lines := []string{"trace on", "show config", row.user, row.password, "show system", "exit"}
		if strings.Contains(row.before, "sshUserId") {
			lines = append([]string{"admin", "secret"}, lines...)
		}
		c := new(steps)
		c.next = func(string) (string, error) {
			if len(lines) == 0 {
				return "", io.EOF
			}
			line := lines[0]
			lines = lines[1:]
			if line == "show config" {
				trace.Logf("seen by the session")
				now = row.after
				phone.Cycle(t.Context())
				trace.Logf("not seen any more")
			}
			return line, nil
		}
		shell.New(phone, c, shell.Options{Trace: trace, System: func() []string { return []string{"in again"} }, Wait: func(context.Context, time.Duration) error { return nil }}).Loop(t.Context())
		out := c.String()
		if strings.Contains(out, "settingsAccess") || strings.Contains(out, "not seen any more") {
			t.Errorf("%s: the session goes on:\n%s", row.name, out)
		}
		for _, want := range []string{"seen by the session", "the session ends", "log in: ", "in again"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: lacks %q:\n%s", row.name, want, out)
			}
		}
	}
}

// Where the configuration cannot be read it is not known whether it sets a login:
// there is what looks, and what deletes, once that is confirmed.
func TestDamagedConfiguration(t *testing.T) {
	store := storeOf(t, map[string]string{"config": "<device><sshUserId>admin</sshUserId", "itl": "rubbish"})
	phone := alone(t, store, nil)
	resets := 0
	o := shell.Options{Reset: func() { resets++ }, Restart: func() { resets++ }, Trace: new(shell.Trace)}
	out := session(t, phone, o, "show status", "reset", "restart", "set tftp1 192.0.2.66", "set alttftp yes", "trace on", "directory", "clear messages",
		"erase itl", "no", "erase ctl", "yes", "factory-reset", "no")
	if !strings.Contains(strings.SplitN(out, "\n", 2)[0], "there are show, why, erase and factory-reset") {
		t.Errorf("the shell does not say what it is:\n%s", out)
	}
	if !strings.Contains(out, "CP-7965G") || strings.Count(out, "the stored configuration cannot be read: only show") != 7 || strings.Count(out, "nothing was changed") != 2 || resets != 0 {
		t.Errorf("%d resets:\n%s", resets, out)
	}
	if _, err := store.Get("itl"); err != nil {
		t.Errorf("the ITL was deleted without a yes: %v", err)
	}
	if out := session(t, phone, o, "factory-reset", "yes", "trace on", "show config"); resets != 1 || strings.Contains(out, "trace: ") {
		t.Errorf("%d boots after the factory reset:\n%s", resets, out)
	}
}

// settingsAccess 0 locks what the settings menu does. A factory reset remains, and a
// boot follows it.
func TestSettingsLocked(t *testing.T) {
	store := storeOf(t, map[string]string{"config": "<device><vendorConfig><settingsAccess>0</settingsAccess></vendorConfig></device>", "itl": "rubbish"})
	phone := alone(t, store, nil)
	resets := 0
	o := shell.Options{Reset: func() { resets++ }}
	out := session(t, phone, o, "erase itl", "erase ctl", "set tftp1 192.0.2.66", "set tftp2 192.0.2.66", "set alttftp yes", "show network")
	if strings.Count(out, "settingsAccess") != 5 || !strings.Contains(out, "(tftp1 none, tftp2 none)") {
		t.Errorf("the settings are not locked:\n%s", out)
	}
	if _, err := store.Get("itl"); err != nil {
		t.Errorf("the ITL was deleted: %v", err)
	}
	if out := session(t, phone, o, "factory-reset", "yes", "set tftp1 192.0.2.1"); resets != 1 || strings.Contains(out, "locked") {
		t.Errorf("%d boots after the factory reset:\n%s", resets, out)
	}
}

// Each wrong login makes the next wait longer; the right one waits too, and is taken.
func TestWrongLoginsCostTime(t *testing.T) {
	phone := alone(t, storeOf(t, map[string]string{"config": loginConfig}), nil)
	var waits []time.Duration
	c := new(steps)
	asked := 0
	c.next = func(prompt string) (string, error) {
		if asked++; asked <= 2*36 {
			return "guess", nil
		}
		return map[string]string{"log in: ": "admin", "password: ": "secret", shell.Prompt: "exit"}[prompt], nil
	}
	now := time.Unix(1<<30, 0)
	s := shell.New(phone, c, shell.Options{Logins: &login.Delay{Now: func() time.Time { return now }}, Wait: func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		now = now.Add(d)
		return nil
	}})
	for range 13 {
		s.Loop(t.Context())
	}
	if len(waits) < 37 || waits[0] != 0 || waits[1] == 0 || waits[2] <= waits[1] || waits[3] <= waits[2] {
		t.Errorf("the waits are %v", waits)
	}
	if !strings.HasSuffix(c.String(), "\n"+shell.Prompt+"\n") {
		t.Errorf("the right login was not taken:\n%s", c.String())
	}
	if last := waits[len(waits)-1]; last > login.Longest {
		t.Errorf("the owner waits %v", last)
	}
	if guessing := now.Sub(time.Unix(1<<30, 0)); guessing < 5*time.Minute {
		t.Errorf("36 guesses took %v", guessing)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	c = new(steps)
	c.next = func(string) (string, error) { return "guess", nil }
	shell.New(phone, c, shell.Options{}).Loop(ctx) // which ends
}

// Nothing from outside reaches the console raw, whatever the command.
func TestEverythingPrintable(t *testing.T) {
	const evil = "\u009b31m\u202egnp.exe\u2066\u200f\u0085"
	escaped := "&#x9b;31m&#x202e;gnp.exe&#x2066;&#x200f;&#x85;"
	config := "<device><devicePool><callManagerGroup><members><member><callManager><processNodeName>cm" + escaped + "</processNodeName></callManager></member></members></callManagerGroup></devicePool>" +
		"<loadInformation>" + escaped + "</loadInformation><vendorConfig><webAccess>" + escaped + "</webAccess><settingsAccess>" + escaped + "</settingsAccess></vendorConfig>" +
		"<TVS><members><member priority=\"0\"><port>2445</port><address>tvs" + escaped + "</address></member></members></TVS>" +
		"<directoryURL>http://h" + escaped + "/</directoryURL><servicesURL>http://h" + escaped + "/</servicesURL></device>"
	phone := alone(t, storeOf(t, map[string]string{"config": config, "network": "tftp1=" + evil + "\nalternate=1\n"}), func() string { return config })
	trace := new(shell.Trace)
	o := shell.Options{Trace: trace, Flash: func(w io.Writer) error { _, err := io.WriteString(w, evil+"\n"); return err },
		System: func() []string { return []string{evil} }, Network: func() []string { return []string{evil} }}
	phone.Cycle(t.Context())
	out := session(t, phone, o, "show status", "show messages", "show itl", "show ctl", "show tvs", "show config", "show flash", "show alarms", "show registration", "show network", "show system",
		"why", "directory", "trace on")
	trace.Logf("%s", evil)
	for _, r := range out {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200f) {
			t.Fatalf("%q reaches the console:\n%q", r, out)
		}
	}
	if strings.Count(out, `\u202e`) < 4 {
		t.Errorf("the names are not shown at all:\n%s", out)
	}
}

// terminal runs a shell on a pty as a board does, with another session after each.
func terminal(t *testing.T, phone *agent.Agent) *consoletest.Person {
	t.Helper()
	master, tty := consoletest.PTY(t)
	ctx, stop := context.WithCancel(t.Context())
	c, _, leave, err := console.Attach(ctx, tty, tty, shell.Prompt, shell.Complete)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer leave()
		for ctx.Err() == nil {
			shell.New(phone, c, shell.Options{Trace: new(shell.Trace), Wait: func(context.Context, time.Duration) error { return nil }}).Loop(ctx)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return consoletest.New(t, master, master, "show status", "CP-7965G SEP"+mac)
}

// Whatever is typed at the shell, the next command is answered within a second, and
// nothing goes on working.
func TestHostileTyping(t *testing.T) {
	p := terminal(t, alone(t, new(holdings.MemStore), nil))
	for name, bytes := range consoletest.Hostile(consoletest.Sizes) {
		p.Type(bytes)
		p.Answered(name)
	}
	consoletest.Idle(t)
	for bytes := range consoletest.Random(t, 1_000_000) {
		p.Type(bytes)
		p.Answered("random bytes")
	}
	consoletest.Idle(t)
}

// The same before anybody has logged in: whatever was typed, who has the password gets
// in, and a command is answered.
func TestHostileTypingAtLogin(t *testing.T) {
	p := terminal(t, alone(t, storeOf(t, map[string]string{"config": loginConfig}), nil))
	owner := func(after, typed string) {
		t.Helper()
		if strings.ContainsAny(typed, "\r\n") {
			p.Settle() // a wrong login forgets what was typed ahead
		}
		p.Type("\x03")
		if !p.Sees("log in: ", consoletest.Patience) {
			t.Fatalf("no question within %v after %s", consoletest.Patience, after)
		}
		p.Type("admin\rsecret\rshow status\rexit\r")
		if !p.Sees("CP-7965G", consoletest.Patience) || !p.Sees("log in: ", consoletest.Patience) {
			t.Fatalf("no answer within %v after %s", consoletest.Patience, after)
		}
	}
	for name, bytes := range consoletest.Hostile(consoletest.Sizes) {
		p.Type(bytes)
		owner(name, bytes)
	}
	consoletest.Idle(t)
	for bytes := range consoletest.Random(t, 1_000_000) {
		p.Type(bytes)
		owner("random bytes", bytes)
	}
	consoletest.Idle(t)
}
