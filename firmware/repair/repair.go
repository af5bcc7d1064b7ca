// Package repair is what a board does whose phone cannot run, because its flash, its
// network or its arguments are missing or wrong: it says so on the console every minute,
// stays, and offers a shell in which the phone's arguments can be changed, the flash
// formatted, and the start tried again.
//
//	result, err := repair.Run(ctx, attach, repair.Options{Problems: problems, Args: args})
//
// What is changed is in the result alone, and lasts until the power is off: what lasts
// longer is on the kernel's command line, behind "--". Nobody logs in to this shell, for
// what says whether there is a login cannot be read: whoever has the console may do here
// what a boot loader's prompt allows too. A vault that can be read is not formatted. Text
// from outside is printed through package printable.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/platform/console"
)

// Prompt is what the shell asks for commands with.
const Prompt = "repair$ "

// Every is how often the console is told what is missing.
const Every = time.Minute

// tick is how often Alive is called, and things that were missing are looked for.
const tick = 5 * time.Second

// Problem is one thing that keeps a phone from running.
type Problem struct {
	Text string      // "flash: /dev/mtd1: no such file or directory"
	Hint string      // what to do about it, "" where nothing is known
	Gone func() bool // reports whether it has gone by itself; nil: it never does
}

// Options say what the shell works with.
type Options struct {
	Problems []Problem       // at least one
	Args     []string        // of the phone, with those that are missing or wrong
	Machine  func() []string // more lines for show: what the board has; nil for none
	Alive    func()          // called at least every 5 s; nil: nobody is told
}

// Result is what is to be done next.
type Result struct {
	Args     []string // of the phone
	Format   bool     // make a vault where none can be read, this once
	Anyway   bool     // run the phone without a network
	PowerOff bool     // and nothing else
}

// Attach returns a console until the context ends, and what gives it back, as
// console.Attach does.
type Attach func(ctx context.Context, prompt string, complete console.Completer) (c console.Console, leave func(), err error)

// shell is one session.
type shell struct {
	io     console.Console
	opts   Options
	result Result
}

// Run tells the console what is missing, at once and every minute, and runs the shell
// until somebody asks for another start or for the power to be turned off, all problems
// have gone by themselves, or the context ends, whose error is then returned. Where the
// console cannot be used or ends, it goes on to tell and to look.
func Run(ctx context.Context, attach Attach, w io.Writer, o Options) (Result, error) {
	own, stop := context.WithCancel(ctx)
	s := &shell{opts: o, result: Result{Args: slices.Clone(o.Args)}}
	asked := make(chan struct{})
	ended := make(chan struct{})
	if c, leave, err := attach(own, Prompt, complete); err != nil {
		fmt.Fprintln(w, "itlagent:", printable.Text(err.Error()))
		close(ended)
		s.io = console.NewPlain(strings.NewReader(""), w)
	} else {
		defer leave()
		s.io = c
		go func() {
			defer close(ended)
			if s.commands() {
				close(asked)
			}
		}()
	}
	defer func() { // the reader is gone before its console is given back
		stop()
		<-ended
	}()
	s.tell()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for told := time.Now(); ; {
		if o.Alive != nil {
			o.Alive()
		}
		select {
		case <-asked:
			return s.result, nil
		case <-ctx.Done():
			return Result{Args: o.Args}, ctx.Err()
		case <-ticker.C:
		}
		if s.gone() {
			s.say("itlagent: nothing is missing any more: the phone starts")
			stop()
			<-ended // what was set until now counts
			return Result{Args: s.result.Args}, nil
		}
		if time.Since(told) >= Every {
			told = time.Now()
			s.tell()
		}
	}
}

// gone reports whether every problem has gone by itself.
func (s *shell) gone() bool {
	for _, p := range s.opts.Problems {
		if p.Gone == nil || !p.Gone() {
			return false
		}
	}
	return true
}

// tell says what is missing.
func (s *shell) tell() {
	for _, p := range s.opts.Problems {
		s.say("itlagent: the phone does not run: %s", p.Text)
		if p.Hint != "" {
			s.say("itlagent: %s", p.Hint)
		}
	}
	s.say("itlagent: the board stays on; help lists what can be done here")
}

// say prints a line whose arguments are made harmless.
func (s *shell) say(format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = printable.Text(strings.ReplaceAll(text, "\n", "; "))
		}
	}
	fmt.Fprintf(s.io, format+"\n", args...)
}

// settings are what set sets, and the argument that each is: those that end with "=" are
// the board's, the others are flags of the phone.
var settings = []struct{ name, arg, about string }{
	{"mac", "-mac", "the phone's MAC address, 12 hex digits"},
	{"model", "-model", "the phone's model, such as CP-7965G"},
	{"tftp", "-tftp", "TFTP servers, host[:port], joined by commas"},
	{"flash", "-flash", "what holds the vault: /dev/mtdN, or a block device"},
	{"interface", "interface=", "the network interface; none leaves the network alone"},
	{"address", "address=", "its IPv4 address with the prefix, such as 192.0.2.15/24"},
	{"gateway", "gateway=", "the gateway"},
}

