// Itlbench is the engineer's program: it reads and makes trust files, answers
// what a phone would make of them, and runs test clusters and phones.
//
//	itlbench show ITLFile.tlv
//	itlbench verify SEP64A0E71502CC.cnf.xml.sgn --installed ITLFile.tlv
//	itlbench demo
//
// Data goes to standard output, talk to standard error. The exit code is 0 for
// yes or done, 1 where the checked thing is not so, 2 for wrong usage, 3 where
// network or disk failed, 4 where something was skipped.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"itlagent/agent/printable"

	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitOK    = 0
	exitNo    = 1
	exitUsage = 2
	exitInfra = 3
)

// command is one subcommand: its name, what stands behind it beside flags, and what it
// does. Flags are described where they are defined, see pageOf; every command has an
// example in examples.go.
type command struct {
	name, args, about string
	run               func(e *env, args []string) int
}

// commands lists the subcommands in the order of the help text.
func commands() []command {
	return []command{
		{"show", "FILE...", "print whatever it is: a trust list, its text, a certificate, a log, an archive of them", runShow},
		{"verify", "FILE", "say whether a phone would accept FILE", runVerify},
		{"build", "itl|ctl", "make a trust list", runBuild},
		{"sign", "FILE", "make a signed file", runSign},
		{"cert", "[CN]", "make a test certificate and its key, or have a CA sign a CSR", runCert},
		{"phone", "", "run one handset", runPhone},
		{"vault", "show|verify IMAGE", "read the flash image of a phone", runVault},
		{"cluster", "COMMAND", "run a test cluster, and change it", runCluster},
		{"admin", "[COMMAND ...]", "the cluster's command line", runAdmin},
		{"sftp", "", "run an SFTP server for recovery keys and bulk certificates", runSFTP},
		{"scenario", "list | run NAME...|FILE.yaml...|all", "run scenarios with expectations", runScenario},
		{"audit", "", "say which phone holds which list, and who is locked", runAudit},
		{"explain", "[FILE...]", "say why a phone is locked, and what would bring it back", runExplain},
		{"import", "EVIDENCE...", "make the copy of a real cluster from what there is of it", runImport},
		{"pages", "DIR|AUDIT", "serve pages to look at: phones and whom they trust, certificates, what a change would do", runPages},
		{"check", "[DIR | ADDR...]", "say whether a cluster is in order", runCheck},
		{"plan", "CHANGE...", "say whom changes would lock out, before they are made", runPlan},
		{"image", "[BOARD]", "make what a board starts from", runImage},
		{"board", "probe | powercut BOARD|NAME", "ask a board over its console, and write a first description; cut its power at random moments", runBoard},
		{"qemu", "BOARD", "run an emulated board", runQEMU},
		{"flash", "BOARD|NAME", "write a board's image through its boot loader", runFlash},
		{"console", "LINE|NAME", "talk to a board over a serial line", runConsole},
		{"serial", "list", "list the serial ports of this machine", runSerial},
		{"fleet", "run|worker|status", "run many handsets, and count what comes of them", runFleet},
		{"demo", "", "show a lock-out and its recovery", runDemo},
		{"help", "[COMMAND [SUBCOMMAND] | TOPIC]", "explain a command, or one of: " + strings.Join(topicNames(), ", "), runHelp},
		{"version", "", "print version, commit and Go version", runVersion},
		{"completion", "bash|zsh|fish", "print what completes command lines in a shell", runCompletion},
	}
}

// env is what a subcommand works with.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// define, where it is set, gets the flags of the command in the place of running it.
	define func(f *pflag.FlagSet)
}

func main() {
	os.Exit(run(os.Args[1:], &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}))
}

func run(args []string, e *env) int {
	args, err := dirInFront(args)
	if err != nil {
		return e.usage("%v", err)
	}
	if len(args) == 0 {
		e.overview()
		return exitUsage
	}
	switch args[0] {
	case "--help", "-h":
		return runHelp(e, args[1:])
	case "--version":
		return runVersion(e, args[1:])
	case completeCommand:
		return e.complete(args[1:])
	case manualCommand:
		return e.manual()
	}
	c, err := find(commands(), args[0])
	if err != nil {
		return e.usage("%v", err)
	}
	return c.run(e, dirBehind(args))
}

// dispatch runs a subcommand of a command that does nothing by itself.
func (e *env) dispatch(name string, subs []command, args []string) int {
	if len(args) == 0 {
		return e.usage("%s: which command? There are: %s", name, namesOf(subs))
	}
	if args[0] == "--help" || args[0] == "-h" {
		return runHelp(e, []string{name})
	}
	c, err := find(subs, args[0])
	if err != nil {
		return e.usage("%s: %v", name, err)
	}
	return c.run(e, args[1:])
}

// flags returns a flag set for a subcommand, which writes no text of its own.
func (e *env) flags(name string) *pflag.FlagSet {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// parse reads the flags and wants the given number of other arguments, or at most
// that many where it is negative. The code counts only where ok is false.
func (e *env) parse(f *pflag.FlagSet, args []string, want int) (code int, ok bool) {
	if e.define != nil {
		e.define(f)
		return exitOK, false
	}
	err := f.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		pageFor(f).print(e.stdout)
		return exitOK, false
	case err != nil:
		return e.usage("%s: %v", f.Name(), nearFlag(f, err)), false
	case want >= 0 && f.NArg() != want:
		return e.usage("%v", hinted{fmt.Errorf("%s: %d arguments, it takes %d", f.Name(), f.NArg(), want), seeHelp(f.Name())}), false
	case want < 0 && f.NArg() > -want:
		return e.usage("%v", hinted{fmt.Errorf("%s: %d arguments, it takes at most %d", f.Name(), f.NArg(), -want), seeHelp(f.Name())}), false
	}
	return exitOK, true
}

// usage prints one line and returns exitUsage.
func (e *env) usage(format string, args ...any) int { return e.fail(exitUsage, format, args...) }

// fail prints one line, with a hint behind it where there is one for an error of args,
// and returns the code.
func (e *env) fail(code int, format string, args ...any) int {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	code = codeOf(code, args)
	fmt.Fprintln(e.stderr, "itlbench: "+printable.Text(line))
	for _, arg := range args {
		if err, ok := arg.(error); ok && hintOf(err) != "" {
			fmt.Fprintln(e.stderr, "hint: "+hintOf(err))
			break
		}
	}
	return code
}
