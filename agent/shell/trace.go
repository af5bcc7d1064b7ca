package shell

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"itlagent/agent/printable"
)

func (s *Shell) trace(on bool) error {
	if s.opts.Trace == nil {
		return errNone
	}
	if on {
		s.opts.Trace.To(watched{s, accessOf(s.phone)})
	} else {
		s.opts.Trace.To(nil)
	}
	return nil
}

// Trace is a log that a shell can show, in the form of the phone's own console
// lines. The zero value shows nothing. It is safe for concurrent use.
type Trace struct {
	Line func(n int, text string) string // as model.Trace writes it

	mu sync.Mutex
	n  int
	to io.Writer
}

// To shows the log on a writer from now on; nil shows it no more.
func (t *Trace) To(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.to = w
}

// Logf adds a line.
func (t *Trace) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	if t.to == nil {
		return
	}
	text := printable.Text(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
	if t.Line != nil {
		text = t.Line(t.n, text)
	}
	fmt.Fprintln(t.to, text)
}
