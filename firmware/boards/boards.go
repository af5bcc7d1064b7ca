// Package boards holds the descriptions of the boards that are known.
//
//	b, err := boards.Load("qemu-arm")
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

// Names lists the boards.
func Names() (names []string) {
	list, err := fs.Glob(files, "*.yaml")
	if err != nil {
		panic(err) // the pattern is sound
	}
	for _, f := range list {
		names = append(names, strings.TrimSuffix(f, ".yaml"))
	}
	return names
}

// Load returns a board.
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
