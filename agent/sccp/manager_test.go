package sccp_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"itlagent/agent/sccp"
)

// What a phone writes of itself a call manager reads, and one of an older phone as far as it
// goes; what is no registration is refused.
func TestReadRegister(t *testing.T) {
	want := sccp.Register{Device: "SEP64A0E71502CC", Address: netip.MustParseAddr("192.0.2.7"), Type: 436, MAC: "64A0E71502CC", Load: "SCCP45.9-4-2", Stamp: "{5ec8b9c4}", Version: 22}
	body := want.Message().Body
	if got, err := sccp.ReadRegister(body); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	v6 := want
	v6.Address = netip.MustParseAddr("2001:db8::7")
	if got, err := sccp.ReadRegister(v6.Message().Body); err != nil || got != v6 {
		t.Errorf("%+v, %v; want %+v", got, err, v6)
	}
	for length, good := range map[int]bool{0: false, 15: false, 35: false, 36: true, 44: true, 124: true, len(body): true} {
		got, err := sccp.ReadRegister(body[:length])
		if (err == nil) != good || good && (got.Device != want.Device || got.Type != 436 || (got.Load == want.Load) != (length >= 124)) {
			t.Errorf("%d bytes: %+v, %v", length, got, err)
		}
	}
	for name, good := range map[string]bool{"sep64a0e71502cc\x00": true, "SEP64A0E71502CCX": false, "\x00EP64A0E71502CC\x00": false, "SEP\x1b[2J\x00": false, "SEP 4\x00": false, "SEP/../\x00": false, "a_b-9\x00": true} {
		if _, err := sccp.ReadRegister(append([]byte(name), body[len(name):]...)); (err == nil) != good {
			t.Errorf("device %q: %v", name, err)
		}
	}
	loud := sccp.Register{Device: "SEP1", Load: "a\x1b[2J", Stamp: "\u202e"}.Message().Body
	if got, err := sccp.ReadRegister(loud); err != nil || got.Load != "" || got.Stamp != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Answers and orders have the bytes of chan-sccp's structures.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		m    sccp.Message
		want string
	}{
		{sccp.Accept(30*time.Second, 20), "18000000000000008100000" + "01e000000" + "442d4d2d59000000" + "1e000000" + "14000000"},
		{sccp.Accept(30*time.Second, 200), "18000000000000008100000" + "01e000000" + "442d4d2d59000000" + "1e000000" + "16000000"},
		{sccp.Reject("no"), "25000000000000009d000000" + "6e6f" + strings.Repeat("00", 31)},
		{sccp.Order(sccp.Restart), "08000000000000009f000000" + "02000000"},
	} {
		if got := hex.EncodeToString(test.m.Bytes()); got != test.want {
			t.Errorf("%#x: %s, want %s", test.m.ID, got, test.want)
		}
	}
	if got := sccp.Reject(strings.Repeat("x", 99)); len(got.Body) != 33 || got.Body[32] != 0 {
		t.Errorf("%q", got.Body)
	}
}

// How a phone has reset stands in the text of an alarm.
func TestRestarted(t *testing.T) {
	long := sccp.Restarting("22: Name=SEP64A0E71502CC Load=SCCP45.9-4-2 Last=Reset-Reset " + strings.Repeat("x", 200))
	if got, ok := long.Restarted(); !ok || got != (sccp.Restarted{Device: "SEP64A0E71502CC", Load: "SCCP45.9-4-2", Last: "Reset-Reset"}) || len(long.Body) != 92 {
		t.Errorf("%+v, %v, %d bytes", got, ok, len(long.Body))
	}
	for _, m := range []sccp.Message{{}, {ID: sccp.TextAlarm}, {ID: sccp.TextAlarm, Body: []byte("1234")}, sccp.Restarting("13: IP Address Conflict"), sccp.Restarting("Name=A Last=\x07"), sccp.Reject("....Name=A Last=B")} {
		if got, ok := m.Restarted(); ok {
			t.Errorf("%#x %q: %+v", m.ID, m.Body, got)
		}
	}
	if got, err := (sccp.Message{Body: []byte("SEP1\x00")}).Token(); err != nil || got != "SEP1" {
		t.Errorf("%q, %v", got, err)
	}
}

// Any body is read as a registration or refused, and what was read is the same when it is
// written and read again.
func FuzzReadRegister(f *testing.F) {
	f.Add(sccp.Register{Device: "SEP64A0E71502CC", Address: netip.MustParseAddr("192.0.2.7"), Type: 436}.Message().Body)
	f.Add(sccp.Restarting("25: Name=SEP64A0E71502CC Load=x Last=Initialized").Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		sccp.Message{ID: sccp.TextAlarm, Body: body}.Restarted()
		sccp.Message{Body: body}.Token()
		r, err := sccp.ReadRegister(body)
		if err != nil {
			return
		}
		if len(r.Device) == 0 || len(r.Device) > 15 || strings.ContainsFunc(r.Device+r.MAC+r.Load+r.Stamp, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("%+v", r)
		}
		again, err := sccp.ReadRegister(r.Message().Body)
		if err != nil || again.Device != r.Device || again.Address.Unmap() != r.Address.Unmap() || again.Type != r.Type {
			t.Fatalf("%+v, %v; want %+v", again, err, r)
		}
	})
}
