package qemu

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/platform/readfile"
	"itlagent/testbench/cluster"
	"itlagent/testbench/scenario"
	"itlagent/tools/expect"
)

// Times that a board may take; emulated ones on a busy machine are slow.
const (
	bootTime    = 2 * time.Minute
	cycleTime   = 2 * time.Minute
	commandTime = 30 * time.Second
)

// Phone is a handset on an emulated board, driven over its console as a person
// would. It boots at its first cycle.
type Phone struct {
	board   *board.Board
	opts    Options
	mac     string
	model   string
	machine *Machine
	console *expect.Expect
	itl     string // signature of the list in force
}

// NewPhone returns a handset that is not booted yet.
func NewPhone(b *board.Board, mac, model string, servers []string, o Options) *Phone {
	o.Phone = PhoneArgs(mac, model, servers)
	return &Phone{board: b, opts: o, mac: mac, model: model}
}

// PhoneArgs are the device program's arguments.
func PhoneArgs(mac, model string, servers []string) []string {
	return []string{"-mac", mac, "-model", model, "-tftp", strings.Join(servers, ",")}
}

var (
	// cycled is the line that the program prints after each cycle.
	cycled = regexp.MustCompile(`SEP[0-9A-F]{12} ([a-z-]+): [^\r\n]*\r?\n`)
	asks   = regexp.MustCompile(`\(yes\|no\)\? $`)
)

// boot turns the power on, and waits for the end of the first cycle.
func (p *Phone) boot(ctx context.Context) error {
	var err error
	if p.machine, err = Start(ctx, p.board, p.opts); err != nil {
		return err
	}
	p.console = NewExpect(p.machine.Console)
	_, _, err = p.console.Wait(ctx, bootTime, cycled)
	return err
}

// PowerCut cuts the power at once. The next cycle boots again.
func (p *Phone) PowerCut() {
	if p.machine != nil {
		p.machine.Kill()
		p.machine, p.console = nil, nil
	}
}

// Register implements scenario.Registering: a board registers whenever it has booted.
func (p *Phone) Register(ctx context.Context) error {
	_, err := p.Cycle(ctx)
	return err
}

// Close implements scenario.Handset.
func (p *Phone) Close() { p.PowerCut() }

// Certificate implements scenario.Handset: phones on boards have no certificate.
func (p *Phone) Certificate() (*x509.Certificate, error) {
	return nil, errors.New("a phone on a board has no certificate of its maker")
}

// mark is an unknown command: its error is the end of the output of the one before.
const mark = "end-of-output"

var (
	marked = regexp.MustCompile(`(?s)^(.*?)` + mark + `: no such command; try help\r?\n`)
	beside = regexp.MustCompile(`(?m)^(?:\$ )*(?:itlagent: .*|` + mark + `)\n`)
)

// output returns what a command wrote, without the echo of the mark and the notices of the
// program that came in between.
func output(text string) string {
	return beside.ReplaceAllString(strings.ReplaceAll(text, "\r", ""), "")
}

// run runs a command and returns its output.
func (p *Phone) run(ctx context.Context, line string, answers []string) (string, error) {
	if err := p.console.Send(line); err != nil {
		return "", err
	}
	if _, _, err := p.console.Wait(ctx, commandTime, regexp.MustCompile(regexp.QuoteMeta(line)+`\r?\n`)); err != nil {
		return "", err
	}
	for _, a := range answers {
		if _, _, err := p.console.Wait(ctx, commandTime, asks); err != nil {
			return "", err
		}
		if err := p.console.Send(a); err != nil {
			return "", err
		}
	}
	if err := p.console.Send(mark); err != nil {
		return "", err
	}
	_, groups, err := p.console.Wait(ctx, cycleTime, marked)
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

// Servers implements scenario.Handset: as DHCP does where the board is off, else by
// hand, with alternate TFTP servers.
func (p *Phone) Servers(ctx context.Context, servers []string) error {
	if p.console == nil {
		p.opts.Phone = PhoneArgs(p.mac, p.model, servers)
		return nil
	}
	two := append(append([]string{}, servers...), "none", "none")
	for _, line := range []string{"set tftp1 " + two[0], "set tftp2 " + two[1], "set alttftp yes"} {
		if out, ok, err := p.Shell(ctx, line, nil); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s: %s", line, out))
		}
	}
	return nil
}

