// Package qemu runs an emulated board: its serial console on a socket, logged from
// the first byte; its flash in a file; its power under control.
//
//	m, err := qemu.Start(ctx, board, qemu.Options{Dir: "out", Phone: []string{"-mac", "..."}})
//	defer m.Kill()
//	io.Copy(os.Stdout, m.Console)
//
// Kill is a power cut, PowerOff an orderly end of the emulator. A Machine is not safe
// for concurrent use, except Kill, Done and Err. Source: QEMU's manual, sections
// Invocation and QMP.
package qemu

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"itlagent/firmware/image"
	"itlagent/platform/board"
)

// Options says how a board is run.
type Options struct {
	Dir    string   // of the image, with the flash
	Phone  []string // arguments of the device program; not for a board with a boot loader
	TFTP   string   // folder that the emulator's own TFTP server serves; "" for none
	Memory int      // MiB; that of the board where 0
	// Reboots lets a reset start the board again. Without it a reset, be it of the
	// kernel or of the watchdog, ends the emulator.
	Reboots bool
}

// Machine is a running board.
type Machine struct {
	Console io.ReadWriteCloser
	cmd     *exec.Cmd
	errors  bytes.Buffer
	done    chan struct{}
	once    sync.Once
	killed  atomic.Bool
	dir     string // of the sockets
}

// complaint is the emulator's standard error, in one line.
func (m *Machine) complaint() string {
	return strings.ReplaceAll(strings.TrimSpace(m.errors.String()), "\n", "; ")
}

// ErrStart says that the emulator did not start, or ended before its console answered.
var ErrStart = errors.New("the emulator did not start")

// SerialLog is the file in the image's folder with all output of the console.
const SerialLog = "serial.log"

// userNetwork is the network of the emulated boards, in their descriptions.
const userNetwork = "user,id=n0"

// The sockets of a machine: of its console, and of QMP, the emulator's own protocol.
const (
	serialSocket = "serial"
	qmpSocket    = "qmp"
)

// Command returns the emulator's command line. sockets is the folder of its sockets.
func Command(b *board.Board, o Options, sockets string) []string {
	memory := o.Memory
	if memory == 0 {
		memory = b.Memory
	}
	q := b.QEMU
	flash := filepath.Join(o.Dir, image.FlashFile)
	args := append([]string{q.Program}, q.Args...)
	if i := slices.Index(args, userNetwork); i >= 0 && o.TFTP != "" {
		args[i] += ",tftp=" + o.TFTP
	}
	args = append(args, "-m", strconv.Itoa(memory), "-display", "none", "-monitor", "none",
		"-chardev", "socket,id=serial,path="+filepath.Join(sockets, serialSocket)+",server=on,wait=on,logfile="+filepath.Join(o.Dir, SerialLog)+",logappend=on",
		"-serial", "chardev:serial", "-qmp", "unix:"+filepath.Join(sockets, qmpSocket)+",server=on,wait=off")
	if q.FlashArg != "" {
		args = append(args, "-drive", strings.ReplaceAll(q.FlashArg, "{file}", flash))
	}
	if q.UBoot == "" {
		args = append(args, "-kernel", filepath.Join(o.Dir, image.KernelFile), "-initrd", filepath.Join(o.Dir, image.InitramfsFile),
			"-append", strings.Join(append([]string{b.CommandLine(), "--"}, o.Phone...), " "))
	}
	for _, arg := range q.UBootArgs {
		args = append(args, strings.ReplaceAll(arg, "{file}", filepath.Join(o.Dir, image.UBootFile)))
	}
	if !o.Reboots {
		args = append(args, "-no-reboot")
	}
	return args
}

// Check reports an emulator that is missing or too old.
func Check(b *board.Board) error {
	if b.QEMU == nil {
		return fmt.Errorf("board %s is not an emulated one", b.Name)
	}
	out, err := exec.Command(b.QEMU.Program, "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not installed: make deps, or the package qemu-system-%s", b.QEMU.Program, map[bool]string{true: "arm", false: "mips"}[b.Arch == "arm"])
	}
	if err != nil {
		return fmt.Errorf("%s --version: %w", b.QEMU.Program, err)
	}
	have := regexp.MustCompile(`version (\d+)\.(\d+)`).FindSubmatch(out)
	want := strings.SplitN(b.QEMU.Minimum, ".", 2)
	if have == nil || len(want) != 2 {
		return fmt.Errorf("%s: unknown version %.60q", b.QEMU.Program, out)
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	if a, w := number(string(have[1])), number(want[0]); a < w || a == w && number(string(have[2])) < number(want[1]) {
		return fmt.Errorf("%s is version %s.%s, at least %s is needed", b.QEMU.Program, have[1], have[2], b.QEMU.Minimum)
	}
	return nil
}

