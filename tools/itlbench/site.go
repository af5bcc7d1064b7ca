package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"itlagent/platform/board"
	"itlagent/platform/limits"
	"itlagent/platform/serial"
	"itlagent/tools/broker"
	"itlagent/tools/expect"
	"itlagent/tools/power"
	"itlagent/tools/qemu"
	"itlagent/tools/rig"
	"itlagent/tools/targets"
)

// site is where a board is that is there: by flags, then the environment, then the file
// of targets.
type site struct {
	console, power, config string
	log                    string // of the console
	dir                    string // of the image; its flash file is looked at where the board is an emulated one
	listen, advertise      string // this machine, for phones on the board
	wait                   time.Duration

	name  string // as it was given
	found bool   // it is that of a target
	board *board.Board
}

// addLine adds the flags that say where the board's line and power are.
func (s *site) addLine(f *pflag.FlagSet) {
	f.StringVar(&s.console, "console", "", "`LINE` of the board's console")
	f.StringVar(&s.power, "power", "", "`CMD` that is run with on, off or cycle behind it, or qmp:SOCKET of a QEMU")
	f.StringVar(&s.config, "config", "", "`FILE` of targets (default "+displayed(targets.Default())+")")
}

// addPhone adds the flags of a phone on a board that is there.
func (s *site) addPhone(f *pflag.FlagSet) {
	s.addLine(f)
	f.StringVar(&s.log, "log", "", "append what the board says to `FILE`; a new file in the user's state directory where none is given")
	f.StringVar(&s.listen, "listen", "", "`ADDR` of this machine that the board reaches, without a port: the cluster listens there")
	f.StringVar(&s.advertise, "advertise", "", "`ADDR` by which the board reaches this machine, where it is not that of --listen")
	s.wait = rig.Patience
	const minWait, maxWait = 100 * time.Millisecond, time.Hour
	f.Var(limits.Duration(&s.wait, minWait, maxWait), "wait", "how long the board may take to boot, and the power command to end")
}

// find reads what an argument, a board's or a target's name, and the flags say. The code
// counts only where it is not exitOK.
func (s *site) find(e *env, f *pflag.FlagSet, arg string) (code int) {
	t, found, err := s.target(arg)
	if err != nil {
		return e.usage("%s: %v", f.Name(), plainPath(err))
	}
	name := arg
	if found {
		if name = t.Board; name == "" {
			return e.usage("%s: target %s names no board; board: in %s says which one it is", f.Name(), arg, displayed(s.config))
		}
	}
	if s.board, code = e.board(name); s.board == nil {
		return code
	}
	s.name, s.found = arg, found
	if l := s.board.Bootloader; l != nil && t.Boot != (targets.Boot{}) {
		own := *l
		own.Prompt, own.Key = firstOf(t.Boot.Prompt, l.Prompt), firstOf(t.Boot.Password, t.Boot.Key, l.Key)
		with := *s.board
		with.Bootloader = &own
		s.board = &with
	}
	there := found || s.board.QEMU == nil // an emulated board needs no line of this machine
	for flag, to := range map[string]struct {
		to        *string
		variable  string
		inTargets string
	}{
		"console": {&s.console, "ITLBENCH_CONSOLE", t.Console},
		"power":   {&s.power, "ITLBENCH_POWER", t.Power},
		"log":     {&s.log, "ITLBENCH_LOG", t.Log},
		"dir":     {&s.dir, "", t.Images},
	} {
		if f.Lookup(flag) == nil || f.Changed(flag) || !there {
			continue
		}
		*to.to = firstOf(os.Getenv(to.variable), to.inTargets, *to.to)
	}
	return exitOK
}

// target returns the target of a name, where the file has it. Files of the target are
// named from the folder of that file.
func (s *site) target(arg string) (t targets.Target, found bool, err error) {
	if strings.Contains(arg, "/") || strings.HasSuffix(arg, ".yaml") {
		return t, false, nil
	}
	explicit := s.config != ""
	s.config = firstOf(s.config, targets.Default())
	all, err := targets.Read(s.config)
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	if t, found = all[arg]; !found {
		return t, false, nil
	}
	beside := func(name string) string {
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(s.config), name)
	}
	if t.Images = beside(t.Images); strings.HasSuffix(t.Board, ".yaml") {
		t.Board = beside(t.Board)
	}
	return t, true, nil
}

// wrong says what of a phone's flags is missing, or does not go together.
func (s *site) wrong() string {
	if s.board.QEMU != nil && s.listen == "" && s.advertise == "" {
		s.advertise = hostForGuest
	}
	switch _, err := serial.ParseName(s.console); {
	case s.console == "":
		return "--console says which line the board is at"
	case err != nil:
		return err.Error()
	case s.listen == "" && s.advertise == "":
		return "--listen says which address of this machine the board reaches"
	case s.listen != "" && net.ParseIP(s.listen) == nil:
		return fmt.Sprintf("--listen %s: want an IP address", s.listen)
	case s.advertise != "" && net.ParseIP(s.advertise) == nil:
		return fmt.Sprintf("--advertise %s: want an IP address", s.advertise)
	}
	if s.advertise == "" {
		s.advertise = s.listen
	}
	if net.ParseIP(s.advertise).IsUnspecified() {
		return "--advertise says which address of this machine the board reaches: " + s.advertise + " is every one"
	}
	if s.power != "" {
		if _, err := power.Parse(s.power); err != nil {
			return "--power: " + err.Error()
		}
	}
	return ""
}

