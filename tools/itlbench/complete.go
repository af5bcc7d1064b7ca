package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"itlagent/firmware/boards"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/scenario"
	"itlagent/tools/targets"
)

// completeCommand is what the scripts of runCompletion call: behind it stand the words of
// the line up to the cursor, the last of which is not finished. It prints a candidate a
// line; filesToo in the place of one says that files are meant.
const (
	completeCommand = "__complete"
	filesToo        = ":files"
)

// offered are words that a shell takes as they are: names come from files of others.
var offered = regexp.MustCompile(`^[A-Za-z0-9:_./+=-]{1,128}$`)

func (e *env) complete(words []string) int {
	if len(words) == 0 {
		return exitUsage
	}
	for _, c := range candidates(joinEquals(words)) {
		if offered.MatchString(c) {
			fmt.Fprintln(e.stdout, c)
		}
	}
	return exitOK
}

// joinEquals puts --flag=value together again, which bash hands over in three words.
func joinEquals(words []string) (joined []string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		if n := len(joined); n > 0 && w == "=" && strings.HasPrefix(joined[n-1], "--") {
			joined[n-1] += "="
			if i+1 < len(words) {
				i++
				joined[n-1] += words[i]
			}
			continue
		}
		joined = append(joined, w)
	}
	return joined
}

// completion is a command line that is being typed.
type completion struct {
	page *page
	args []string // what stands behind the command, without flags and their values
	dir  string
	word string // the one that is not finished
}

// models are phones that people have: any other name is taken too.
var models = []string{"CP-7945G", "CP-7965G", "CP-7975G", "CP-7821", "CP-7841", "CP-8841", "CP-8845", "CP-8861", "CP-8865"}

// candidates returns what the last word may become.
func candidates(words []string) []string {
	word := words[len(words)-1]
	line, err := dirInFront(words[:len(words)-1])
	if err != nil {
		return []string{filesToo}
	}
	if len(line) == 0 {
		if strings.HasPrefix(word, "-") {
			return beginning(word, []string{"--dir", "--help", "--version"})
		}
		return beginning(word, names(commands()))
	}
	rest := dirBehind(line)
	c := &completion{word: word, dir: defaultDir}
	if c.page, err = pageOf(line[:1]); err != nil {
		return nil
	}
	for n := dirWords(rest); c.page.flags == nil && n > 0 && n <= len(rest); n = dirWords(rest) {
		c.dir, rest = strings.TrimPrefix(rest[n-1], "--dir="), rest[n:]
	}
	if len(rest) > 0 && len(c.page.subs) > 0 {
		if sub, err := pageOf([]string{line[0], rest[0]}); err == nil {
			c.page, rest = sub, rest[1:]
		}
	}
	return c.next(rest)
}

// next reads the finished words, and completes the last one.
func (c *completion) next(words []string) []string {
	var open *pflag.Flag // waits for its value
	only := false        // behind "--"
	for _, w := range words {
		switch name, value, whole := strings.Cut(w, "="); {
		case open != nil:
			c.set(open, w)
			open = nil
		case !only && w == "--":
			only = true
		case !only && strings.HasPrefix(w, "-") && len(w) > 1:
			f := c.flag(name)
			switch {
			case f == nil:
			case whole:
				c.set(f, value)
			case valueName(f) != "":
				open = f
			}
		default:
			c.args = append(c.args, w)
		}
	}
	name, value, whole := strings.Cut(c.word, "=")
	switch {
	case open != nil:
		return beginning(c.word, c.values(open))
	case !only && whole && c.flag(name) != nil: // bash completes what is behind the "="
		return beginning(value, c.values(c.flag(name)))
	case !only && strings.HasPrefix(c.word, "-"):
		return beginning(c.word, c.flagNames())
	}
	return beginning(c.word, c.positions())
}

func (c *completion) set(f *pflag.Flag, value string) {
	if f.Name == "dir" {
		c.dir = value
	}
}

