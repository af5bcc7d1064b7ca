// Package boards has the descriptions of the built-in boards, a YAML file each.
//
//	b, err := boards.Load("qemu-arm")
//
// Its functions are safe for concurrent use. docs/porting.md lists the keys.
package boards

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"itlagent/platform/board"
)

//go:embed *.yaml
var files embed.FS

// Names lists the boards in alphabetical order.
func Names() (names []string) {
	list, err := fs.Glob(files, "*.yaml")
	if err != nil {
		panic(err) // the pattern is valid
	}
	for _, f := range list {
		names = append(names, strings.TrimSuffix(f, ".yaml"))
	}
	return names
}

// Load returns a board; an unknown name is an error that lists the known ones.
func Load(name string) (*board.Board, error) {
	data, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no board %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	b, err := board.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s.yaml: %w", name, err)
	}
	if b.Name != name {
		return nil, fmt.Errorf("%s.yaml: its name is %q", name, b.Name)
	}
	return b, nil
}
