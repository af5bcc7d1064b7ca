package flasher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pin/tftp/v3"

	"itlagent/tools/expect"
	"itlagent/tools/kermit"
	"itlagent/tools/uboot"
	"itlagent/tools/xymodem"
)

// Errors of transfers.
var (
	ErrTransfer = errors.New("the transfer is broken")
	ErrTFTP     = errors.New("the board fetches nothing by TFTP")
)

// Addresses are those of a transfer over the network, as the board sees them.
type Addresses struct {
	Board, Mask, Gateway, Server string
	Port                         int // of the server; 0 where it is 69, and the loader is not told
}

func (a Addresses) variables() map[string]string {
	v := map[string]string{"ipaddr": a.Board, "serverip": a.Server, "netmask": a.Mask, "gatewayip": a.Gateway, "autoload": "no"}
	if a.Port != 0 {
		v["tftpdstp"] = fmt.Sprint(a.Port)
	}
	for name, value := range v {
		if value == "" {
			delete(v, name)
		}
	}
	return v
}

// TFTP serves what a board fetches.
type TFTP struct {
	Addresses
	server *tftp.Server
	conn   net.PacketConn
	ended  chan struct{}

	mu    sync.Mutex
	files map[string][]byte
}

// NewTFTP serves on a UDP address, such as "127.0.0.1:0". Close ends it.
func NewTFTP(listen string, a Addresses) (*TFTP, error) {
	conn, err := net.ListenPacket("udp4", listen)
	if err != nil {
		return nil, err
	}
	t := &TFTP{Addresses: a, conn: conn, ended: make(chan struct{}), files: make(map[string][]byte)}
	const timeout, retries = 2 * time.Second, 5
	t.server = tftp.NewServer(t.read, nil)
	t.server.SetTimeout(timeout)
	t.server.SetRetries(retries)
	t.server.SetBlockSizeNegotiation(false) // the board says what fits
	go func() {
		defer close(t.ended)
		t.server.Serve(conn.(*net.UDPConn)) // which ends with Shutdown
	}()
	if a.Port < 0 {
		t.Port = conn.LocalAddr().(*net.UDPAddr).Port
	}
	return t, nil
}

// Close ends the server.
func (t *TFTP) Close() {
	t.server.Shutdown()
	t.conn.Close()
	<-t.ended
}

func (t *TFTP) read(name string, to io.ReaderFrom) error {
	t.mu.Lock()
	data, ok := t.files[name]
	t.mu.Unlock()
	if !ok {
		return os.ErrNotExist
	}
	if sized, ok := to.(tftp.OutgoingTransfer); ok {
		sized.SetSize(int64(len(data)))
	}
	_, err := to.ReadFrom(bytes.NewReader(data))
	return err
}

// Setup implements Transfer.
func (t *TFTP) Setup() map[string]string { return t.variables() }

// Command implements Transfer.
func (t *TFTP) Command(name string, at uint64) string { return fmt.Sprintf("tftpboot %x %s", at, name) }

// Fetch implements Transfer.
func (t *TFTP) Fetch(ctx context.Context, l *uboot.Loader, name string, data []byte, at uint64) error {
	t.mu.Lock()
	t.files[name] = data
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.files, name)
		t.mu.Unlock()
	}()
	return fetchTFTP(ctx, l, t.Command(name, at))
}

// fetchTFTP runs tftpboot. A loader tries for minutes; one that has nothing after this
// time gets nothing.
func fetchTFTP(ctx context.Context, l *uboot.Loader, command string) error {
	const limit = time.Minute
	_, err := l.Run(ctx, limit, command)
	if errors.Is(err, expect.ErrSilent) || errors.Is(err, uboot.ErrResult) {
		return fmt.Errorf("%w: %w", ErrTFTP, err)
	}
	return err
}

// Folder is a TFTP server of somebody else, which serves a folder.
type Folder struct {
	Addresses
	Dir string
}

// Setup implements Transfer.
func (f Folder) Setup() map[string]string { return f.variables() }

// Command implements Transfer.
func (f Folder) Command(name string, at uint64) string {
	return fmt.Sprintf("tftpboot %x %s", at, name)
}

