package console

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

// Attach returns a console on a process's own input and output, until the context
// ends: a Terminal in raw mode where the input is a terminal, which leave gives back
// as it was, else a Plain. What is asked then ends with the context's error; leave
// must be called in any case.
func Attach(ctx context.Context, in io.Reader, out io.Writer, prompt string, complete Completer) (c Console, tty bool, leave func(), err error) {
	f, ok := in.(*os.File)
	if !ok {
		return NewPlain(in, out), false, func() {}, nil
	}
	input, err := newInput(ctx, f)
	if err != nil {
		return nil, false, nil, err
	}
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return NewPlain(input, out), false, input.close, nil
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		input.close()
		return nil, false, nil, err
	}
	t := NewTerminal(struct {
		io.Reader
		io.Writer
	}{input, out}, prompt, complete)
	t.flush = input.flush
	if w, h, err := term.GetSize(fd); err == nil {
		t.SetSize(w, h)
	}
	return t, true, func() {
		term.Restore(fd, old)
		input.close()
	}, nil
}
