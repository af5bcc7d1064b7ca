package qemu

import (
	"io"

	"itlagent/tools/expect"
)

// NewExpect drives a console, with the failures of systems armed.
func NewExpect(console io.ReadWriter) *expect.Expect {
	e := expect.New(console)
	e.Arm(expect.System)
	return e
}
