package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/platform/serial"
	"itlagent/platform/serial/rfc2217"
	"itlagent/platform/serial/serialtest"
)

const patience = time.Minute // against hanging alone

// start starts a broker on a wire, with a socket for clients.
func start(t *testing.T, f serialtest.Faults) (*serialtest.Wire, *Broker, string) {
	t.Helper()
	wire := serialtest.New(t, f)
	name := filepath.Join(t.TempDir(), "log")
	b, err := Start(t.Context(), Options{Name: "wire", Open: wire.Open, Log: name, Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(l)
	return wire, b, l.Addr().String()
}

func join(t *testing.T, socket, name string) *Client {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Join(conn, name, Backlog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing came of the wait for %s", what)
		}
	}
}

// screen collects what a client reads.
type screen struct {
	mu sync.Mutex
	b  []byte
}

func show(c *Client) *screen {
	s := new(screen)
	go io.Copy(s, c)
	return s
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, b...)
	return len(b), nil
}

func (s *screen) has(text string) func() bool {
	return func() bool { s.mu.Lock(); defer s.mu.Unlock(); return bytes.Contains(s.b, []byte(text)) }
}

// event waits for one with a text.
func event(t *testing.T, c *Client, text string) Event {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var seen []string
	for {
		select {
		case e := <-c.Events():
			if strings.Contains(e.Text, text) {
				return e
			}
			seen = append(seen, e.Text)
		case <-timer.C:
			t.Fatalf("no event %q among %q", text, seen)
		}
	}
}

// One writes, two read: each sees what the board answers. The token is taken, asked for,
// forced, freed, and freed by leaving.
func TestOneWriter(t *testing.T) {
	wire, _, socket := start(t, serialtest.Faults{Echo: true})
	go io.Copy(io.Discard, wire.Board)
	a, b := join(t, socket, "ann"), join(t, socket, "ben")
	as, bs := show(a), show(b)
	io.WriteString(a, "why\r")
	until(t, "both to see it", func() bool { return as.has("why\r")() && bs.has("why\r")() })
	event(t, b, "ann writes")
	io.WriteString(b, "no")
	if e := event(t, b, "ann is writing"); !e.Refused {
		t.Error("refused bytes are no refusal")
	}
	if _, err := b.Do("ask"); err == nil {
		t.Error("asking made a second writer")
	}
	event(t, a, "ben asks to write")
	if _, err := a.Do("free"); err != nil {
		t.Error(err)
	}
	event(t, b, "you write now")
	if _, err := a.Do("take"); err == nil {
		t.Error("the token was taken twice")
	}
	if _, err := a.Do("break"); err == nil {
		t.Error("a reader sent a break")
	}
	if _, err := a.Do("force"); err != nil {
		t.Error(err)
	}
	event(t, b, "ann has taken the line away")
	a.Close() // a writer that is gone is no stale owner
	event(t, b, "nobody writes")
	io.WriteString(b, "yes\r")
	until(t, "ben's words", bs.has("yes\r"))
	if bs.has("no")() {
		t.Error("refused bytes were sent")
	}
}

