package tvs_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
)

// vectors is testdata/tvs-messages.json: two messages of a public trace.
type vectors struct {
	QueryCertReq struct {
		DeviceName, SubjectName, IssuerName, SerialNumber, Prefix string
		SessionID                                                 uint32
		Length                                                    int
	}
	QueryCertRes struct {
		SessionID, TTLSeconds uint32
		Reserved, Prefix      string
		Status                uint8
		CertificateLength     int
		Roles                 []trustlist.Role
		Length                int
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/tvs-messages.json")
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The request of the trace is written byte for byte. What the trace does not
// show of it is the names that it decodes.
func TestQueryVector(t *testing.T) {
	v := readVectors(t).QueryCertReq
	m := tvs.Message{Type: tvs.QueryCertReq, Session: v.SessionID, Device: v.DeviceName, Subject: v.SubjectName,
		Issuer: v.IssuerName, Serial: unhex(t, v.SerialNumber)}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if prefix := unhex(t, v.Prefix); len(b) != v.Length || !bytes.HasPrefix(b, prefix) {
		t.Errorf("%d bytes %x, want %d that begin with %x", len(b), b, v.Length, prefix)
	}
	const whole = "57010300000003e9008f" +
		"01001801" + "43502d383836312d534550423030304234424130414545" +
		"030042" + "434e3d75636d31317075622e73746f726d696e2e6c6f63616c3b4f553d4953543b4f3d53746f726d696e3b4c3d4272697362616e653b53543d514c443b433d415500" +
		"040016" + "434e3d73746f726d696e2d57494e323031322d434100" +
		"050013" + "24000000179479b8f124ac3f3b000000000017"
	if want := unhex(t, whole); !bytes.Equal(b, want) {
		t.Errorf("got  %x\nwant %x", b, want)
	}
	back, err := tvs.Decode(b)
	if err != nil || !reflect.DeepEqual(*back, m) {
		t.Errorf("read back: %+v, %v", back, err)
	}
}

// The response of the trace is read and written byte for byte, around a
// certificate of the same length.
func TestResponseVector(t *testing.T) {
	v := readVectors(t).QueryCertRes
	prefix := unhex(t, v.Prefix)
	cert := append(unhex(t, "308205a73082048f"), make([]byte, v.CertificateLength-8)...)
	raw := append([]byte{}, prefix[:len(prefix)-8]...)
	raw = append(raw, cert...)
	raw = append(raw, 8, 0, 2, 0, 3, 9, 0, 4, 0, 1, 0x51, 0x80)
	if len(raw) != v.Length {
		t.Fatalf("the vector has %d bytes, want %d", len(raw), v.Length)
	}
	m, err := tvs.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	want := tvs.Message{Type: tvs.QueryCertRes, Reserved: 0xf7, Session: v.SessionID, Status: v.Status,
		Certificate: cert, Roles: v.Roles, TTL: v.TTLSeconds}
	if !reflect.DeepEqual(*m, want) {
		t.Errorf("read %+v", m)
	}
	if b, err := m.Append(nil); err != nil || !bytes.Equal(b, raw) {
		t.Errorf("written again: %v\ngot  %x\nwant %x", err, b, raw)
	}
}

// el encodes an element; message puts a header in front.
func el(tag byte, v ...byte) []byte {
	return append([]byte{tag, byte(len(v) >> 8), byte(len(v))}, v...)
}

func message(kind byte, elements ...[]byte) []byte {
	body := bytes.Join(elements, nil)
	return append([]byte{0x57, 1, kind, 0, 0, 0, 3, 0xe9, byte(len(body) >> 8), byte(len(body))}, body...)
}

func TestDecodeRefuses(t *testing.T) {
	ok := message(4, el(7, 0), el(2, 0x30), el(8, 0), el(9, 0, 1, 0x51, 0x80))
	if _, err := tvs.Decode(ok); err != nil {
		t.Fatal(err)
	}
	if m, err := tvs.Decode(message(4, el(7, 0), el(42, 1), el(2, 0x30), el(8, 0))); err != nil || m.TTL != 0 {
		t.Errorf("unknown element, no TTL: %+v, %v", m, err)
	}
	long := message(4, el(7, 0))
	long[8], long[9] = 0xff, 0xff
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "header has 10"},
		{"9 bytes", ok[:9], "header has 10"},
		{"cut", ok[:len(ok)-1], "header says"},
		{"trailing byte", append(ok[:len(ok):len(ok)], 0), "header says"},
		{"discriminator", append([]byte{0x58}, ok[1:]...), "begins with"},
		{"version 2", append([]byte{0x57, 2}, ok[2:]...), "begins with"},
		{"type 5", message(5), "type 5"},
		{"oversize", long, "at most"},
		{"element too long", message(4, []byte{7, 0, 9, 0}), "longer"},
		{"half an element", message(4, []byte{7, 0}), "ends inside"},
		{"twice", message(4, el(7, 0), el(7, 0)), "twice"},
		{"status of 2 bytes", message(4, el(7, 0, 0)), "not 1"},
		{"TTL of 3 bytes", message(4, el(7, 0), el(9, 0, 0, 0)), "not 4"},
		{"no status", message(2), "lacks element 7"},
		{"valid without certificate", message(4, el(7, 0), el(8, 0)), "lacks element 2"},
		{"valid without roles", message(4, el(7, 0), el(2, 1)), "lacks element 8"},
		{"query without serial", message(3, el(4, 'a', 0)), "lacks element 5"},
		{"verification without certificate", message(1), "lacks element 2"},
		{"empty device", message(1, el(1), el(2, 1)), "device"},
	} {
		if _, err := tvs.Decode(c.b); !errors.Is(err, tvs.ErrProtocol) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := tvs.Read(bytes.NewReader(ok[:12])); err != io.ErrUnexpectedEOF {
		t.Errorf("a stream that ends inside: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if _, err := tvs.Read(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("an empty stream: %v, want %v", err, io.EOF)
	}
	if _, err := (&tvs.Message{Type: tvs.CertVerificationReq, Certificate: make([]byte, tvs.MaxPayload)}).Append(nil); !errors.Is(err, tvs.ErrProtocol) {
		t.Errorf("write over MaxPayload: %v, want %v", err, tvs.ErrProtocol)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(message(4, el(7, 0), el(2, 0x30), el(8, 0), el(9, 0, 1, 0x51, 0x80)))
	f.Add(message(3, el(1, 1, 'C'), el(3, 'a', 0), el(4, 'b', 0), el(5, 1, 2)))
	f.Add(message(2, el(7, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := tvs.Decode(b)
		if err != nil {
			return
		}
		again, err := m.Append(nil)
		if err != nil {
			return
		}
		back, err := tvs.Decode(again)
		if err != nil {
			t.Fatalf("%x was read, but %x, written from it, is not: %v", b, again, err)
		}
		if third, _ := back.Append(nil); !bytes.Equal(third, again) {
			t.Errorf("written twice: %x and %x", again, third)
		}
	})
}