// plugged is a board whose line this program reads and writes.
type plugged struct {
	*rig.Relay
	site   *site
	owner  *broker.Broker // nil where another console owns the line
	client *broker.Client
}

// plug opens the line, or joins who has it, and takes the right to write.
func (s *site) plug(ctx context.Context) (*plugged, error) {
	o := rig.RelayOptions{Patience: s.wait}
	var err error
	if s.power != "" {
		if o.Supply, err = power.Parse(s.power); err != nil {
			return nil, err
		}
	}
	if s.board.QEMU != nil && s.dir != "" {
		o.Vault = func() ([]byte, error) { return qemu.Vault(s.board, s.dir) }
	}
	if s.log == "" {
		if s.log, err = logFor(s.name); err != nil {
			return nil, err
		}
	}
	// The line of an emulator is there while it runs.
	name, err := serial.ParseName(s.console)
	if err != nil {
		return nil, err
	}
	wait := o.Supply != nil && (name.Kind == serial.Unix || name.Kind == serial.TCP)
	p := &plugged{site: s}
	var conn net.Conn
	if p.owner, conn, err = meetLine(ctx, name.String(), broker.Options{Log: s.log, Wait: wait}); err != nil {
		return nil, err
	}
	if p.client, err = broker.Join(conn, fmt.Sprintf("%s %d", "itlbench", os.Getpid()), 0); err != nil {
		p.unplug()
		return nil, err
	}
	line := &refusing{client: p.client}
	go line.listen()
	o.Line = line
	p.Relay = rig.NewRelay(o)
	if _, err := p.client.Do("take"); err != nil {
		p.unplug()
		return nil, fmt.Errorf("%s: %w: %w", s.console, errWriting, err)
	}
	return p, nil
}

// errWriting says that somebody else has a line.
var errWriting = errors.New("the line is in use")

// unplug gives the line back.
func (p *plugged) unplug() {
	if p.client != nil {
		p.client.Close()
	}
	if p.owner != nil {
		p.owner.Close()
	}
}

// explain adds to an error of a board that is silent whether its line is there.
func (p *plugged) explain(err error) error {
	if errors.Is(err, expect.ErrSilent) {
		if _, gone := p.client.Do("there"); gone != nil && !errors.Is(gone, io.EOF) {
			return fmt.Errorf("%s is not there: %w", p.site.console, err)
		}
	}
	return err
}

// refusing is a line whose writes fail once the broker has refused one.
type refusing struct {
	client *broker.Client
	mu     sync.Mutex
	err    error
}

// Read implements io.Reader.
func (r *refusing) Read(b []byte) (int, error) { return r.client.Read(b) }

// Write implements io.Writer.
func (r *refusing) Write(b []byte) (int, error) {
	r.mu.Lock()
	err := r.err
	r.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return r.client.Write(b)
}

// listen hears of refusals, for as long as the program runs.
func (r *refusing) listen() {
	for ev := range r.client.Events() {
		if ev.Refused {
			r.mu.Lock()
			r.err = errors.New(ev.Text)
			r.mu.Unlock()
		}
	}
}

// siteHints are what to try, by what went wrong on a board that is there.
var siteHints = []struct {
	err  error
	hint string
}{
	{errWriting, "ctrl-t f in that console frees the line"},
	{power.ErrSwitch, "run the command by hand; it is called with on, off or cycle behind it"},
	{rig.ErrLogin, "the phone's configuration sets one: reset it to factory settings by hand"},
	{expect.ErrSilent, "check power, cable and rate; --wait gives it longer, and the log has all that it said"},
	{expect.ErrBad, "the log has all that it said"},
	{serial.ErrVanished, "plug it in again"},
	{fs.ErrNotExist, "itlbench serial list shows the ports that are there"},
	{qemu.ErrStart, "itlbench qemu runs the board"},
}

// siteFailed prints one line, with a hint, and returns the code.
func (e *env) siteFailed(ctx context.Context, what string, err error) int {
	if ctx.Err() != nil {
		return e.fail(exitInfra, "%s: interrupted; factory-reset in the board's shell deletes the lists that it may hold", what)
	}
	text, _, _ := strings.Cut(plainPath(err).Error(), ":\n") // the board's last lines are in its log
	for _, h := range siteHints {
		if errors.Is(err, h.err) {
			return e.fail(exitInfra, "%s: %s (%s)", what, text, h.hint)
		}
	}
	if hint := hintOf(err); hint != "" {
		return e.fail(exitInfra, "%s: %s (%s)", what, text, hint)
	}
	return e.fail(exitInfra, "%s: %s", what, text)
}
