package rig

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/scenario"
	"itlagent/tools/expect"
)

// Phone is a handset on a board, driven over its console as a person would. It boots at
// its first cycle.
type Phone struct {
	rig      Rig
	patience time.Duration
	console  *expect.Expect // nil while the power is off
	booted   string         // the reason of the last boot with the power
	itl      string         // signature of the list in force
	device   string         // "SEP64A0E71502CC"; "" before its first boot

	servers []string // that the phone is to be told by its shell, once it runs
	claimed bool     // it was reset to factory settings
}

// NewPhone returns a handset that is not booted yet. Where its rig is no Configurer, the
// phone that is found on the board is reset to factory settings before its first cycle,
// and again when it is closed.
func NewPhone(r Rig, servers []string) *Phone {
	p := &Phone{rig: r, patience: Patience}
	p.Follow(servers)
	if patient, ok := r.(interface{ Patience() time.Duration }); ok {
		p.patience = patient.Patience()
	}
	return p
}

// Follow gives a phone its servers before its next cycle, as NewPhone does: one that was
// found on its board, or that was closed.
func (p *Phone) Follow(servers []string) {
	if c, ok := p.rig.(Configurer); ok {
		c.Configure(servers)
	} else {
		p.servers = servers
	}
}

var (
	// cycled is the line that the program prints after each cycle.
	cycled = regexp.MustCompile(`(SEP[0-9A-F]{12}) ([a-z-]+): [^\r\n]*\r?\n`)
	asks   = regexp.MustCompile(`\(yes\|no\)\? $`)
	login  = regexp.MustCompile(`log in: $`)
)

// boot turns the power on, and waits for the end of the first cycle.
func (p *Phone) boot(ctx context.Context) error {
	console, booting, err := p.rig.On(ctx)
	if err != nil {
		return err
	}
	if !booting {
		const interrupt = "\x03" // gives up what somebody has begun to type
		if err = console.Type(interrupt); err == nil {
			err = console.Send("reset")
		}
	}
	if err == nil {
		p.console = console
		err = p.waitCycle(ctx)
	}
	return err
}

// waitCycle waits for the end of a boot cycle.
func (p *Phone) waitCycle(ctx context.Context) error {
	n, groups, err := p.console.Wait(ctx, p.patience, cycled, login)
	if err == nil && n == 1 {
		err = ErrLogin
	}
	if err == nil {
		p.device, p.booted = groups[1], groups[2]
	}
	return err
}

// PowerCut cuts the power at once. The next cycle boots again.
func (p *Phone) PowerCut(ctx context.Context) error {
	if p.console == nil {
		return nil
	}
	err := p.rig.Off(ctx)
	if err == nil {
		p.console = nil
	}
	return err
}

// Unplug implements scenario.Unplugging. Where nothing switches the power the scenario is
// not for this board.
func (p *Phone) Unplug(ctx context.Context) error {
	err := p.PowerCut(ctx)
	if errors.Is(err, ErrNoPower) {
		err = fmt.Errorf("%w: %w", scenario.ErrNotHere, err)
	}
	return err
}

// Register implements scenario.Registering: a board registers whenever it has booted.
func (p *Phone) Register(ctx context.Context) error {
	_, err := p.Cycle(ctx)
	return err
}

// Close implements scenario.Handset. A phone that was told its servers is reset to
// factory settings, as far as it answers.
func (p *Phone) Close() {
	if p.console != nil && p.claimed {
		const farewell = 10 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		p.run(ctx, "factory-reset", []string{"yes"})
		cancel()
	}
	p.console, p.claimed, p.itl = nil, false, ""
	p.rig.Leave()
}

// Certificate implements scenario.Handset: phones on boards have no certificate.
func (p *Phone) Certificate() (*x509.Certificate, error) {
	return nil, errors.New("a phone on a board has no certificate of its maker")
}

// mark is an unknown command: its error is the end of the output of the one before.
const mark = "end-of-output"

var (
	marked = regexp.MustCompile(`(?s)^(.*?)` + mark + `: no such command; try help`)
	beside = regexp.MustCompile(`(?m)(?:^(?:\$ )*)?itlagent: .*\n|^(?:\$ )*` + mark + `\n`)
)

// output returns what a command wrote, without the echo of the mark and the notices of the
// program that came in between, or in the middle of a line.
func output(text string) string {
	return beside.ReplaceAllString(strings.ReplaceAll(text, "\r", ""), "")
}

