package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"itlagent/platform/limits"
	"itlagent/platform/serial"
	"itlagent/platform/serial/lines"
	"itlagent/platform/serial/pseudo"
	"itlagent/tools/broker"
	"itlagent/tools/power"
	"itlagent/tools/targets"
	"itlagent/tools/viewer"
)

// consoleFlags are what a console is told: by flags, then the environment, then the
// file of targets.
type consoleFlags struct {
	log, escape, enter, power, config, rfc2217, pty, send, until string
	overwrite, hex, times, decode, raw, echo, addCR, stdio, wait bool
	timeout                                                      time.Duration
}

// fromEnvironment are the flags that the environment may set, and its names.
var fromEnvironment = map[string]string{"log": "ITLBENCH_LOG", "escape": "ITLBENCH_ESCAPE", "power": "ITLBENCH_POWER"}

func runConsole(e *env, args []string) int {
	var c consoleFlags
	f := e.flags("console")
	f.StringVar(&c.log, "log", "", "append what the board says to `FILE`; a new file in the user's state directory where none is given")
	f.BoolVar(&c.overwrite, "overwrite", false, "begin the log again")
	f.StringVar(&c.escape, "escape", "", "prefix `KEY` of the console's own keys, or none (default ctrl-t)")
	f.StringVar(&c.enter, "enter", "cr", "what the return key sends: `cr`, lf or crlf")
	f.BoolVar(&c.addCR, "add-cr", false, "a line feed of the board's begins a line")
	f.BoolVar(&c.echo, "echo", false, "show what is typed, for boards that do not")
	f.BoolVar(&c.hex, "hex", false, "show hex")
	f.BoolVar(&c.times, "timestamps", false, "show the time in front of each line")
	f.BoolVar(&c.decode, "decode", false, "mark trust decisions, panics, boot loader errors and resets")
	f.BoolVar(&c.raw, "raw", false, "give the terminal whatever the board sends")
	f.BoolVar(&c.stdio, "stdio", false, "for pipes: bytes as they are, no keys; ends with the input")
	f.StringVar(&c.send, "send", "", "type `LINE` and the return key first; nothing is read from the input then")
	f.StringVar(&c.until, "until", "", "end once the board says `TEXT`: 0 if it does, 1 if not in time")
	c.timeout = time.Minute
	f.Var(limits.Duration(&c.timeout, 10*time.Millisecond, 24*time.Hour), "timeout", "`TIME` that --until waits for")
	f.BoolVar(&c.wait, "wait", false, "wait for a line that is not there yet")
	f.StringVar(&c.power, "power", "", "`CMD` that is run with on, off or cycle behind it, or qmp:SOCKET of a QEMU")
	f.StringVar(&c.rfc2217, "rfc2217", "", "serve the line to others by RFC 2217 at `ADDR`, such as 127.0.0.1:4000")
	f.StringVar(&c.pty, "pty", "", "serve the line as a pty, with a `LINK` to it")
	f.StringVar(&c.config, "config", "", "`FILE` of targets (default "+displayed(targets.Default())+")")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	name, t, err := c.target(f.Arg(0))
	if err != nil {
		return e.usage("console: %v", err)
	}
	for flag, to := range map[string]*string{"log": &c.log, "escape": &c.escape, "power": &c.power} {
		if !f.Changed(flag) {
			*to = firstOf(os.Getenv(fromEnvironment[flag]), map[string]string{"log": t.Log, "escape": t.Escape, "power": t.Power}[flag])
		}
	}
	return c.run(e, name, f.Arg(0))
}

// displayed is a path as help shows it: from the user's own folder.
func displayed(path string) string {
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		path = strings.Replace(path, home, "~", 1)
	}
	return path
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// target returns the line of an argument, which is one or names a target.
func (c *consoleFlags) target(arg string) (line string, t targets.Target, err error) {
	name, perr := serial.ParseName(arg)
	if perr == nil {
		return name.String(), t, nil
	}
	if strings.ContainsAny(arg, "/:,") {
		return "", t, perr
	}
	file := firstOf(c.config, targets.Default())
	all, err := targets.Read(file)
	if err != nil && (c.config != "" || !errors.Is(err, fs.ErrNotExist)) {
		return "", t, err
	}
	t, ok := all[arg]
	if !ok {
		return "", t, fmt.Errorf("no line and no target %q in %s; lines are such as /dev/ttyUSB0, usb:SERIAL, unix:PATH, tcp:HOST:PORT", arg, displayed(file))
	}
	name, err = serial.ParseName(t.Console)
	return name.String(), t, err
}

// lineConsole is a console that runs.
type lineConsole struct {
	consoleFlags
	e      *env
	line   string
	keys   viewer.Keys
	supply power.Supply

	owner  *broker.Broker // nil where another console owns the line
	client *broker.Client
}

func (c consoleFlags) run(e *env, line, shown string) int {
	r := &lineConsole{consoleFlags: c, e: e, line: line}
	var err error
	if r.keys, err = viewer.ParseKey(firstOf(c.escape, "ctrl-t")); err != nil {
		return e.usage("console: --escape: %v", err)
	}
	if c.power != "" {
		if r.supply, err = power.Parse(c.power); err != nil {
			return e.usage("console: --power: %v", err)
		}
	}
	enter, ok := map[string]string{"cr": "\r", "lf": "\n", "crlf": "\r\n"}[c.enter]
	if !ok {
		return e.usage("console: --enter %q: want cr, lf or crlf", c.enter)
	}
	r.enter = enter
	if r.log == "" {
		if r.log, err = logFor(shown); err != nil {
			return e.fail(exitInfra, "console: %v", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	if err := r.join(ctx); err != nil {
		return e.fail(exitInfra, "console: %v", err)
	}
	code := r.talk(ctx)
	r.client.Close()
	return r.leave(ctx, code)
}

// logFor names a new log in the user's state directory (XDG base directories 0.8).
func logFor(line string) (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%w: say where the log is to be, with --log", err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "itlbench", "console", fileName(line), time.Now().Format("2006-01-02T15-04-05.000")+".log"), nil
}

// fileName makes a file's name of a line's.
func fileName(line string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, line), "_.")
}

// socketDir is where consoles of this user find each other.
func socketDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "itlbench-console")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("itlbench-console-%d", os.Getuid()))
}

