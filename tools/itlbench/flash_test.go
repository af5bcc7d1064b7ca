package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"itlagent/tools/expect"
	"itlagent/tools/flasher"
	"itlagent/tools/uboot"
)

// What ends a flash is one line with a hint, and the code of broken surroundings.
func TestFlashFailed(t *testing.T) {
	for _, c := range []struct {
		err        error
		want, hint string
	}{
		{&expect.Error{Kind: expect.ErrOff, What: "the board is off (vanished)", Last: "one\ntwo\x1b[2J"}, "the board is off (vanished)", "turn it on"},
		{fmt.Errorf("kernel: %w", flasher.ErrTFTP), "fetches nothing by TFTP", "--over ymodem"},
		{fmt.Errorf("%w: silent", uboot.ErrNoPrompt), "prompt does not come", "turn the board off and on"},
		{&fs.PathError{Op: "open", Path: "/dev/ttyUSB0", Err: os.ErrPermission}, "permission denied", "dialout"},
		{errors.New("unknown\x1b[2J"), "unknown", ""},
	} {
		var stderr bytes.Buffer
		code := (&env{stderr: &stderr}).flashFailed(t.Context(), c.err)
		line := stderr.String()
		if code != exitInfra || strings.Count(line, "\n") != 1 || strings.Contains(line, "\x1b") || !strings.Contains(line, c.want) || !strings.Contains(line, c.hint) {
			t.Errorf("%v: code %d, %q", c.err, code, line)
		}
	}
}