// Cycle implements scenario.Handset.
func (p *Phone) Cycle(ctx context.Context) (*scenario.Cycle, error) {
	if p.console == nil {
		if err := p.boot(ctx); err != nil {
			return nil, err
		}
	} else {
		if err := p.console.Send("reset"); err != nil {
			return nil, err
		}
		if _, _, err := p.console.Wait(ctx, cycleTime, cycled); err != nil {
			return nil, err
		}
	}
	return p.look(ctx)
}

// look asks the shell for the result of the last boot cycle.
func (p *Phone) look(ctx context.Context) (*scenario.Cycle, error) {
	text := make(map[string]string)
	for _, line := range []string{"why", "show config", "show status"} {
		out, err := p.run(ctx, line, nil)
		if err != nil {
			return nil, err
		}
		text[line] = out
	}
	c := &scenario.Cycle{Device: "SEP" + p.mac, Settings: make(map[string]string)}
	var o *scenario.Outcome
	for line := range strings.Lines(text["why"]) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, ": ")
		word, _, _ := strings.Cut(value, " ")
		switch key {
		case "accepted", "rejected":
			switch {
			case strings.HasPrefix(value, "CTL"):
				o = &c.CTL
			case strings.HasPrefix(value, "ITL"):
				o = &c.ITL
			default:
				o = &c.Config
			}
			o.Name, o.Accepted = value, key == "accepted"
		case "reason":
			if o != nil {
				o.Reason = word
			}
		case "via":
			if o != nil {
				o.Via = word
			}
		case "phone":
			c.Reason = word
		}
	}
	c.Trusted = c.Reason == "accepted"
	for line := range strings.Lines(text["show config"]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.Settings[key] = value
	}
	signature := ""
	for line := range strings.Lines(text["show status"]) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ITL signature: "); ok {
			signature = v
		}
		if m, ok := strings.CutPrefix(strings.TrimSpace(line), "shown: "); ok {
			c.Messages = append(c.Messages, m)
		}
	}
	for _, m := range c.Messages {
		if g := regexp.MustCompile(`\((HTTPS?|TFTP)\)$`).FindStringSubmatch(m); g != nil {
			c.Transport = g[1]
		}
	}
	c.Changed, p.itl = signature != p.itl, signature
	return c, nil
}

// PrepareFlash makes a folder, mode 0700, with an empty flash and links to the kernel
// and initramfs of an image: several boards can run from one image.
func PrepareFlash(b *board.Board, base, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	abs, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	for _, name := range []string{image.KernelFile, image.InitramfsFile} {
		if err := os.Symlink(filepath.Join(abs, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	size, err := board.Size(b.QEMU.FlashSize)
	if err != nil {
		return err
	}
	return image.WriteFlash(dir, bytes.Repeat([]byte{0xff}, int(size)))
}

// Vault returns the bytes of the vault in the flash of a folder.
func Vault(b *board.Board, dir string) ([]byte, error) {
	data, err := readfile.AtMost(filepath.Join(dir, image.FlashFile), image.MaxFile)
	if err != nil {
		return nil, err
	}
	at, err1 := board.Size(b.QEMU.Vault)
	size, err2 := board.Size(b.QEMU.VaultSize)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if at+size > int64(len(data)) {
		return nil, fmt.Errorf("a vault of %d bytes at %d in a flash of %d", size, at, len(data))
	}
	return data[at : at+size], nil
}

// Boots returns the function that makes the phones of scenarios: each on a board with
// a flash of its own below dir, and so many MiB of memory, or the board's own where 0.
func Boots(b *board.Board, base, dir string, memory int) scenario.Boot {
	return func(_ context.Context, p scenario.Phone, _ *cluster.Cluster, servers []string) (scenario.Handset, error) {
		if p.MIC {
			return nil, scenario.ErrNotHere
		}
		at := filepath.Join(dir, "phone-"+p.Name)
		if err := PrepareFlash(b, base, at); err != nil {
			return nil, err
		}
		return NewPhone(b, p.MAC, p.Model, servers, Options{Dir: at, Memory: memory}), nil
	}
}
