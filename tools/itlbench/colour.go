package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// colour reports whether what is written to w may be coloured: it is a terminal, and the
// user has not said otherwise (no-color.org).
func colour(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
