package accept_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"itlagent/agent/accept"
)

// serve answers each line with itself, and is busy for ever behind "stay busy", which it
// then tells of.
func serve(t *testing.T, most, perAddress int) (address string, busy <-chan bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	end, working := make(chan struct{}), make(chan bool, most)
	s := accept.Serve(l, accept.Limits{Conns: most, PerAddress: perAddress}, func(c net.Conn) {
		for r := bufio.NewReaderSize(c, 64); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(c, line)
			if line == "stay busy\n" {
				working <- true
				<-end
			}
		}
	})
	t.Cleanup(func() {
		close(end)
		s.Close()
	})
	return l.Addr().String(), working
}

// from connects from an address of this host, until the test ends.
func from(t testing.TB, ip, address string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// says sends a line, and reports whether it comes back.
func says(c net.Conn, line string) bool {
	fmt.Fprintln(c, line)
	got, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && got == line+"\n"
}

func TestWhoLosesAPlace(t *testing.T) {
	address, busy := serve(t, 4, 2)
	one, two := from(t, "127.0.0.1", address), from(t, "127.0.0.1", address)
	if !says(one, "a") || !says(two, "stay busy") || !says(one, "b") {
		t.Fatal("no answer")
	}
	<-busy                                 // the client may have the answer before its write has ended
	three := from(t, "127.0.0.1", address) // the third of its address
	if !says(three, "c") {
		t.Error("the newest has no place")
	}
	if says(one, "d") {
		t.Error("the one that waits kept its place")
	}
	if !says(three, "stay busy") {
		t.Fatal("no answer")
	}
	<-busy
	if says(from(t, "127.0.0.1", address), "f") {
		t.Error("a third one while both are busy")
	}
	// Of all places, somebody of the address with the most gives up one.
	four, five := from(t, "127.0.0.2", address), from(t, "127.0.0.3", address)
	if !says(four, "g") || !says(five, "h") {
		t.Error("no answer")
	}
	if six := from(t, "127.0.0.3", address); !says(six, "j") || says(four, "k") && says(five, "l") {
		t.Error("nobody has given up a place")
	}
}

// Among a thousand that are slow, of which 200 come back when they lose their place, each
// request is answered within two seconds, from an address of its own and from that of the
// crowd.
func TestThousandSlowClients(t *testing.T) {
	address, _ := serve(t, 64, 32)
	ctx, stop := context.WithCancel(t.Context())
	var crowd, there sync.WaitGroup
	defer crowd.Wait()
	defer stop()
	const clients, files = 1000, 4096
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < files {
		t.Skipf("SKIPPED: %d files may be open, this needs %d", limit.Cur, files)
	}
	there.Add(clients)
	for i := range clients {
		crowd.Go(func() {
			arrived := sync.OnceFunc(there.Done)
			defer arrived()
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%4))}, Timeout: time.Second}
			if i%2 == 0 {
				d.LocalAddr = nil
			}
			for again := true; again && ctx.Err() == nil; again = i%5 == 0 {
				c, err := d.DialContext(ctx, "tcp", address)
				if err != nil {
					continue
				}
				undo := context.AfterFunc(ctx, func() { c.Close() })
				io.WriteString(c, "half a li")
				arrived()
				io.Copy(io.Discard, c) // until it loses its place
				undo()
				c.Close()
			}
		})
	}
	there.Wait()
	worst := time.Duration(0)
	for i := range 100 {
		began := time.Now()
		c := from(t, []string{"127.0.0.1", "127.0.0.9"}[i%2], address)
		if !says(c, "hello") {
			t.Errorf("request %d has no answer", i)
		}
		worst = max(worst, time.Since(began))
		c.Close()
	}
	t.Logf("the slowest of 100 answers among %d clients: %v", clients, worst)
	if worst > 2*time.Second {
		t.Errorf("an answer took %v", worst)
	}
}

// failing is a listener without file descriptors, twice.
type failing struct {
	net.Listener
	errs int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.errs++; f.errs > 2 {
		return nil, net.ErrClosed
	}
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

func TestListenerFails(t *testing.T) {
	f := new(failing)
	if _, err := accept.Limit(f, accept.Limits{Conns: 1}).Accept(); !errors.Is(err, net.ErrClosed) || f.errs != 3 {
		t.Errorf("%v after %d", err, f.errs)
	}
}

func TestPeer(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:80": "fe80::/64", "pipe": "",
	} {
		if got := accept.Peer(address(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// A connection that has settled keeps its place, whoever comes; once it has not, it makes
// room like any other.
func TestSettled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 10)
	s := accept.Serve(l, accept.Limits{Conns: 2, PerAddress: 2}, func(c net.Conn) {
		accept.Settle(c, true)
		conns <- c
		io.Copy(io.Discard, c)
	})
	defer s.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	closed := func(c net.Conn) bool {
		_, err := c.Read(make([]byte, 1))
		return err == io.EOF || errors.Is(err, syscall.ECONNRESET)
	}
	dial()
	<-conns
	dial()
	second := <-conns
	if !closed(dial()) {
		t.Fatal("a third connection is served, though both places are taken by settled ones")
	}
	accept.Settle(second, false)
	dial()
	select {
	case <-conns:
	case <-time.After(time.Minute):
		t.Fatal("a connection that is settled no longer makes no room")
	}
}
