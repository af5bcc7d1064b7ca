package uboot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	variableLine = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.+-]*)=(.*)$`)
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
	// plain is what a value may have: it stands between single quotes.
	plain = regexp.MustCompile(`^[ -&(-\[\]-~]*$`)
)

// maxVariables bounds what is read of an environment.
const maxVariables = 4096

// Environment reads the variables in force.
func (l *Loader) Environment(ctx context.Context) (map[string]string, error) {
	out, err := l.Run(ctx, 2*answer, "printenv")
	if err != nil {
		return nil, err
	}
	return ParseEnvironment(out), nil
}

// ParseEnvironment reads the output of printenv. A value of several lines is joined.
func ParseEnvironment(out string) map[string]string {
	env, last := make(map[string]string), ""
	for line := range strings.Lines(strings.ReplaceAll(out, "\r", "")) {
		line = strings.TrimSuffix(line, "\n")
		g := variableLine.FindStringSubmatch(line)
		switch {
		case g != nil && len(env) < maxVariables:
			env[g[1]], last = g[2], g[1]
		case line == "" || strings.HasPrefix(line, "Environment size: "):
			last = ""
		case last != "":
			env[last] += "\n" + line
		}
	}
	return env
}

// pieceSize bounds what of a value is typed in one line: loaders with lines of 256
// characters are common.
const pieceSize = 120

// SetCommands returns the commands that set a variable, or delete it where the value is
// "". A long value is put together from pieces.
func SetCommands(name, value string) ([]string, error) {
	switch {
	case !variableName.MatchString(name):
		return nil, fmt.Errorf("invalid variable %q", name)
	case !plain.MatchString(value):
		return nil, fmt.Errorf("%s: a value with a quote, a backslash or a character that is not ASCII cannot be set", name)
	case value == "":
		return []string{"setenv " + name}, nil
	case len(value) <= pieceSize:
		return []string{fmt.Sprintf("setenv %s '%s'", name, value)}, nil
	}
	commands := []string{fmt.Sprintf("setenv %s '%s'", name, value[:pieceSize])}
	for rest := value[pieceSize:]; rest != ""; {
		piece := rest[:min(len(rest), pieceSize)]
		rest = rest[len(piece):]
		commands = append(commands, fmt.Sprintf("setenv itlpiece '%s'", piece), fmt.Sprintf(`setenv %s "${%s}${itlpiece}"`, name, name))
	}
	return append(commands, "setenv itlpiece"), nil
}

// Set sets a variable, or deletes it where the value is "".
func (l *Loader) Set(ctx context.Context, name, value string) error {
	commands, err := SetCommands(name, value)
	if err != nil {
		return err
	}
	for _, c := range commands {
		if _, err := l.Run(ctx, answer, c); err != nil && (value != "" || !errors.Is(err, ErrResult)) {
			return err
		}
	}
	return nil
}

// Difference lists in what one environment differs from what is wanted, a line each.
// Variables that are not wanted do not count.
func Difference(have, want map[string]string) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have[name] != want[name] {
			lines = append(lines, fmt.Sprintf("%s: %q -> %q", name, have[name], want[name]))
		}
	}
	return lines
}

// Save writes the environment. Its success is what the loader says; only a reset proves
// it.
func (l *Loader) Save(ctx context.Context) error {
	_, err := l.Run(ctx, time.Minute, "saveenv")
	return err
}