func (c *completion) flag(name string) *pflag.Flag {
	if c.page.flags == nil {
		return nil
	}
	if long, ok := strings.CutPrefix(name, "--"); ok {
		return c.page.flags.Lookup(long)
	}
	if len(name) == 2 {
		return c.page.flags.ShorthandLookup(name[1:])
	}
	return nil
}

func (c *completion) flagNames() []string {
	all := []string{"--help"}
	if c.page.flags != nil {
		c.page.flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				all = append(all, "--"+f.Name)
			}
		})
	}
	return all
}

// values returns the values of a flag, which its name tells.
func (c *completion) values(f *pflag.Flag) []string {
	switch f.Name {
	case "profile", "cluster":
		return profile.ProfileNames()
	case "node":
		return c.nodes()
	case "on":
		return append(boards.Names(), "host")
	case "mac":
		return c.phones()
	case "model":
		return models
	case "enter":
		return []string{"cr", "lf", "crlf"}
	case "listen", "tftp", "tvs", "rfc2217", "http":
		return nil
	}
	return []string{filesToo}
}

// positions returns what may stand at the place of an argument.
func (c *completion) positions() []string {
	n := len(c.args)
	first := func(list []string) []string {
		if n > 0 {
			return nil
		}
		return list
	}
	if len(c.page.subs) > 0 && n == 0 {
		return names(c.page.subs)
	}
	switch c.page.path {
	case "help":
		if n == 0 {
			return append(names(commands()), topicNames()...)
		}
		return names(subcommands(c.args[0]))
	case "completion":
		return first([]string{"bash", "zsh", "fish"})
	case "image", "qemu", "flash":
		return first(append(boards.Names(), filesToo))
	case "scenario run":
		return append(scenario.Names(), "all", filesToo)
	case "console":
		return first(append(targetNames(), filesToo))
	case "admin":
		_, choices := admin.Complete(strings.Join(append(slices.Clone(c.args), c.word), " "))
		return choices
	case "cluster phone":
		return c.byPlace([]string{"add", "remove"}, c.phones(), models)
	case "cluster set":
		return c.byPlace(c.phones())
	case "cluster encrypt":
		return c.byPlace(c.phones(), []string{"none", filesToo})
	case "cluster fault":
		return c.byPlace(c.nodes(), []string{"tftp", "tvs", "sip", "tomcat"}, nil)
	case "cluster clock":
		return first([]string{"+5m", "+36h", "+2d"})
	}
	if c.page.args == "" || c.page.flags == nil {
		return nil
	}
	return []string{filesToo}
}

func (c *completion) byPlace(lists ...[]string) []string {
	if len(c.args) < len(lists) {
		return lists[len(c.args)]
	}
	return nil
}

// beginning returns what begins with a word, and the sign for files.
func beginning(word string, all []string) (some []string) {
	for _, s := range all {
		if s == filesToo || strings.HasPrefix(s, word) {
			some = append(some, s)
		}
	}
	return some
}

// nodes and phones are those of the cluster that the line speaks of; none where there is
// none, or where it cannot be read.
func (c *completion) nodes() (all []string) {
	c.cluster(func(k *cluster.Cluster) {
		for _, n := range k.Nodes() {
			all = append(all, n.Name())
		}
	})
	return all
}

func (c *completion) phones() (all []string) {
	c.cluster(func(k *cluster.Cluster) {
		for _, p := range k.State().Phones {
			all = append(all, p.MAC)
		}
	})
	return all
}

func (c *completion) cluster(read func(*cluster.Cluster)) {
	if store.Exists(c.dir) != nil {
		return
	}
	k, err := cluster.Open(cluster.Options{Dir: c.dir})
	if err != nil {
		return
	}
	defer k.Close()
	read(k)
}

func targetNames() []string {
	all, err := targets.Read(targets.Default())
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(all))
}
