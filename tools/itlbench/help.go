package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
)

// page is all that help and the manual say of a command.
type page struct {
	path        string // such as "cluster up"
	args, about string
	flags       *pflag.FlagSet // nil where subcommands have their own
	subs        []command
	extra       string // what the command itself adds to its help
}

// subcommands are those of a command; of some they are words that share its flags.
func subcommands(name string) []command {
	shared := func(pairs ...string) (list []command) {
		for i := 0; i < len(pairs); i += 3 {
			list = append(list, command{name: pairs[i], args: pairs[i+1], about: pairs[i+2]})
		}
		return list
	}
	switch name {
	case "cluster":
		return clusterCommands()
	case "build":
		return shared("itl", "", "an Identity Trust List", "ctl", "", "a Certificate Trust List")
	case "vault":
		return shared("show", "IMAGE", "print what the phone holds", "verify", "IMAGE", "say whether it is whole")
	case "scenario":
		return shared("list", "", "the built-in scenarios", "run", "NAME...|FILE.yaml...|all", "run some")
	case "board":
		return append(shared("probe", "", "ask a board over its console, and write a first description"),
			command{"powercut", "BOARD|NAME", "cut the power of a board that is there at random moments, and count what is lost", runPowerCut})
	case "fleet":
		return fleetCommands()
	case "serial":
		return shared("list", "", "the serial ports of this machine")
	}
	return nil
}

// pageOf returns the page of a command, given its words.
func pageOf(words []string) (*page, error) {
	c, err := find(commands(), words[0])
	if err != nil {
		return nil, err
	}
	p := &page{path: c.name, args: c.args, about: c.about, subs: subcommands(c.name)}
	if len(words) > 1 {
		sub, err := find(p.subs, words[1])
		if err != nil && len(p.subs) == 0 {
			return nil, hinted{fmt.Errorf("%s has no subcommands", c.name), seeHelp(c.name)}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		p.path, p.args, p.about, p.subs = c.name+" "+sub.name, sub.args, sub.about, nil
		if sub.run != nil {
			c.run = sub.run
		}
	}
	if slices.ContainsFunc(p.subs, func(s command) bool { return s.run != nil }) {
		return p, nil
	}
	var extra bytes.Buffer
	c.run(&env{stdout: &extra, stderr: io.Discard, define: func(f *pflag.FlagSet) { p.flags = f }}, nil)
	p.extra = extra.String()
	return p, nil
}

// pageFor returns the page of the command whose flags these are.
func pageFor(f *pflag.FlagSet) *page {
	p, err := pageOf(strings.Fields(f.Name()))
	if err != nil {
		panic("a flag set is named as no command is: " + f.Name())
	}
	p.flags, p.extra = f, "" // the command adds it by itself
	return p
}

// allPages returns the page of every command and subcommand, in the order of the help.
func allPages() (all []*page) {
	for _, c := range commands() {
		p, err := pageOf([]string{c.name})
		if err != nil {
			panic(err)
		}
		all = append(all, p)
		for _, sub := range p.subs {
			s, err := pageOf([]string{c.name, sub.name})
			if err != nil {
				panic(err)
			}
			all = append(all, s)
		}
	}
	return all
}

// helpWidth is the width of help, in columns.
const helpWidth = 90

func (p *page) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n%s", p.about, wrapUsage(p.usage()))
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for i, s := range p.subs {
		if i == 0 {
			fmt.Fprintln(tab, "\ncommands:")
		}
		fmt.Fprintf(tab, "  %s\t%s\n", strings.TrimSpace(s.name+" "+s.args), s.about)
	}
	tab.Flush()
	if p.flags != nil && p.flags.HasAvailableFlags() {
		fmt.Fprintf(w, "\nflags:\n%s", p.flags.FlagUsagesWrapped(helpWidth))
	}
	for i, line := range p.examples() {
		if i == 0 {
			fmt.Fprintln(w, "\nexample:")
		}
		fmt.Fprintln(w, "  "+line)
	}
	if p.extra != "" {
		fmt.Fprint(w, "\n"+p.extra)
	}
}

// usage returns the words of the usage line, which are not broken: they are read off the
// flags themselves.
func (p *page) usage() []string {
	words := append([]string{"itlbench"}, strings.Fields(p.path)...)
	if p.args != "" {
		words = append(words, p.args)
	}
	if p.flags == nil {
		return append(words, "[FLAG...]")
	}
	p.flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		word := "--" + f.Name
		if value := valueName(f); value != "" {
			word += " " + value
		}
		word = "[" + word + "]"
		if repeats(f) {
			word += "..."
		}
		words = append(words, word)
	})
	return words
}

// valueName names the value of a flag, "" where it takes none.
func valueName(f *pflag.Flag) string {
	if f.NoOptDefVal != "" {
		return ""
	}
	name, _ := pflag.UnquoteUsage(f)
	return strings.ToUpper(firstOf(name, f.Value.Type()))
}

// repeats reports whether a flag may be given several times.
func repeats(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

// wrapUsage breaks a usage line.
func wrapUsage(words []string) string {
	const indent = "               "
	var b strings.Builder
	line := "usage:"
	for _, w := range words {
		if len(line)+1+len(w) > helpWidth {
			b.WriteString(line + "\n")
			line = indent[1:]
		}
		line += " " + w
	}
	b.WriteString(line + "\n")
	return b.String()
}

// runHelp explains a command or a topic.
func runHelp(e *env, args []string) int {
	f := e.flags("help")
	if code, ok := e.parse(f, args, -2); !ok {
		return code
	}
	if f.NArg() == 0 {
		e.overview()
		return exitOK
	}
	if t, ok := topics()[f.Arg(0)]; ok && f.NArg() == 1 {
		fmt.Fprint(e.stdout, t)
		return exitOK
	}
	p, err := pageOf(f.Args())
	if err != nil && f.NArg() == 1 {
		err = noneNamed("command or topic", f.Arg(0), append(names(commands()), topicNames()...))
	}
	if err != nil {
		return e.usage("help: %v", err)
	}
	p.print(e.stdout)
	return exitOK
}

// overview lists the commands.
func (e *env) overview() {
	fmt.Fprintln(e.stdout, "usage: itlbench COMMAND [ARGUMENT...] [FLAG...]")
	fmt.Fprintln(e.stdout, "\ncommands:")
	for _, c := range commands() {
		fmt.Fprintf(e.stdout, "  %-11s %s\n", c.name, c.about)
	}
	fmt.Fprintln(e.stdout, "\nitlbench help COMMAND shows usage, flags and an example.\nexit codes: 0 yes or done, 1 not so, 2 usage, 3 network or disk, 4 skipped")
}