// Fetch implements Transfer.
func (f Folder) Fetch(ctx context.Context, l *uboot.Loader, name string, data []byte, at uint64) error {
	path := filepath.Join(f.Dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	defer os.Remove(path)
	return fetchTFTP(ctx, l, f.Command(name, at))
}

// Protocol is how a file is sent over the console: "ymodem", "xmodem" or "kermit".
type Protocol string

// The protocols, and the loader's commands that receive by them.
const (
	YMODEM Protocol = "ymodem"
	XMODEM Protocol = "xmodem"
	Kermit Protocol = "kermit"
)

var receivers = map[Protocol]string{YMODEM: "loady", XMODEM: "loadx", Kermit: "loadb"}

// Protocols returns the names of all protocols, sorted.
func Protocols() []Protocol { return slices.Sorted(maps.Keys(receivers)) }

// Serial sends over the console itself. It uses the console alone until a file is there.
type Serial struct {
	Protocol Protocol
	Baud     int                                // 0 leaves the rate as it is
	SetBaud  func(baud int) error               // of this end; 0 is the console's own
	Progress func(name string, done, total int) // may be nil
}

// Setup implements Transfer.
func (Serial) Setup() map[string]string { return nil }

// Command implements Transfer.
func (s Serial) Command(_ string, at uint64) string {
	command := fmt.Sprintf("%s %x", receivers[s.Protocol], at)
	if s.Baud != 0 {
		command += fmt.Sprintf(" %d", s.Baud)
	}
	return command
}

var (
	ready     = regexp.MustCompile(`(?s)^.*## Ready for binary[^\r\n]*\r?\n`)
	faster    = regexp.MustCompile(`(?s)^.*## Switch baudrate to [^\r\n]*ENTER[^\r\n]*\r?\n`)
	slower    = regexp.MustCompile(`(?s)^.*## Switch baudrate to [^\r\n]*ESC[^\r\n]*\r?\n`)
	noCommand = regexp.MustCompile(`(?s)^.*Unknown command '[^\r\n]*\r?\n`)
)

// Fetch implements Transfer.
func (s Serial) Fetch(ctx context.Context, l *uboot.Loader, name string, data []byte, at uint64) error {
	command := s.Command(name, at)
	mark, err := l.Enter(ctx, command)
	if err != nil {
		return err
	}
	e := l.Console()
	if err := s.ready(ctx, l, command); err != nil {
		return err
	}
	if err := s.send(ctx, e, name, data); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrTransfer, name, err)
	}
	if s.Baud != 0 {
		if _, _, err := e.Wait(ctx, quick, slower); err != nil {
			return err
		}
		if err := s.rate(0); err != nil {
			return err
		}
		_, err = l.EndByKey(ctx, quick, command, mark, "\x1b")
		return err
	}
	_, err = l.End(ctx, quick, command, mark)
	return err
}

func (s Serial) send(ctx context.Context, e *expect.Expect, name string, data []byte) error {
	var progress func(done, total int)
	if s.Progress != nil {
		progress = func(done, total int) { s.Progress(name, done, total) }
	}
	if s.Protocol == Kermit {
		return kermit.Send(ctx, e, kermit.File{Name: name, Data: data}, kermit.Options{Progress: progress})
	}
	kind := xymodem.YMODEM
	if s.Protocol == XMODEM {
		kind = xymodem.XMODEM
	}
	return xymodem.Send(ctx, e, xymodem.File{Name: name, Data: data}, xymodem.Options{Kind: kind, Progress: progress})
}

// ready waits until the loader takes a file, at the rate that was asked for.
func (s Serial) ready(ctx context.Context, l *uboot.Loader, command string) error {
	key := ""
	for {
		n, _, err := l.Press(ctx, quick, key, ready, faster, noCommand)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", command, err)
		case n == 0:
			return nil
		case n == 2:
			return fmt.Errorf("%w: %s", uboot.ErrNoCommand, strings.Fields(command)[0])
		}
		if err := s.rate(s.Baud); err != nil {
			return err
		}
		key = "\r"
	}
}

// rate changes the rate of this end.
func (s Serial) rate(baud int) error {
	if s.SetBaud == nil {
		return errors.New("this line has no rates")
	}
	return s.SetBaud(baud)
}