// identity is what two names of the same line have in common.
func identity(line string) string {
	n, err := serial.ParseName(line)
	if err != nil {
		return line
	}
	if n.Kind == serial.Port || n.Kind == serial.Unix || n.Kind == serial.PTY && n.Target != "" {
		if real, err := filepath.EvalSymlinks(n.Target); err == nil && n.Kind != serial.PTY {
			n.Target = real
		}
		if abs, err := filepath.Abs(n.Target); err == nil {
			n.Target = abs
		}
	}
	return string(n.Kind) + ":" + n.Target
}

// meetLine owns a line, or reaches the program of this user that does. The options need
// no name, mode and opening. owner is nil where another one owns it.
func meetLine(ctx context.Context, line string, o broker.Options) (owner *broker.Broker, conn net.Conn, err error) {
	n, err := serial.ParseName(line)
	if err != nil {
		return nil, nil, err
	}
	o.Name, o.Mode = line, n.Mode
	o.Open = func(ctx context.Context) (serial.Line, error) { return lines.Open(ctx, line) }
	owner, conn, err = broker.Meet(ctx, socketDir(), identity(line), func() (*broker.Broker, error) {
		return broker.Start(context.Background(), o)
	})
	if owner != nil {
		near, far := net.Pipe()
		go owner.ServeConn(far)
		conn = near
	}
	return owner, conn, err
}

// join owns the line, or joins who does.
func (r *lineConsole) join(ctx context.Context) error {
	b, conn, err := meetLine(ctx, r.line, broker.Options{Log: r.log, Overwrite: r.overwrite, Wait: r.wait})
	if err != nil {
		return err
	}
	if r.owner = b; b != nil {
		if err = r.serve(); err != nil {
			b.Close()
			return err
		}
	}
	r.client, err = broker.Join(conn, fmt.Sprintf("console %d", os.Getpid()), broker.Backlog)
	return err
}

// serve offers the line to others.
func (r *lineConsole) serve() error {
	if r.rfc2217 != "" {
		l, err := net.Listen("tcp", r.rfc2217)
		if err != nil {
			return err
		}
		fmt.Fprintf(r.e.stderr, "rfc2217 %s\n", l.Addr())
		go r.owner.ServeRFC2217(l)
	}
	if r.pty != "" {
		end, err := pseudo.Open(r.pty)
		if err != nil {
			return err
		}
		fmt.Fprintf(r.e.stderr, "pty %s\n", r.pty)
		go r.owner.Attach("pty "+r.pty, end)
	}
	return nil
}

// leave ends the broker, once nobody reads from it any more.
func (r *lineConsole) leave(ctx context.Context, code int) int {
	if r.owner == nil {
		return code
	}
	own := 0
	if r.pty != "" {
		own = 1 // a pty is there for as long as this program
	}
	r.owner.WaitAlone(shortly(ctx), own)
	if n := r.owner.Clients(); n > own && ctx.Err() == nil {
		fmt.Fprintf(r.e.stderr, "itlbench: console: others read this line: it stays open until they leave, or ctrl-c\n")
		r.owner.WaitAlone(ctx, own)
	}
	if err := r.owner.Close(); err != nil {
		return r.e.fail(exitInfra, "console: %v", err)
	}
	return code
}

// shortly is a context for what takes a moment.
func shortly(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// talk shows the line until the end.
func (r *lineConsole) talk(ctx context.Context) int {
	tty, _ := r.e.stdin.(*os.File)
	if r.stdio || r.send != "" || r.until != "" || tty == nil || !term.IsTerminal(int(tty.Fd())) {
		return r.pipe(ctx)
	}
	leave, err := viewer.Raw(tty)
	if err != nil {
		return r.e.fail(exitInfra, "console: %v", err)
	}
	defer leave() // on a panic too
	s := &viewer.Session{Client: r.client, Keys: r.keys, Enter: r.enter, Echo: r.echo, Log: r.log, View: viewer.New(r.e.stdout, viewer.Options{
		Terminal: true, Raw: r.raw, Hex: r.hex, Times: r.times, Decode: r.decode, Colour: colour(r.e.stdout), AddCR: r.addCR})}
	if r.supply != nil {
		s.Power = func(ctx context.Context) error { return r.supply.Switch(ctx, power.Cycle) }
	}
	if r.owner != nil {
		s.View.Note("log: " + r.log)
	} else {
		s.View.Note("another console owns this line; its log goes on")
	}
	if !strings.EqualFold(r.keys.Name(), "none") {
		s.View.Note(r.keys.Name() + " ? lists the keys, " + r.keys.Name() + " q quits")
	}
	err = s.Run(ctx, tty)
	leave()
	fmt.Fprintln(r.e.stdout)
	if errors.Is(err, viewer.ErrQuit) || errors.Is(err, context.Canceled) {
		return exitOK
	}
	return r.ended(err)
}