// begin types a command, and answers to what it asks.
func (p *Phone) begin(ctx context.Context, line string, answers []string) error {
	if err := p.console.Send(line); err != nil {
		return err
	}
	if _, _, err := p.console.Wait(ctx, commandTime, regexp.MustCompile(regexp.QuoteMeta(line)+`\r?\n`)); err != nil {
		return err
	}
	for _, a := range answers {
		if _, _, err := p.console.Wait(ctx, commandTime, asks); err != nil {
			return err
		}
		if err := p.console.Send(a); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command and returns its output.
func (p *Phone) run(ctx context.Context, line string, answers []string) (string, error) {
	if err := p.begin(ctx, line, answers); err != nil {
		return "", err
	}
	if err := p.console.Send(mark); err != nil {
		return "", err
	}
	n, groups, err := p.console.Wait(ctx, p.patience, marked, login)
	if err == nil && n == 1 {
		err = ErrLogin
	}
	if err != nil {
		return "", err
	}
	return output(groups[1]), nil
}

// Shell implements scenario.Handset.
func (p *Phone) Shell(ctx context.Context, line string, answers []string) (string, bool, error) {
	if p.console == nil {
		return "", false, errors.New("the board is off")
	}
	out, err := p.run(ctx, line, answers)
	failed := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(strings.Fields(line)[0]) + `: `).MatchString(out)
	return out, !failed, err
}

// must runs a command that has to succeed.
func (p *Phone) must(ctx context.Context, line string) error {
	out, ok, err := p.Shell(ctx, line, nil)
	if err == nil && !ok {
		err = fmt.Errorf("%s: %s", line, strings.TrimSpace(out))
	}
	return err
}

// Servers implements scenario.Handset: as DHCP does where the board is off, else by
// hand, with alternate TFTP servers.
func (p *Phone) Servers(ctx context.Context, servers []string) error {
	if p.console != nil {
		return p.tell(ctx, servers)
	}
	if c, ok := p.rig.(Configurer); ok {
		c.Configure(servers)
		return nil
	}
	if p.claimed { // it would boot from those that it has
		return fmt.Errorf("a phone that is off cannot be given other servers: %w", scenario.ErrNotHere)
	}
	p.servers = servers
	return nil
}

// tell sets alternate TFTP servers.
func (p *Phone) tell(ctx context.Context, servers []string) error {
	two := append(append([]string{}, servers...), "none", "none")
	for _, line := range []string{"set tftp1 " + two[0], "set tftp2 " + two[1], "set alttftp yes"} {
		if err := p.must(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// factoryReset deletes all that the phone has, and waits for the boot cycle behind it.
func (p *Phone) factoryReset(ctx context.Context) error {
	if err := p.begin(ctx, "factory-reset", []string{"yes"}); err != nil {
		return err
	}
	return p.waitCycle(ctx)
}

// claim gives a phone that was found on its board the servers that it is to have. The
// lists of those that it had before are deleted.
func (p *Phone) claim(ctx context.Context) error {
	if !p.claimed {
		if err := p.factoryReset(ctx); err != nil {
			return err
		}
		p.claimed = true
	}
	if err := p.tell(ctx, p.servers); err != nil {
		return err
	}
	p.servers = nil
	return nil
}

// start turns the power on, and leaves a phone that knows its servers. It says whether
// the phone must be reset for that: where the power can be switched it boots with them.
func (p *Phone) start(ctx context.Context) (again bool, err error) {
	if p.console == nil {
		if err := p.boot(ctx); err != nil {
			return false, err
		}
	}
	if p.servers == nil {
		return false, nil
	}
	found := !p.claimed
	if err := p.claim(ctx); err != nil {
		return false, err
	}
	if found { // by the cycle in between, from the servers that it was flashed with
		for _, line := range []string{"erase itl", "erase ctl"} {
			if err := p.must(ctx, line); err != nil {
				return false, err
			}
		}
	}
	err = p.PowerCut(ctx)
	if errors.Is(err, ErrNoPower) {
		return true, nil
	}
	if err == nil {
		err = p.boot(ctx)
	}
	return false, err
}

// Cycle implements scenario.Handset.
func (p *Phone) Cycle(ctx context.Context) (*scenario.Cycle, error) {
	again := true
	if p.console == nil || p.servers != nil {
		var err error
		if again, err = p.start(ctx); err != nil {
			return nil, err
		}
	}
	if again {
		if err := p.console.Send("reset"); err != nil {
			return nil, err
		}
		if err := p.waitCycle(ctx); err != nil {
			return nil, err
		}
	}
	return p.look(ctx)
}

// Boots returns the function that makes the one phone of a scenario: this one, which has
// this model and MAC address. What the scenario wants of others is scenario.ErrNotHere.
func (p *Phone) Boots(mac, model string) scenario.Boot {
	made := false
	return func(_ context.Context, want scenario.Phone, _ *cluster.Cluster, servers []string) (scenario.Handset, error) {
		switch {
		case made:
			return nil, fmt.Errorf("there is one board: %w", scenario.ErrNotHere)
		case want.MIC:
			return nil, scenario.ErrNotHere
		case want.Model != model:
			return nil, fmt.Errorf("the board is a %s, not a %s: %w", model, want.Model, scenario.ErrNotHere)
		case want.MAC != mac:
			return nil, fmt.Errorf("the board is SEP%s, not SEP%s: %w", mac, want.MAC, scenario.ErrNotHere)
		}
		made = true
		p.Follow(servers)
		return p, nil
	}
}
