// Package power switches a board's power: by a command of the engineer's, for relays
// and power strips, or as QEMU does.
//
//	supply, err := power.Parse("relay 3")      // runs: relay 3 on, relay 3 off, relay 3 cycle
//	supply, err := power.Parse("qmp:/run/qmp") // QEMU's control socket
//	err = supply.Switch(ctx, power.Cycle)
//
// A Supply is safe for concurrent use as far as what it runs is.
package power

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"itlagent/agent/printable"
	"itlagent/platform/shellcmd"
)

// Action is what to do with the power.
type Action string

// The actions. Cycle is off, a moment, and on.
const (
	On    Action = "on"
	Off   Action = "off"
	Cycle Action = "cycle"
)

// limit is how long an action may take: power strips wait between off and on.
const limit = time.Minute

// Supply switches the power of one board.
type Supply interface {
	Switch(ctx context.Context, a Action) error
}

// Parse reads "qmp:SOCKET", or a command, which a shell runs with the action behind it.
func Parse(text string) (Supply, error) {
	if socket, ok := strings.CutPrefix(text, "qmp:"); ok && socket != "" {
		return qmp(socket), nil
	}
	if strings.TrimSpace(text) == "" || strings.ContainsAny(text, "\n\x00") {
		return nil, fmt.Errorf("invalid power command %q: want a command or qmp:SOCKET", text)
	}
	return command(text), nil
}

// ErrSwitch says that the power was not switched.
var ErrSwitch = errors.New("the power was not switched")

// command is a command of the engineer's own.
type command string

// Switch implements Supply. An error has the last line that the command said. What the
// command leaves running in the background, as an emulator, may keep its output open.
func (c command) Switch(ctx context.Context, a Action) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := shellcmd.New(ctx, string(c)+" "+string(a))
	out := &last{}
	cmd.Stdout, cmd.Stderr = out, out
	began := time.Now()
	err := cmd.Run()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it has not ended after %v: %w", time.Since(began).Round(10*time.Millisecond), ctx.Err())
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if said := lines[len(lines)-1]; said != "" {
		err = fmt.Errorf("%w: %s", err, printable.Clip(said, 200))
	}
	return fmt.Errorf("power %s: %w: %q: %w", a, ErrSwitch, string(c), err)
}

// last keeps the end of what is written.
type last struct {
	mu sync.Mutex
	b  []byte
}

func (l *last) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

func (l *last) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 4096
	l.b = append(l.b, b...)
	if n := len(l.b) - most; n > 0 {
		l.b = append(l.b[:0], l.b[n:]...)
	}
	return len(b), nil
}

// qmp is the control socket of a QEMU (its manual, "QEMU Machine Protocol"). An emulated
// board that is off is one that is reset and stands still.
type qmp string

// Switch implements Supply.
func (q qmp) Switch(ctx context.Context, a Action) error {
	commands, ok := map[Action][]string{On: {"cont"}, Off: {"stop", "system_reset"}, Cycle: {"system_reset", "cont"}}[a]
	if !ok {
		return fmt.Errorf("power: unknown action %q", string(a))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var err error
	for range qmpTries { // QEMU serves one program at a time, and drops those that are quick
		var began bool
		if began, err = q.session(ctx, commands); err == nil || began || !busy(err) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(qmpPause):
		}
	}
	if err != nil {
		return fmt.Errorf("power %s: %w: QEMU: %w", a, ErrSwitch, err)
	}
	return nil
}

const (
	qmpTries = 50
	qmpPause = 20 * time.Millisecond
)

// busy says whether QEMU may answer soon.
func busy(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

// session carries commands out. It says whether they have begun.
func (q qmp) session(ctx context.Context, commands []string) (began bool, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", string(q))
	if err != nil {
		return false, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	const most = 1 << 20 // bytes of answers and events
	answers := bufio.NewReader(io.LimitReader(conn, most))
	if _, err := answers.ReadSlice('\n'); err != nil {
		return false, err
	}
	for i, c := range append([]string{"qmp_capabilities"}, commands...) {
		if err := qmpDo(conn, answers, c); err != nil {
			return i > 0, fmt.Errorf("%s: %w", c, err)
		}
	}
	return true, nil
}

func qmpDo(w io.Writer, answers *bufio.Reader, command string) error {
	if _, err := fmt.Fprintf(w, "{\"execute\": %q}\n", command); err != nil {
		return err
	}
	for {
		line, err := answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(bytes.TrimSpace(line), &answer); err != nil {
			return fmt.Errorf("its answer: %w", err)
		}
		switch {
		case answer.Error != nil:
			return errors.New(printable.Clip(answer.Error.Desc, 200))
		case answer.Return != nil:
			return nil
		} // else an event
	}
}