var others = []struct{ words, about string }{
	{"show", "what is missing, the phone's arguments, and what the board has"},
	{"format", "make a vault on a flash that holds none which can be read, and start"},
	{"reset", "try to start the phone again"},
	{"start", "start it without the network that is missing"},
	{"poweroff", "turn the board off"},
}

// complete returns what a line can be completed to.
func complete(line string) (string, []string) {
	words := []string{"help"}
	for _, o := range others {
		words = append(words, o.words)
	}
	for _, set := range settings {
		words = append(words, "set "+set.name)
	}
	return console.CompleteWords(words, line)
}

// commands runs commands until one ends the shell, which it reports, or nobody types any
// more.
func (s *shell) commands() bool {
	for {
		line, err := s.io.Ask(Prompt, console.Shown)
		switch {
		case errors.Is(err, console.ErrInterrupt):
			continue
		case errors.Is(err, console.ErrTooLong):
			s.say("%s", err.Error())
			continue
		case err != nil:
			return false
		}
		end, err := s.run(strings.Fields(line))
		if err != nil {
			s.say("%s: %s", printable.Clip(strings.Fields(line)[0], maxWord), err.Error())
		}
		if end {
			return true
		}
	}
}

// maxWord bounds how much of a word is repeated, in bytes.
const maxWord = 60

func (s *shell) run(words []string) (end bool, err error) {
	if len(words) == 0 {
		return false, nil
	}
	if words[0] == "set" {
		return false, s.set(words[1:])
	}
	if len(words) > 1 {
		return false, fmt.Errorf("usage: %s", printable.Clip(words[0], maxWord))
	}
	switch words[0] {
	case "help", "?":
		s.help()
		return false, nil
	case "show":
		s.show()
		return false, nil
	case "format":
		answer, err := s.io.Ask("destroy what the flash holds, unless it is a vault that can be read (yes|no)? ", console.Shown)
		if err != nil || strings.TrimSpace(answer) != "yes" {
			return false, errors.New("nothing was changed")
		}
		s.result.Format = true
	case "start":
		s.result.Anyway = true
	case "reset":
	case "poweroff":
		s.result.PowerOff = true
	default:
		return false, errors.New("no such command; try help")
	}
	return true, nil
}

func (s *shell) help() {
	for _, o := range others {
		s.say("%-20s %s", o.words, o.about)
	}
	for _, set := range settings {
		s.say("%-20s %s", "set "+set.name+" VALUE", set.about)
	}
	s.say("what is set lasts until the power is off; the boot loader's bootargs, behind --, last longer")
}

func (s *shell) show() {
	for _, p := range s.opts.Problems {
		s.say("missing: %s", p.Text)
	}
	for _, set := range settings {
		value := Value(s.result.Args, set.arg)
		if value == "" {
			value = "none"
		}
		s.say("%s: %s", set.name, value)
	}
	if s.opts.Machine != nil {
		for _, line := range s.opts.Machine() {
			s.say("%s", line)
		}
	}
}

func (s *shell) set(words []string) error {
	if len(words) == 2 {
		for _, set := range settings {
			if set.name == words[0] {
				value := words[1]
				if set.name == "interface" && value == "none" {
					value = ""
				}
				s.result.Args = With(s.result.Args, set.arg, value)
				s.say("%s: %s; reset tries it", set.name, words[1])
				return nil
			}
		}
	}
	names := make([]string, len(settings))
	for i, set := range settings {
		names[i] = set.name
	}
	return fmt.Errorf("usage: set %s VALUE", strings.Join(names, "|"))
}

// Value returns the last value of an argument, "-mac" or "address=", "" without one.
func Value(args []string, arg string) (value string) {
	for i := range args {
		if v, _, ok := match(args[i:], arg); ok {
			value = v
		}
	}
	return value
}

// With returns the arguments with one value of an argument in the place of all that it
// had, "" for none. The arguments themselves are not changed.
func With(args []string, arg, value string) (out []string) {
	for i := 0; i < len(args); {
		if _, n, ok := match(args[i:], arg); ok {
			i += n
			continue
		}
		out = append(out, args[i])
		i++
	}
	switch {
	case value == "":
	case strings.HasSuffix(arg, "="):
		out = append(out, arg+value)
	default:
		out = append(out, arg+"="+value)
	}
	return out
}

// match reports whether arguments begin with this one, its value, and of how many
// arguments both are. A flag has one or two hyphens, and its value behind "=" or as the
// next argument.
func match(args []string, arg string) (value string, n int, ok bool) {
	if strings.HasSuffix(arg, "=") {
		value, ok = strings.CutPrefix(args[0], arg)
		return value, 1, ok
	}
	name, value, has := strings.Cut(args[0], "=")
	if name != arg && name != "-"+arg {
		return "", 0, false
	}
	if !has && len(args) > 1 {
		return args[1], 2, true
	}
	return value, 1, true
}
