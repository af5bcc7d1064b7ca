package vault

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"itlagent/agent/bounded"
)

// forms are the bytes of numbers on flash, by docs/vault-format.md: the shortest
// unsigned form, and eight bytes below -32.
var forms = []struct {
	n     int64
	bytes string
}{
	{0, "00"}, {1, "01"}, {127, "7f"}, {128, "cc80"}, {255, "ccff"}, {256, "cd0100"}, {32767, "cd7fff"}, {32768, "cd8000"}, {65535, "cdffff"},
	{65536, "ce00010000"}, {math.MaxInt32, "ce7fffffff"}, {math.MaxInt32 + 1, "ce80000000"}, {math.MaxUint32, "ceffffffff"},
	{math.MaxUint32 + 1, "cf0000000100000000"}, {math.MaxInt64, "cf7fffffffffffffff"},
	{-1, "ff"}, {-32, "e0"}, {-33, "d3ffffffffffffffdf"}, {-128, "d3ffffffffffffff80"}, {-129, "d3ffffffffffffff7f"},
	{-32769, "d3ffffffffffff7fff"}, {math.MinInt32 - 1, "d3ffffffff7fffffff"}, {math.MinInt64, "d38000000000000000"},
}

func unhex(t *testing.T, s string) (b []byte) {
	t.Helper()
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// What is written has been on flash since before the codec was generated, to the
// byte.
func TestRecordForms(t *testing.T) {
	for _, f := range forms {
		form := unhex(t, f.bytes)
		count := min(max(f.n, 0), math.MaxUint32)
		m := message{Time: integer(f.n), Last: integer(f.n), Count: uint32(count), Replaces: uint64(f.n), Text: "x"}
		want := append([]byte{0x95}, form...)
		want = append(want, form...)
		want = append(want, formOf(t, count)...)
		if f.n < 0 {
			want = binary.BigEndian.AppendUint64(append(want, 0xcf), uint64(f.n))
		} else {
			want = append(want, form...)
		}
		if got := m.encode(); !bytes.Equal(got, append(want, 0xa1, 'x')) {
			t.Errorf("message with %d is written %x, want %x", f.n, got, append(want, 0xa1, 'x'))
		}
		roundTrip(t, &m, new(message))
		if f.n < -1 || f.n > math.MaxInt32 {
			continue
		}
		k := mark{Covers: integer(f.n), Seq: uint64(max(f.n, 0)), Newest: []newest{{"itl", uint64(max(f.n, 0))}, {"config", 1 << 40}}}
		want = append([]byte{0x93}, form...)
		want = append(want, formOf(t, max(f.n, 0))...)
		want = append(want, 0x92, 0x92, 0xa3, 'i', 't', 'l')
		want = append(want, formOf(t, max(f.n, 0))...)
		want = append(want, unhex(t, "92a6636f6e666967cf0000010000000000")...)
		if got := k.encode(); !bytes.Equal(got, want) {
			t.Errorf("mark with %d is written %x, want %x", f.n, got, want)
		}
		roundTrip(t, &k, new(mark))
	}
	for n, head := range map[int]string{0: "a0", 31: "bf", 32: "d920", MaxMessageText: "d980"} {
		m := message{Text: bounded.Text(strings.Repeat("a", n))}
		want := append(unhex(t, "9500000000"+head), strings.Repeat("a", n)...)
		if got := m.encode(); !bytes.Equal(got, want) {
			t.Errorf("a text of %d bytes is written %x, want %x", n, got, want)
		}
		roundTrip(t, &m, new(message))
	}
	full := mark{Newest: make([]newest, maxNewest)}
	if got := full.encode(); !bytes.HasPrefix(got, unhex(t, "930000dc0010")) {
		t.Errorf("%d keys are written %x", maxNewest, got)
	}
	roundTrip(t, &full, new(mark))
}

func formOf(t *testing.T, n int64) []byte {
	t.Helper()
	for _, f := range forms {
		if f.n == n {
			return unhex(t, f.bytes)
		}
	}
	t.Fatalf("no form of %d", n)
	return nil
}

// record is a mark or a message.
type record interface {
	encode() []byte
	decode(b []byte) error
}

// roundTrip reads a record back, and refuses it when it is cut or has more behind
// it.
func roundTrip(t *testing.T, r, back record) {
	t.Helper()
	b := r.encode()
	if err := back.decode(b); err != nil || !reflect.DeepEqual(r, back) {
		t.Errorf("%x: %+v, %v, want %+v", b, back, err, r)
	}
	for cut := range b {
		if err := back.decode(b[:cut]); err == nil {
			t.Errorf("%x cut to %d bytes is read", b, cut)
		}
	}
	if err := back.decode(append(b, 0)); err == nil {
		t.Errorf("%x with a byte behind it is read", b)
	}
}

// Any form of a number that holds it is read.
func TestRecordReadsEveryForm(t *testing.T) {
	for _, f := range forms {
		for lead := 0xcc; lead <= 0xd3; lead++ {
			bits := 8 << (lead & 3)
			signed := lead >= 0xd0
			fits := f.n >= 0 && (bits == 64 || f.n < 1<<bits)
			if signed {
				fits = f.n<<(64-bits)>>(64-bits) == f.n
			}
			if !fits {
				continue
			}
			form := []byte{byte(lead)}
			for shift := bits - 8; shift >= 0; shift -= 8 {
				form = append(form, byte(f.n>>shift))
			}
			var m message
			b := append(append([]byte{0x95}, form...), 0, 0, 0, 0xa0)
			if err := m.decode(b); err != nil || m.Time != integer(f.n) {
				t.Errorf("time %x: %d, %v, want %d", form, m.Time, err, f.n)
			}
			b = append(append([]byte{0x95, 0, 0, 0}, form...), 0xa0)
			if err := m.decode(b); (err == nil) != (f.n >= 0) || err == nil && m.Replaces != uint64(f.n) {
				t.Errorf("revision %x: %d, %v, want %d", form, m.Replaces, err, f.n)
			}
			b = append(append([]byte{0x95, 0, 0}, form...), 0, 0xa0)
			if err := m.decode(b); (err == nil) != (f.n >= 0 && f.n <= math.MaxUint32) || err == nil && m.Count != uint32(f.n) {
				t.Errorf("count %x: %d, %v, want %d", form, m.Count, err, f.n)
			}
			var k mark
			b = append(append([]byte{0x93}, form...), 0, 0x90)
			if err := k.decode(b); (err == nil) != (f.n >= -1 && f.n <= math.MaxInt32) || err == nil && k.Covers != integer(f.n) {
				t.Errorf("block %x: %d, %v, want %d", form, k.Covers, err, f.n)
			}
		}
	}
	var m message
	for _, b := range []string{"95000000 00a178", "dc0005000000 00a178", "9500000000d90178"} {
		if err := m.decode(unhex(t, strings.ReplaceAll(b, " ", ""))); err != nil || m.Text != "x" {
			t.Errorf("%s: %+v, %v", b, m, err)
		}
	}
}

func TestRecordLimits(t *testing.T) {
	long := strings.Repeat("61", MaxMessageText+1)
	for name, bad := range map[string]string{
		"no bytes":                       "",
		"17 keys":                        "930000dc0011" + strings.Repeat("92a000", 17),
		"65,535 keys":                    "930000dcffff",
		"4,294,967,295 keys":             "930000ddffffffff",
		"a negative order":               "9300ff90",
		"block -2":                       "93fe0090",
		"a block of 33 bits":             "93cf00000001000000000090",
		"a map":                          "83000090",
		"a map of keys":                  "93000080",
		"a string for a block":           "93a1780090",
		"two elements":                   "920000",
		"four elements":                  "9400009000",
		"a pair of three":                "9300009193a00000",
		"a key of 256 bytes":             "9300009192da0100" + strings.Repeat("61", 256) + "00",
		"a key of 4,294,967,295 bytes":   "9300009192dbffffffff00",
		"a key of 2,147,483,648 bytes":   "9300009192db8000000000",
		"nothing behind a string's head": "9300009192d9",
	} {
		var k mark
		if err := k.decode(unhexOrEmpty(t, bad)); err == nil {
			t.Errorf("mark, %s: %+v", name, k)
		}
	}
	for name, bad := range map[string]string{
		"no bytes":                     "",
		"a count of 33 bits":           "950000cf000000010000000000a0",
		"a time of 64 unsigned bits":   "95cfffffffffffffffff000000a0",
		"a number for text":            "950000000000",
		"binary for text":              "9500000000c40178",
		"a nil time":                   "95c0000000a0",
		"a float for a time":           "95ca00000000000000a0",
		"129 bytes of text":            "9500000000d981" + long,
		"129 bytes of text, otherwise": "9500000000da0081" + long,
		"text of 32-bit length":        "9500000000db0000000178",
		"text of 4,294,967,295 bytes":  "9500000000dbffffffff78",
		"text of 65,535 bytes":         "9500000000daffff78",
	} {
		var m message
		if err := m.decode(unhexOrEmpty(t, bad)); err == nil {
			t.Errorf("message, %s: %+v", name, m)
		}
	}
}

func unhexOrEmpty(t *testing.T, s string) []byte {
	t.Helper()
	if s == "" {
		return nil
	}
	return unhex(t, s)
}