// checkFiles reports files that are missing, and a flash of the wrong size.
func checkFiles(b *board.Board, dir string) error {
	names := []string{image.KernelFile, image.InitramfsFile, image.FlashFile}
	switch {
	case len(b.QEMU.UBootArgs) > 0:
		names = []string{image.UBootFile, image.FlashFile}
	case b.QEMU.UBoot != "":
		names = []string{image.FlashFile}
	}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("%s is missing in %s: itlbench image %s makes it", name, dir, b.Name)
		}
		if want, err := board.Size(b.QEMU.FlashSize); name == image.FlashFile && (err != nil || info.Size() != want) {
			return fmt.Errorf("%s has %d bytes, the board's flash has %d", filepath.Join(dir, name), info.Size(), want)
		}
	}
	return nil
}

// prepareLog makes the console's log, mode 0600: what is typed is in it.
func prepareLog(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, SerialLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// Start starts a board and connects to its console. When the context ends the
// board's power is cut.
func Start(ctx context.Context, b *board.Board, o Options) (*Machine, error) {
	if err := Check(b); err != nil {
		return nil, err
	}
	if err := checkFiles(b, o.Dir); err != nil {
		return nil, err
	}
	if err := prepareLog(o.Dir); err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp("", "itlq") // the path of a socket is short
	if err != nil {
		return nil, err
	}
	m := &Machine{done: make(chan struct{}), dir: sockets}
	args := Command(b, o, sockets)
	m.cmd = exec.Command(args[0], args[1:]...)
	m.cmd.Stderr = &m.errors
	m.cmd.SysProcAttr = childAttributes()
	if err := m.cmd.Start(); err != nil {
		os.RemoveAll(sockets)
		return nil, fmt.Errorf("%w: %v", ErrStart, err)
	}
	go func() {
		m.cmd.Wait()
		close(m.done)
	}()
	context.AfterFunc(ctx, m.Kill)
	const wait = 20 * time.Second
	for deadline := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", filepath.Join(sockets, serialSocket))
		if err == nil {
			m.Console = conn
			return m, nil
		}
		select {
		case <-m.done:
			os.RemoveAll(sockets)
			return nil, fmt.Errorf("%w: %s", ErrStart, m.complaint())
		default:
		}
		if time.Now().After(deadline) {
			m.Kill()
			return nil, fmt.Errorf("%w: its console does not answer", ErrStart)
		}
	}
}

// Kill cuts the power and waits until the emulator is gone.
func (m *Machine) Kill() {
	m.once.Do(func() {
		m.killed.Store(true)
		m.cmd.Process.Kill()
		<-m.done
		if m.Console != nil {
			m.Console.Close()
		}
		os.RemoveAll(m.dir)
	})
}

// PowerOff tells the emulator to end, which writes the flash's file out, and waits
// until it is gone. An emulator that does not obey within 5 s is killed.
func (m *Machine) PowerOff() {
	defer m.Kill()
	conn, err := net.Dial("unix", filepath.Join(m.dir, qmpSocket))
	if err != nil {
		return
	}
	defer conn.Close()
	const wait = 5 * time.Second
	conn.SetDeadline(time.Now().Add(wait))
	in := bufio.NewReader(conn)
	for _, command := range []string{"", "qmp_capabilities", "quit"} { // it greets first
		if command != "" {
			if _, err := fmt.Fprintf(conn, "{\"execute\": %q}\n", command); err != nil {
				return
			}
		}
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
	}
	m.killed.Store(true)
	select {
	case <-m.done:
	case <-time.After(wait):
	}
}

// Err returns the emulator's error if it has ended by itself with one; nil after an
// orderly power-off, a reset, or Kill.
func (m *Machine) Err() error {
	select {
	case <-m.done:
	default:
		return nil
	}
	if m.cmd.ProcessState.Success() || m.killed.Load() {
		return nil
	}
	return fmt.Errorf("the emulator died (%v): %s", m.cmd.ProcessState, m.complaint())
}

// Done is closed when the emulator has ended, by Kill or by itself.
func (m *Machine) Done() <-chan struct{} { return m.done }
