// Package shell is the debug shell of a phone, on its serial console: what the
// phone holds, why it trusts or distrusts its cluster, and the ways to change
// that by hand.
//
//	s := shell.New(phone, console, shell.Options{Reset: reset})
//	s.Loop(ctx)
//
// A shell asks for a login where the phone's configuration sets one, as it is at that
// moment; a configuration that brings another login ends the sessions of the one
// before. Where the stored configuration cannot be read, and with it whether it sets a
// login, there are only the commands that look and those that delete. No input makes a
// shell fail: what is not a command gets one line, and text from outside is printed
// through package printable. The phone goes on beside it. A Shell is not safe for
// concurrent use. The commands are this project's; what they print is named as on
// phones.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/agent/login"
	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
	"itlagent/platform/console"
)

// Prompt is what the shell asks for commands with.
const Prompt = "$ "

// Options join a shell to what is around its phone. Fields that are nil leave
// their command out of use.
type Options struct {
	Reset   func()                  // the phone resets: another cycle
	Restart func()                  // the whole program starts again
	Flash   func(w io.Writer) error // tells of the flash
	Trace   *Trace                  // what trace on shows
	Network func() (lines []string) // more lines of show network
	System  func() (lines []string) // the lines of show system

	Logins *login.Delay                                     // of this console; nil makes one
	Wait   func(ctx context.Context, d time.Duration) error // nil waits by the clock
}

// Shell is one user's shell.
type Shell struct {
	phone *agent.Agent
	io    console.Console
	opts  Options

	session *access // of whom is logged in; nil outside of Loop
	refused bool    // nobody has logged in
}

// New returns a shell of a phone.
func New(a *agent.Agent, c console.Console, o Options) *Shell {
	if o.Logins == nil {
		o.Logins = new(login.Delay)
	}
	if o.Wait == nil {
		o.Wait = waitFor
	}
	return &Shell{phone: a, io: c, opts: o}
}

type command struct {
	words string
	args  string
	about string
	run   func(s *Shell, ctx context.Context, args []string) error
	may   allowance
}

// allowance says when a command may be run.
type allowance int

const (
	always    allowance = iota // even where the configuration cannot be read
	known                      // where it can
	confirmed                  // as always, but asked about where it cannot
	settable                   // confirmed, and settingsAccess does not lock it
	knownSettable
)

func commands() []command {
	return []command{
		{"show status", "", "the phone, its lists, and what came of the last boot", (*Shell).showStatus, always},
		{"show messages", "", "the status messages", (*Shell).showMessages, always},
		{"show itl", "", "the ITL in force", func(s *Shell, _ context.Context, _ []string) error { return s.showList(trustlist.ITL) }, always},
		{"show ctl", "", "the CTL in force", func(s *Shell, _ context.Context, _ []string) error { return s.showList(trustlist.CTL) }, always},
		{"show tvs", "", "the TVS servers, and the answers that are remembered", (*Shell).showTVS, always},
		{"show config", "", "the settings in force", (*Shell).showConfig, always},
		{"show flash", "", "the state of the flash", (*Shell).showFlash, always},
		{"show alarms", "", "the alarms that wait for a server", (*Shell).showAlarms, always},
		{"show registration", "", "the call manager that has the phone, and what it refused", (*Shell).showRegistration, always},
		{"show network", "", "the servers that are asked", (*Shell).showNetwork, always},
		{"show system", "", "the board: uptime and memory", (*Shell).showSystem, always},
		{"why", "", "the last verdict on each file, its reason, the path to it, and what to do", (*Shell).why, always},
		{"directory", "", "open the directory of the configuration", (*Shell).directory, known},
		{"erase itl", "", "delete the ITL", func(s *Shell, _ context.Context, _ []string) error { return s.phone.Erase(trustlist.ITL) }, settable},
		{"erase ctl", "", "delete the CTL", func(s *Shell, _ context.Context, _ []string) error { return s.phone.Erase(trustlist.CTL) }, settable},
		{"clear messages", "", "empty the list of status messages", func(s *Shell, _ context.Context, _ []string) error { return s.phone.ClearMessages() }, known},
		{"reset", "", "fetch lists and configuration again", (*Shell).reset, known},
		{"restart", "", "start the phone's program again", (*Shell).restart, known},
		{"factory-reset", "", "delete all but what the phone was made with", (*Shell).factoryReset, always},
		{"set tftp1", "HOST[:PORT]|none", "the first alternate TFTP server", func(s *Shell, _ context.Context, a []string) error { return s.setTFTP(1, a[0]) }, knownSettable},
		{"set tftp2", "HOST[:PORT]|none", "the second alternate TFTP server", func(s *Shell, _ context.Context, a []string) error { return s.setTFTP(2, a[0]) }, knownSettable},
		{"set alttftp", "yes|no", "use the alternate TFTP servers", func(s *Shell, _ context.Context, a []string) error { return s.setAlternate(a[0]) }, knownSettable},
		{"trace on", "", "show what the phone does", func(s *Shell, _ context.Context, _ []string) error { return s.trace(true) }, known},
		{"trace off", "", "show it no more", func(s *Shell, _ context.Context, _ []string) error { return s.trace(false) }, known},
	}
}

// Complete returns what a line can be completed to.
func Complete(line string) (string, []string) {
	words := []string{"help", "exit"}
	for _, c := range commands() {
		words = append(words, c.words)
	}
	return console.CompleteWords(words, line)
}