func TestCommands(t *testing.T) {
	wire, _, socket := start(t, serialtest.Faults{})
	c := join(t, socket, "me")
	show(c)
	for command, want := range map[string]string{
		"take": "", "mode 9600,7E1": "", "break": "", "modem dtr=on rts=off": "", "modem": "CTS true, DSR true, DCD true, RI false",
	} {
		if got, err := c.Do(command); err != nil || got != want {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
	if got, err := c.Do("mode"); err != nil || got != "9600,7E1" || wire.Mode().Baud != 9600 || wire.Breaks() != 1 {
		t.Error(got, err, wire.Mode(), wire.Breaks())
	}
	for _, bad := range []string{"", "fly", "mode 1", "modem x"} {
		if got, err := c.Do(bad); err == nil && bad != "" || got != "" {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	// The mode stays when the line comes back.
	wire.Unplug()
	event(t, c, "vanished")
	if _, err := c.Do("there"); err == nil {
		t.Error("a line that is gone is there")
	}
	io.WriteString(c, "x")
	if e := event(t, c, "not sent"); !e.Refused {
		t.Error("bytes for a line that is gone were taken")
	}
	wire.Plug()
	event(t, c, "is back")
	until(t, "the line", func() bool { _, err := c.Do("there"); return err == nil })
	until(t, "the mode", func() bool { return wire.Mode().Baud == 9600 })
}

// A late reader gets the end of what came before, marked as such, and then what comes.
func TestLateReader(t *testing.T) {
	wire, b, socket := start(t, serialtest.Faults{})
	early := strings.Repeat("0123456789abcde\n", Backlog/16+5000)
	wire.Say(t, early)
	until(t, "the log", func() bool { return b.Size() == int64(len(early)) })
	c := join(t, socket, "late")
	got := make([]byte, Backlog)
	for n := 0; n < len(got); {
		m, earlier, err := c.ReadEarlier(got[n:])
		if err != nil || !earlier {
			t.Fatal(n, earlier, err)
		}
		n += m
	}
	if string(got) != early[len(early)-Backlog:] {
		t.Error("other bytes than the last MiB")
	}
	go wire.Say(t, "now")
	if n, earlier, err := c.ReadEarlier(got); n == 0 || earlier || err != nil {
		t.Error(n, earlier, err)
	}
}

// What a board says, 10 MB at full speed, is in the log byte for byte, whatever readers
// do: some stall, vanish and come back, and the line is unplugged five times.
func TestLogIsWhole(t *testing.T) {
	wire, b, socket := start(t, serialtest.Faults{})
	const size, parts = 10_000_000, 6
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	said := make([]byte, size)
	random.Read(said)

	join(t, socket, "stalled") // it never reads
	reader := join(t, socket, "reader")
	sum := make(chan [32]byte, 1)
	go func() {
		h := sha256.New()
		io.CopyN(h, reader, size)
		sum <- [32]byte(h.Sum(nil))
	}()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var joiners sync.WaitGroup
	joined := 0
	joiners.Go(func() { // one after the other comes, reads some, and is gone
		for ctx.Err() == nil {
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Error(err)
				return
			}
			if c, err := Join(conn, "joiner", 5000); err == nil {
				io.CopyN(io.Discard, c, 1000)
				joined++
			}
			conn.Close()
		}
	})
	for i := range parts {
		part := said[size/parts*i : size/parts*(i+1)]
		if i == parts-1 {
			part = said[size/parts*i:]
		}
		if _, err := wire.Board.Write(part); err != nil {
			t.Fatal(err)
		}
		end := int64(size/parts*i + len(part))
		until(t, "the log", func() bool { return b.Size() == end })
		if i < parts-1 {
			wire.Unplug() // what a board says now is lost, so it says nothing
			wire.Plug()
			until(t, "the line to come back", func() bool { return wire.Opened() == i+2 })
		}
	}
	stop()
	select {
	case got := <-sum:
		if got != sha256.Sum256(said) {
			t.Error("a reader saw other bytes")
		}
	case <-time.After(patience):
		t.Fatal("a reader did not get all of it")
	}
	wire.Say(t, strings.Repeat("\n", 1000)) // for the last joiner
	joiners.Wait()
	t.Logf("%d clients came and went", joined)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(b.o.Log)
	if err != nil || !bytes.Equal(got[:size], said) {
		t.Errorf("the log has other bytes (%v)", err)
	}
}

// LOG.times says when each line began, and what happened between.
func TestTimes(t *testing.T) {
	wire := serialtest.New(t, serialtest.Faults{})
	name := filepath.Join(t.TempDir(), "log")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	o := Options{Name: "wire", Open: wire.Open, Log: name, Retry: time.Millisecond, Now: func() time.Time { return at }}
	for range 2 { // the second time, the log is gone on with
		b, err := Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"a\r\nb", "c\n", "\n"} {
			before := b.Size()
			wire.Say(t, text)
			until(t, "the log", func() bool { return b.Size() == before+int64(len(text)) })
		}
		if _, err := Start(t.Context(), Options{Open: serialtest.New(t, serialtest.Faults{}).Open, Log: name}); err == nil || !strings.Contains(err.Error(), "another console") {
			t.Errorf("a log with two writers: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(name)
	if want := "a\r\nbc\n\n"; err != nil || string(text) != want+want {
		t.Errorf("log %q, %v", text, err)
	}
	times, err := os.ReadFile(name + ".times")
	const stamp = "2026-01-02T03:04:05.000006Z"
	want := ""
	for _, offset := range []int{0, 3, 6, 7, 10, 13} {
		want += fmt.Sprintf("%d %s\n", offset, stamp)
	}
	if err != nil || string(times) != want {
		t.Errorf("times:\n%s%v, want:\n%s", times, err, want)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// A log that cannot be written ends the broker, which says why: no byte is lost unsaid.
func TestLogFull(t *testing.T) {
	wire, b, socket := start(t, serialtest.Faults{})
	c := join(t, socket, "me")
	b.log.f.Close()
	go wire.Say(t, "x")
	select {
	case <-b.Done():
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a byte was shown that is not in the log")
	}
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "the log cannot be written") {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	wire := serialtest.New(t, serialtest.Faults{})
	wire.Unplug()
	o := Options{Name: "wire", Open: wire.Open, Log: filepath.Join(t.TempDir(), "log"), Retry: time.Millisecond}
	if _, err := Start(t.Context(), o); !errors.Is(err, serial.ErrVanished) {
		t.Error(err)
	}
	o.Wait = true
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	wire.Plug()
	until(t, "the line", func() bool { return wire.Opened() == 1 })
	until(t, "the log", func() bool { wire.Say(t, "x"); return b.Size() > 0 })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	o.Log = "/dev/null"
	if _, err := Start(t.Context(), o); err == nil {
		t.Error("a device as a log")
	}
	until(t, "the line to be given back", func() bool {
		l, err := wire.Open(t.Context())
		if err == nil {
			l.Close()
		}
		return err == nil
	})
}

// Frames of every kind, cut and wrong, end their client alone.
func TestHostileClients(t *testing.T) {
	wire, b, socket := start(t, serialtest.Faults{Echo: true})
	go io.Copy(io.Discard, wire.Board)
	for _, bytes := range []string{"", "GET / HTTP/1.1\r\n\r\n", "h\x00\x03abc", "h\x00\x031 0", "h\xff\xff1 0 x", "h\x00\x051 0 xd\xff\xffabc", "h\x00\x051 0 xc\x00\x00", "h\x00\x051 0 x\x00\x00\x00z\x00\x01y", "h\x00\x1b1 99999999999999999999999 x"} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, bytes)
		conn.(*net.UnixConn).CloseWrite()
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%q: %v", bytes, err)
		}
		conn.Close()
	}
	until(t, "them to leave", func() bool { return b.Clients() == 0 })
	for range maxClients {
		join(t, socket, "many")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := Join(conn, "one more", 0); err == nil {
		t.Error("more clients than there may be")
	}
}

// RFC 2217's clients read and write as the others do, and set modes as the writer.
func TestRFC2217(t *testing.T) {
	wire, b, socket := start(t, serialtest.Faults{Echo: true})
	go io.Copy(io.Discard, wire.Board)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.ServeRFC2217(l)
	line, err := rfc2217.Dial(t.Context(), l.Addr().String(), serial.Mode{Baud: 9600})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if wire.Mode().Baud != 9600 {
		t.Error(wire.Mode())
	}
	io.WriteString(line, "\xffhi")
	got := make([]byte, 3)
	if _, err := io.ReadFull(line, got); err != nil || string(got) != "\xffhi" {
		t.Errorf("%q, %v", got, err)
	}
	c := join(t, socket, "me")
	cs := show(c)
	until(t, "the backlog", cs.has("\xffhi"))
	if _, err := c.Do("force"); err != nil {
		t.Fatal(err)
	}
	if err := line.SetMode(serial.Mode{Baud: 300}); err == nil || wire.Mode().Baud != 9600 {
		t.Error("a reader set the rate", err, wire.Mode())
	}
}

// Of programs that want the same line, the first owns it, and the next are its clients;
// once it is gone, the next one owns it.
func TestMeet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sockets")
	wire := serialtest.New(t, serialtest.Faults{})
	log := filepath.Join(t.TempDir(), "log")
	start := func() (*Broker, error) {
		return Start(t.Context(), Options{Name: "wire", Open: wire.Open, Log: log})
	}
	for range 2 {
		b, conn, err := Meet(t.Context(), dir, "wire", start)
		if err != nil || b == nil || conn != nil {
			t.Fatal(b, conn, err)
		}
		second, conn, err := Meet(t.Context(), dir, "wire", start)
		if err != nil || second != nil {
			t.Fatal(second, err)
		}
		c, err := Join(conn, "second", 0)
		if err != nil {
			t.Fatal(err)
		}
		show(c)
		if got, err := c.Do("log"); err != nil || got != log {
			t.Errorf("log %q, %v", got, err)
		}
		c.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	wire.Unplug()
	if b, _, err := Meet(t.Context(), dir, "wire", start); !errors.Is(err, serial.ErrVanished) {
		t.Error(b, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Meet(t.Context(), dir, "wire", start); err == nil || !strings.Contains(err.Error(), "this user alone") {
		t.Error(err)
	}
}
