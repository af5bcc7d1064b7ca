package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// find returns the command of a name, or an error whose hint is what may have been meant.
func find(all []command, name string) (command, error) {
	if i := slices.IndexFunc(all, func(c command) bool { return c.name == name }); i >= 0 {
		return all[i], nil
	}
	return command{}, noneNamed("command", name, names(all))
}

// noneNamed says that there is no thing of a name, and which may have been meant.
func noneNamed(thing, name string, all []string) error {
	err := fmt.Errorf("no %s %.60q", thing, name)
	if close := near(name, all); close != "" {
		return hinted{err, "did you mean " + close + "?"}
	}
	return hinted{err, "there are: " + strings.Join(all, ", ")}
}

func names(all []command) (list []string) {
	for _, c := range all {
		list = append(list, c.name)
	}
	return list
}

func namesOf(all []command) string { return strings.Join(names(all), ", ") }

// seeHelp is the hint where a command line is not complete.
func seeHelp(name string) string {
	return "itlbench help " + name + " shows usage, flags and an example"
}

// nearFlag adds to the error of a flag that does not exist which may have been meant.
func nearFlag(f *pflag.FlagSet, err error) error {
	var none *pflag.NotExistError
	if !errors.As(err, &none) {
		return hinted{err, seeHelp(f.Name())}
	}
	var all []string
	f.VisitAll(func(g *pflag.Flag) { all = append(all, g.Name) })
	if close := near(none.GetSpecifiedName(), all); close != "" {
		return hinted{err, "did you mean --" + close + "?"}
	}
	return hinted{err, seeHelp(f.Name())}
}

// near returns the only name that is at most two slips away, or that begins with what was
// typed; "" where none or several are as near.
func near(typed string, all []string) string {
	const maxTyped = 40 // runes: longer words are no slips
	if n := len([]rune(typed)); n < 2 || n > maxTyped {
		return ""
	}
	best, found := 3, ""
	for _, name := range all {
		d := slips(strings.ToLower(typed), name)
		if strings.HasPrefix(name, typed) {
			d = 0
		}
		switch {
		case d >= len([]rune(name)): // nothing of it is left
		case d < best:
			best, found = d, name
		case d == best:
			found = ""
		}
	}
	return found
}

// slips counts the letters that are wrong, missing or too many, and neighbours that are
// exchanged: the optimal string alignment distance.
func slips(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range y {
		d[0][j+1] = j + 1
	}
	for i := range x {
		for j := range y {
			wrong := 1
			if x[i] == y[j] {
				wrong = 0
			}
			d[i+1][j+1] = min(d[i][j]+wrong, d[i][j+1]+1, d[i+1][j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d[i+1][j+1] = min(d[i+1][j+1], d[i-1][j-1]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
