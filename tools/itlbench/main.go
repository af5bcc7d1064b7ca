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
	"slices"
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

// command is one subcommand.
type command struct {
	name, args, about string
	run               func(e *env, args []string) int
}

// commands lists the subcommands in the order of the help text.
func commands() []command {
	return []command{
		{"show", "FILE... [--json] [--installed LIST]... [--cert PEM]...", "print whatever it is: a trust list, its text, a certificate, a log, an archive of them", runShow},
		{"verify", "FILE [--installed LIST]... [--cert PEM]... [--tvs ADDR]... [--json]", "say whether a phone would accept FILE", runVerify},
		{"build", "itl|ctl -o FILE --signer PEM --record ROLE=PEM...", "make a trust list", runBuild},
		{"sign", "FILE --signer PEM [-o FILE.sgn]", "make a signed file", runSign},
		{"cert", "CN -o FILE [--bits N | --ec] [--recovery | --ca] [--signer CA] [--from TIME] | --sign CSR --signer CA -o FILE", "make a test certificate and its key, or have a CA sign a CSR", runCert},
		{"phone", "--tftp ADDR [--mac MAC] [--model MODEL] [--state DIR | --flash IMAGE] [--once]", "run one handset", runPhone},
		{"vault", "show|verify IMAGE [--erase-size SIZE] [--json]", "read the flash image of a phone", runVault},
		{"cluster", "up|down|status|clock|fault|events|lists|serve|set|encrypt|rebuild|passwords [--dir DIR] ...", "run a test cluster, and change it", runCluster},
		{"admin", "[--dir DIR] [--node NAME] [COMMAND ...]", "the cluster's command line", runAdmin},
		{"sftp", "--dir DIR --user NAME [--listen ADDR] [--password-file FILE]", "run an SFTP server for recovery keys and bulk certificates", runSFTP},
		{"scenario", "list|run NAME...|all [--junit FILE] [--tap]", "run scenarios with expectations", runScenario},
		{"audit", "[--dir DIR | --from EVIDENCE]... [--log FILE]... [--listen ADDR] [--all] [--csv | --json]", "say which phone holds which list, and who is locked", runAudit},
		{"explain", "[PHONE] --dir DIR | FILE... | --from EVIDENCE | --tftp ADDR [--all] [--json]", "say why a phone is locked, and what would bring it back", runExplain},
		{"import", "-o DIR EVIDENCE...", "make the copy of a real cluster from what there is of it", runImport},
		{"pages", "DIR|AUDIT [--listen ADDR]", "serve pages to look at: phones and whom they trust, certificates, what a change would do", runPages},
		{"check", "DIR | ADDR... | --from EVIDENCE [--p12 FILE] [--json] [--junit FILE]", "say whether a cluster is in order", runCheck},
		{"plan", "CHANGE... [--dir DIR | --from EVIDENCE] [--online | --offline] [--details] [--json]", "say whom changes would lock out, before they are made", runPlan},
		{"image", "BOARD [-o DIR] [--check] | --list", "make what a board starts from", runImage},
		{"board", "probe --console LINE [--name NAME] [-o FILE]", "ask a board over its console, and write a first description", runBoard},
		{"qemu", "BOARD --cluster PROFILE [--dir DIR] [--print]", "run an emulated board", runQEMU},
		{"flash", "BOARD --console LINE | --cluster PROFILE [--over HOW] [--dry-run] [--boot-once]", "write a board's image through its boot loader", runFlash},
		{"console", "LINE|NAME [--log FILE] [--timestamps] [--decode] [--power CMD] ...", "talk to a board over a serial line", runConsole},
		{"serial", "list [--json]", "list the serial ports of this machine", runSerial},
		{"fleet", "run --count N --cluster DIR | --tftp ADDR [--hold] [--expect trusted=100%] ...", "run many handsets, and count what comes of them", runFleet},
		{"demo", "", "show a lock-out and its recovery", runDemo},
	}
}

// env is what a subcommand works with.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() { os.Exit(run(os.Args[1:], &env{os.Stdin, os.Stdout, os.Stderr})) }

func run(args []string, e *env) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		help(e.stdout)
		if len(args) == 0 {
			return exitUsage
		}
		return exitOK
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return e.usage("no command %q; see itlbench help", args[0])
	}
	return commands()[i].run(e, args[1:])
}

func help(w io.Writer) {
	fmt.Fprintln(w, "usage: itlbench COMMAND [ARGUMENTS]")
	for _, c := range commands() {
		fmt.Fprintf(w, "\n  %s\n      %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	fmt.Fprintln(w, "\nexit codes: 0 yes or done, 1 not so, 2 usage, 3 network or disk, 4 skipped")
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
	err := f.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		i := slices.IndexFunc(commands(), func(c command) bool { return c.name == strings.Fields(f.Name())[0] })
		fmt.Fprintf(e.stdout, "usage: itlbench %s %s\n%s", commands()[i].name, commands()[i].args, f.FlagUsages())
		return exitOK, false
	case err != nil:
		return e.usage("%s: %v", f.Name(), err), false
	case want >= 0 && f.NArg() != want:
		return e.usage("%s: %d arguments, it takes %d; see itlbench %s --help", f.Name(), f.NArg(), want, f.Name()), false
	case want < 0 && f.NArg() > -want:
		return e.usage("%s: %d arguments, it takes at most %d; see itlbench %s --help", f.Name(), f.NArg(), -want, f.Name()), false
	}
	return exitOK, true
}

// usage prints one line and returns exitUsage.
func (e *env) usage(format string, args ...any) int { return e.fail(exitUsage, format, args...) }

// fail prints one line, with a hint behind it where there is one for an error of args,
// and returns the code.
func (e *env) fail(code int, format string, args ...any) int {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	fmt.Fprintln(e.stderr, "itlbench: "+printable.Text(line))
	for _, arg := range args {
		if err, ok := arg.(error); ok && hintOf(err) != "" {
			fmt.Fprintln(e.stderr, "hint: "+hintOf(err))
			break
		}
	}
	return code
}
