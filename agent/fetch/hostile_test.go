package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"itlagent/agent/fetch"
)

// What a server says reaches errors and the log harmless, whatever it is.
func TestTextsAreSafe(t *testing.T) {
	const evil = "\x1b[2J\u009b\u202e\x07\x85"
	for name, response := range map[string]string{
		"reason phrase":     "HTTP/1.1 500 " + evil + "\r\n\r\n",
		"status line":       evil + "\r\n\r\n",
		"header field":      "HTTP/1.1 200 OK\r\n" + evil + "\r\n\r\n",
		"length":            "HTTP/1.1 200 OK\r\nContent-Length: " + evil + "\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + evil + "\r\n\r\n",
	} {
		s := &servers{http: map[string]func(net.Conn){"one:6970": respond(response)},
			tftp: map[string]func(context.Context, string, int) ([]byte, error){
				"one:69": func(context.Context, string, int) ([]byte, error) { return nil, errors.New("error 0, " + evil) }}}
		client := s.client()
		var log strings.Builder
		client.Logf = func(format string, args ...any) { fmt.Fprintf(&log, format, args...) }
		_, err := client.Get(t.Context(), []string{"one", "two" + evil}, "a", 100)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		for at, text := range map[string]string{"error": err.Error(), "log": log.String()} {
			if strings.ContainsAny(strings.ReplaceAll(text, "\n", ""), "\x1b\u009b\u202e\x07\u0085\r") {
				t.Errorf("%s reaches the %s raw: %q", name, at, text)
			}
		}
	}
}

// hostile is a TFTP server on loopback: answer gets every packet, and who sent it.
func hostile(t *testing.T, answer func(conn net.PacketConn, to net.Addr, b []byte)) (address string, packets *atomic.Int64) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets = new(atomic.Int64)
	var served sync.WaitGroup
	served.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			packets.Add(1)
			answer(conn, from, b[:n])
		}
	})
	t.Cleanup(func() { conn.Close(); served.Wait() })
	return conn.LocalAddr().String(), packets
}

// A server that answers everything with OACK ends no later than one that is silent, and
// costs no more packets.
func TestEndlessOACK(t *testing.T) {
	address, packets := hostile(t, func(conn net.PacketConn, to net.Addr, _ []byte) {
		conn.WriteTo([]byte("\x00\x06blksize\x00512\x00"), to)
	})
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := fetch.PlainTFTP(ctx, address, "ITLFile.tlv", 1000)
	if err == nil || ctx.Err() != nil {
		t.Errorf("%v; want an end within %v", err, patience)
	}
	if n := packets.Load(); n > 30 {
		t.Errorf("%d packets sent, want at most 30", n)
	}
}

// Datagrams that are none of TFTP's, from the server's address, end no transfer.
func TestStrayDatagrams(t *testing.T) {
	file := strings.Repeat("0123456789abcdef", 100) // 1,600 bytes: 4 blocks
	other, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	address, _ := hostile(t, func(conn net.PacketConn, to net.Addr, b []byte) {
		other.WriteTo(nil, to)
		other.WriteTo([]byte("who is there?"), to)
		conn.WriteTo([]byte{0}, to)
		block := 1
		if b[1] == 4 {
			block += int(b[3])
		}
		if from := (block - 1) * 512; b[1] != 5 && from <= len(file) {
			conn.WriteTo(append([]byte{0, 3, 0, byte(block)}, file[from:min(from+512, len(file))]...), to)
		}
	})
	got, err := fetch.PlainTFTP(t.Context(), address, "ITLFile.tlv", len(file))
	if err != nil || string(got) != file {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(file))
	}
}
