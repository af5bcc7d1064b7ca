package console

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Attach returns a console on a process's own input and output: a Terminal in raw
// mode where the input is a terminal, which leave gives back as it was, else a Plain.
func Attach(in io.Reader, out io.Writer, prompt string, complete Completer) (c Console, tty bool, leave func(), err error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return NewPlain(in, out), false, func() {}, nil
	}
	fd := int(f.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, false, nil, err
	}
	t := NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, prompt, complete)
	if w, h, err := term.GetSize(fd); err == nil {
		t.SetSize(w, h)
	}
	return t, true, func() { term.Restore(fd, old) }, nil
}
