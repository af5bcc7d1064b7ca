package serve

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// writes counts the writes of a connection.
type writes struct {
	net.Conn
	mu sync.Mutex
	n  int
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
	return w.Conn.Write(p)
}

type counted struct {
	net.Listener
	conns chan *writes
}

func (l counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &writes{Conn: conn}
	l.conns <- w
	return w, nil
}

// A file that fits leaves in one write, a larger one whole all the same.
func TestAtOnce(t *testing.T) {
	for _, size := range []int{0, 5302, maxHeld - 300, maxHeld, 100_000} {
		tcp, err := listenTCP("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conns := make(chan *writes, 1)
		want := bytes.Repeat([]byte("x"), size)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(want) })}
		srv.SetKeepAlivesEnabled(false)
		go srv.Serve(atOnce{counted{tcp, conns}})
		resp, err := http.Get("http://" + tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d came, %v", size, len(got), err)
		}
		srv.Close()
		w := <-conns
		w.mu.Lock()
		if size < maxHeld-200 && w.n != 1 {
			t.Errorf("%d bytes left in %d writes", size, w.n)
		}
		w.mu.Unlock()
	}
}

// What is held goes out before the other end is waited for, and a writer who waits for
// a reader does not keep the connection from being closed.
func TestAtOnceConn(t *testing.T) {
	here, there := net.Pipe()
	c := &atOnceConn{Conn: here}
	read := make(chan error, 1)
	go func() {
		if _, err := c.Write([]byte("question")); err != nil {
			read <- err
			return
		}
		_, err := io.ReadFull(c, make([]byte, 6))
		read <- err
	}()
	there.SetDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 8)
	if _, err := io.ReadFull(there, got); err != nil || string(got) != "question" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := there.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	blocked := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, maxHeld+1))
		blocked <- err
	}()
	if _, err := there.Read(got[:1]); err != nil { // the write has begun
		t.Fatal(err)
	}
	c.Close()
	if err := <-blocked; err == nil {
		t.Error("a write to a closed connection succeeded")
	}
}

// gate is a connection whose writes wait for a word.
type gate struct {
	net.Conn
	begun, pass chan bool
	half        bool
}

func (g *gate) Write(p []byte) (int, error) {
	g.begun <- true
	<-g.pass
	return g.Conn.Write(p)
}

func (g *gate) CloseWrite() error {
	g.half = true
	return nil
}

// A close that meets the reader who sends an answer does not cost the client that.
func TestCloseMeetsRead(t *testing.T) {
	here, there := net.Pipe()
	g := &gate{Conn: here, begun: make(chan bool), pass: make(chan bool)}
	c := &atOnceConn{Conn: g}
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	<-g.begun
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	close(g.pass)
	there.SetDeadline(time.Now().Add(30 * time.Second))
	if got, err := io.ReadAll(there); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-read; err == nil {
		t.Error("a read of a closed connection succeeded")
	}
}

// A half close sends what waits first.
func TestCloseWrite(t *testing.T) {
	here, there := net.Pipe()
	g := &gate{Conn: here, begun: make(chan bool, 1), pass: make(chan bool, 1)}
	c := &atOnceConn{Conn: g}
	c.Write([]byte("answer"))
	g.pass <- true
	done := make(chan error, 1)
	go func() { done <- c.CloseWrite() }()
	got := make([]byte, 6)
	there.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(there, got); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	if err := <-done; err != nil || !g.half {
		t.Errorf("half closed: %t, %v", g.half, err)
	}
}
