package sccp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"itlagent/agent/sccp"
)

// A registration has the fields of chan-sccp's structure, each at its place.
func TestRegister(t *testing.T) {
	b := sccp.Register{Device: "SEP64A0E71502CC", Address: netip.MustParseAddr("192.0.2.7"), Type: 436, MAC: "64A0E71502CC", Load: "SCCP45.9-4-2", Stamp: "{5ec8b9c4}"}.Message().Bytes()
	if got, want := hex.EncodeToString(b[:12]), "b000000000000000"+"01000000"; got != want || len(b) != 8+0xb0 {
		t.Errorf("head %s of %d bytes, want %s", got, len(b), want)
	}
	body := b[12:]
	for at, want := range map[int]string{
		0: "SEP64A0E71502CC\x00", 16: "\x00\x00\x00\x00\x01\x00\x00\x00", 24: "\xc0\x00\x02\x07", 28: "\xb4\x01\x00\x00", 32: "\x05\x00\x00\x00\x00\x00\x00\x00", 40: "\x16\x00\x00\x00",
		52: "64A0E71502CC", 68: "\x08\x00\x00\x00", 72: strings.Repeat("\x00", 20), 92: "SCCP45.9-4-2\x00", 124: "{5ec8b9c4}\x00",
	} {
		if got := string(body[at : at+len(want)]); got != want {
			t.Errorf("at %d: %q, want %q", at, got, want)
		}
	}
	long := sccp.Register{Device: strings.Repeat("x", 100), MAC: "1", Load: strings.Repeat("y", 100), Stamp: strings.Repeat("z", 100), Address: netip.MustParseAddr("2001:db8::7")}.Message()
	if len(long.Body) != len(body) || !bytes.Contains(long.Body, []byte("\x20\x01\x0d\xb8")) || bytes.Count(long.Body, []byte("y")) != 31 {
		t.Errorf("%d bytes: %q", len(long.Body), long.Body)
	}
}

// What is written is read; lengths are held to their bounds.
func TestRead(t *testing.T) {
	stream := append(sccp.Message{ID: sccp.KeepAlive}.Bytes(), sccp.Message{ID: sccp.ResetPhone, Body: []byte{2, 0, 0, 0}}.Bytes()...)
	r := bytes.NewReader(stream)
	if m, err := sccp.Read(r); err != nil || m.ID != sccp.KeepAlive || len(m.Body) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	m, err := sccp.Read(r)
	if a, ok := m.Reset(); err != nil || !ok || a != sccp.Restart {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := sccp.Read(r); err != io.EOF {
		t.Error(err)
	}
	for length, good := range map[int]bool{0: true, sccp.MaxBody: true, sccp.MaxBody + 1: false} {
		if _, err := sccp.Read(bytes.NewReader(sccp.Message{ID: 1, Body: make([]byte, length)}.Bytes())); (err == nil) != good || !good && !errors.Is(err, sccp.ErrTooLarge) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	for text, want := range map[string]error{"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00": sccp.ErrTooLarge, "\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00": sccp.ErrTooLarge,
		"\x08\x00\x00\x00\x00\x00\x00\x00\x9f\x00\x00\x00": io.ErrUnexpectedEOF, "\x08\x00": io.ErrUnexpectedEOF} {
		if _, err := sccp.Read(strings.NewReader(text)); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got := len(sccp.Alarm(make([]byte, 5000)).Body); got != sccp.MaxAlarm {
		t.Errorf("an alarm of %d bytes", got)
	}
}

// Numbers from outside are held within bounds, and what is cut has none.
func TestNumbers(t *testing.T) {
	for body, want := range map[string]time.Duration{"": 30 * time.Second, "\x00\x00\x00\x00": 30 * time.Second, "\x01\x00\x00\x00": time.Second, "\xff\xff\xff\xff": 10 * time.Minute, "\x05\x00\x00": 30 * time.Second} {
		if got := (sccp.Message{ID: sccp.RegisterAck, Body: []byte(body)}).KeepAlive(); got != want {
			t.Errorf("%q: %v", body, got)
		}
	}
	for body, want := range map[string]bool{"": false, "\x01": false, "\x00\x00\x00\x00": false, "\x01\x00\x00\x00": true, "\x03\x00\x00\x00more": true, "\x04\x00\x00\x00": false, "\x01\x00\x00\x80": false} {
		if _, got := (sccp.Message{ID: sccp.ResetPhone, Body: []byte(body)}).Reset(); got != want {
			t.Errorf("%q: %v", body, got)
		}
	}
	if _, ok := (sccp.Message{ID: sccp.KeepAliveAck, Body: []byte("\x01\x00\x00\x00")}).Reset(); ok {
		t.Error("a keep-alive resets")
	}
}

// Any bytes are read within the limits or refused, and what was read is written the same but
// for the version.
func FuzzRead(f *testing.F) {
	f.Add(sccp.Message{ID: sccp.ResetPhone, Body: []byte{1, 0, 0, 0}}.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := sccp.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		back := m.Bytes()
		if len(m.Body) > sccp.MaxBody || !bytes.Equal(back[:4], data[:4]) || !bytes.Equal(back[8:], data[8:len(back)]) {
			t.Fatalf("%x of %x", back, data)
		}
		m.Reset()
		if k := m.KeepAlive(); k <= 0 || k > time.Hour {
			t.Fatal(k)
		}
	})
}