var (
	errUsage = errors.New("no such command; try help")
	errNone  = errors.New("not available here")
)

// Loop asks for a login and then for commands, until exit, the end of input, too many
// wrong logins, or the end of the context.
func (s *Shell) Loop(ctx context.Context) error {
	for ctx.Err() == nil && s.login(ctx) {
		ended := s.commands(ctx)
		s.session = nil
		if s.opts.Trace != nil {
			s.opts.Trace.To(nil)
		}
		if ended {
			return nil
		}
	}
	if s.refused {
		return ErrLogin
	}
	return nil
}

// commands runs the commands of one session. It reports whether the user ended it.
func (s *Shell) commands(ctx context.Context) bool {
	for ctx.Err() == nil {
		line, err := s.io.Ask(Prompt, console.Shown)
		if errors.Is(err, console.ErrInterrupt) {
			continue
		}
		if err != nil && !errors.Is(err, console.ErrTooLong) {
			return true
		}
		if changed := s.check(); changed != nil {
			s.say("%v", changed)
			return false
		}
		switch {
		case err != nil:
			s.say("%v: it has at most %d bytes", err, console.MaxLine)
		case strings.TrimSpace(line) == "exit":
			return true
		default:
			s.Run(ctx, line)
		}
	}
	return true
}

// Run runs one command. It reports whether that succeeded.
func (s *Shell) Run(ctx context.Context, line string) bool {
	words := strings.Fields(line)
	if len(words) == 0 {
		return true
	}
	err := s.run(ctx, words)
	if err != nil {
		s.say("%s: %v", printable.Clip(words[0], maxWord), err)
	}
	return err == nil
}

// maxWord bounds how much of a word is repeated.
const maxWord = 60

func (s *Shell) run(ctx context.Context, words []string) error {
	if words[0] == "help" || words[0] == "?" {
		for _, c := range commands() {
			s.say("%-32s %s", strings.TrimSpace(c.words+" "+c.args), c.about)
		}
		s.say("%-32s %s", "exit", "end the session")
		return nil
	}
	for _, c := range commands() {
		name := strings.Fields(c.words)
		if len(words) < len(name) || !slices.Equal(words[:len(name)], name) {
			continue
		}
		args := words[len(name):]
		want := 0
		if c.args != "" {
			want = 1
		}
		if len(args) != want {
			return fmt.Errorf("usage: %s", strings.TrimSpace(c.words+" "+c.args))
		}
		if err := s.allowed(c.may); err != nil {
			return err
		}
		return c.run(s, ctx, args)
	}
	return errUsage
}

var (
	errDamaged = errors.New("the stored configuration cannot be read: only show, why, erase and factory-reset")
	errLocked  = errors.New("locked by the configuration (settingsAccess); factory-reset remains")
)

// allowed reports whether the phone allows a command now.
func (s *Shell) allowed(may allowance) error {
	now := s.phone.State()
	damaged := now.Damage(holdings.Config) != nil
	switch {
	case damaged && (may == known || may == knownSettable):
		return errDamaged
	case damaged && may == settable:
		return s.confirm("the stored configuration cannot be read; delete the list all the same (yes|no)? ")
	case (may == settable || may == knownSettable) && !now.Settings.MayChangeSettings():
		return errLocked
	}
	return nil
}

// confirm asks a question that only yes says yes to.
func (s *Shell) confirm(question string) error {
	answer, err := s.io.Ask(question, console.Shown)
	if err == nil {
		err = s.check()
	}
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// say prints a line. Arguments that are text, or become text by a method, may come from
// outside; those with several lines are printed as such by sayLines.
func (s *Shell) say(format string, args ...any) {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = printable.Text(v)
		case error:
			args[i] = printable.Text(strings.ReplaceAll(v.Error(), "\n", "; "))
		case fmt.Stringer:
			args[i] = printable.Text(v.String())
		}
	}
	fmt.Fprintf(s.io, format+"\n", args...)
}

// sayLines prints text that has lines.
func (s *Shell) sayLines(text string) {
	for line := range strings.Lines(text) {
		s.say("%s", strings.TrimRight(line, "\r\n"))
	}
}

func (s *Shell) reset(_ context.Context, _ []string) error {
	if s.opts.Reset == nil {
		return errNone
	}
	s.opts.Reset()
	return nil
}

func (s *Shell) restart(_ context.Context, _ []string) error {
	if s.opts.Restart == nil {
		return errNone
	}
	s.opts.Restart()
	return nil
}

func (s *Shell) factoryReset(_ context.Context, _ []string) error {
	if err := s.confirm("delete lists, configuration and settings (yes|no)? "); err != nil {
		return err
	}
	if err := s.phone.FactoryReset(); err != nil {
		return err
	}
	if s.opts.Reset != nil {
		s.opts.Reset()
	}
	return nil
}

func (s *Shell) setTFTP(n int, server string) error {
	if server == "none" {
		server = ""
	}
	network := s.phone.Snapshot().Network
	if n == 1 {
		network.TFTP1 = server
	} else {
		network.TFTP2 = server
	}
	network.Alternate = network.Alternate && network.TFTP1+network.TFTP2 != ""
	return s.phone.SetNetwork(network)
}

func (s *Shell) setAlternate(word string) error {
	if word != "yes" && word != "no" {
		return errors.New("yes or no")
	}
	network := s.phone.Snapshot().Network
	network.Alternate = word == "yes"
	return s.phone.SetNetwork(network)
}
