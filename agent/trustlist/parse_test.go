package trustlist_test

import (
	"bytes"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// What real phones put up with is read, and the signature still verifies.
func TestLenient(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	name := trustlist.FormatName(id.Certificate.Subject)
	commas := "C=US,ST=nc, L=rtp,O=cisco,OU=tac,CN=pub.example.lab"
	for _, c := range []struct {
		name string
		file craft
		want func(f *trustlist.File) bool
	}{
		{"as CUCM writes it", craft{body: sast(id, name)}, func(f *trustlist.File) bool { return f.Unknown == 0 }},
		{"issuer before serial in SIGNERID", craft{order: []byte{4, 6, 5}, body: sast(id, name)}, nil},
		{"names separated by commas, in the other order", craft{issuer: commas, body: sast(id, name)}, nil},
		{"record with commas, header with semicolons", craft{body: sast(id, commas)}, nil},
		{"newer minor version", craft{version: [2]byte{1, 9}, body: sast(id, name)},
			func(f *trustlist.File) bool { return f.Version == trustlist.Version{Major: 1, Minor: 9} }},
		{"unknown header element", craft{behind: el(0x30, []byte("later")), body: sast(id, name)},
			func(f *trustlist.File) bool { return f.Unknown == 1 }},
		{"signer version", craft{front: el(0x1c, []byte{1, 1}), body: sast(id, name)},
			func(f *trustlist.File) bool { return f.SignerVersion == trustlist.Version{Major: 1, Minor: 1} }},
		{"no padding", craft{pad: -1, body: sast(id, name)}, func(f *trustlist.File) bool { return f.Pad == 0 }},
		{"more padding than needed", craft{pad: 9, body: sast(id, name)}, func(f *trustlist.File) bool { return f.Pad == 9 }},
		{"unknown record element", craft{body: sast(id, name, el(0x21, []byte("later")))},
			func(f *trustlist.File) bool { return f.Records[0].Unknown == 1 }},
		{"empty record", craft{body: slices.Concat(sast(id, name), record(el(0x02, nul("10.48.47.153")), el(0x04, u16(2)), el(0x0a, []byte{192, 0, 2, 1})))},
			func(f *trustlist.File) bool { r := &f.Records[1]; return r.Empty() && r.Length() == 33 }},
		{"eToken record", craft{body: slices.Concat(sast(id, name), record(el(0x02, []byte{0}),
			el(0x03, nul(`cn="SAST-ADN008580ef ";ou=IPCBU;o="Cisco Systems`)), el(0x04, u16(0)),
			el(0x05, nul("cn=Cisco Manufacturing CA;o=Cisco Systems")), el(0x06, []byte("0123456789")),
			el(0x07, make([]byte, 140)), el(0x09, make([]byte, 700))))},
			func(f *trustlist.File) bool { return !f.Records[1].Has(trustlist.Signature) && !f.Records[1].Empty() }},
		{"record with a hash alone", craft{body: slices.Concat(sast(id, name), record(el(0x04, u16(21)), el(0x0b, make([]byte, 20)), el(0x0c, []byte{1})))},
			func(f *trustlist.File) bool { return f.Records[1].Role() == trustlist.TVS && !f.Records[1].Empty() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := trustlist.Parse(trustlist.ITL, c.file.sign(t, id))
			if err != nil {
				t.Fatal(err)
			}
			if i, err := f.CheckOwn(); i != 0 || err != nil {
				t.Errorf("CheckOwn = %d, %v; want 0, nil", i, err)
			}
			if c.want != nil && !c.want(f) {
				t.Errorf("not as expected: %+v, records %+v", f.Header, f.Records)
			}
		})
	}
}

// What no phone needs is refused, with the place.
func TestStrict(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	name := trustlist.FormatName(id.Certificate.Subject)
	good := craft{body: sast(id, name)}.sign(t, id)
	at := pkitest.Parse(t, trustlist.ITL, good).Length
	edit := func(off int, b ...byte) []byte {
		out := bytes.Clone(good)
		copy(out[off:], b)
		return out
	}
	withBody := func(body ...[]byte) []byte { return craft{body: slices.Concat(body...)}.sign(t, id) }
	for _, c := range []struct {
		name   string
		data   []byte
		err    error
		offset int
		detail string
	}{
		{"empty", nil, trustlist.ErrEmpty, 0, ""},
		{"one byte", good[:1], trustlist.ErrMalformed, 0, "ends inside"},
		{"text", []byte("<device></device>"), trustlist.ErrMalformed, 0, "longer"},
		{"zeros", make([]byte, 4096), trustlist.ErrMalformed, 0, "VERSION"},
		{"major version 3", edit(3, 3), trustlist.ErrMalformed, 3, "version 3.2"},
		{"header longer than the file", edit(8, 0xff, 0xff), trustlist.ErrMalformed, 8, "HEADERLENGTH 65535"},
		{"header ends in its first elements", edit(8, 0, 9), trustlist.ErrMalformed, 8, "HEADERLENGTH 9"},
		{"element longer than its container", edit(14, 0xff), trustlist.ErrMalformed, 13, "SIGNERID"},
		{"no signature", edit(at-3-128-15-7-1, 0x40), trustlist.ErrMalformed, -1, ""},
		{"element twice", craft{behind: el(0x0f, []byte{0, 0, 0, 0}), body: sast(id, name)}.sign(t, id), trustlist.ErrMalformed, -1, "twice"},
		{"no record", withBody(), trustlist.ErrMalformed, at, "no record"},
		{"trailing bytes", withBody(sast(id, name), []byte{1, 0}), trustlist.ErrMalformed, len(good), "ends inside"},
		{"record without RECORDLENGTH", withBody(el(0x04, u16(0))), trustlist.ErrMalformed, at, "RECORDLENGTH"},
		{"record shorter than its own length", withBody(el(0x01, u16(4))), trustlist.ErrMalformed, at + 3, "RECORDLENGTH 4"},
		{"record of length 0", withBody(el(0x01, u16(0))), trustlist.ErrMalformed, at + 3, "RECORDLENGTH 0"},
		{"record longer than the file", withBody(el(0x01, u16(6))), trustlist.ErrMalformed, at + 3, "RECORDLENGTH 6"},
		{"record without FUNCTION", withBody(record(el(0x02, []byte{0, 0, 0, 0}))), trustlist.ErrMalformed, at, "FUNCTION"},
		{"many records without FUNCTION", withBody(bytes.Repeat(el(0x01, u16(5)), 40)), trustlist.ErrMalformed, at, "FUNCTION"},
		{"FUNCTION of one byte", withBody(record(el(0x04, []byte{0}), []byte{0, 0, 0})), trustlist.ErrMalformed, at + 5, "not 2"},
		{"record element twice", withBody(record(el(0x04, u16(0)), el(0x04, u16(0)))), trustlist.ErrMalformed, at + 10, "twice"},
		{"IPADDRESS of 5 bytes", withBody(record(el(0x04, u16(0)), el(0x0a, make([]byte, 5)))), trustlist.ErrMalformed, at + 10, "not 4"},
		{"65,536 bytes", make([]byte, 65536), trustlist.ErrTooLarge, 65535, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := trustlist.Parse(trustlist.ITL, c.data)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			var at *trustlist.FileError
			if !errors.As(err, &at) {
				t.Fatalf("error %v has no offset", err)
			}
			if c.offset >= 0 && at.Offset != c.offset || !strings.Contains(err.Error(), c.detail) {
				t.Errorf("error %q, want offset %d and %q", err, c.offset, c.detail)
			}
		})
	}
}

// A list of 65,535 bytes is the largest; one byte more is refused by reader and
// writer alike.
func TestSizeLimit(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	name := trustlist.FormatName(id.Certificate.Subject)
	first := sast(id, name)
	header := len(craft{body: first}.sign(t, id)) - len(first)
	filler := func(total int) []byte { // a record that brings the list to total bytes
		n := total - header - len(first)
		return record(el(0x04, u16(7)), el(0x21, make([]byte, n-5-5-3)))
	}
	for _, c := range []struct {
		size int
		err  error
	}{{65534, nil}, {65535, nil}, {65536, trustlist.ErrTooLarge}} {
		data := craft{body: slices.Concat(first, filler(c.size))}.sign(t, id)
		if len(data) != c.size {
			t.Fatalf("made %d bytes, want %d", len(data), c.size)
		}
		f, err := trustlist.Parse(trustlist.ITL, data)
		if !errors.Is(err, c.err) {
			t.Errorf("%d bytes: error %v, want %v", c.size, err, c.err)
		}
		if err == nil {
			if _, err := f.CheckOwn(); err != nil {
				t.Errorf("%d bytes: %v", c.size, err)
			}
		}
	}
	many := make([]trustlist.RecordSpec, 60) // of 1,120 bytes
	for i := range many {
		many[i] = trustlist.RecordSpec{Role: trustlist.TVS, Certificate: id.Certificate}
	}
	_, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time, Records: many}, id.SigningKey())
	if !errors.Is(err, trustlist.ErrTooLarge) {
		t.Errorf("BuildList of 67 KB: %v, want %v", err, trustlist.ErrTooLarge)
	}
}

// Memory is at most 9 times the list and 4 KiB, whatever its bytes claim, and parsing asks
// for it at most 3 times.
func TestBoundedMemory(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	smallest := bytes.Repeat(record(el(0x04, u16(0))), 6000) // 10 bytes each
	worst := craft{body: smallest}.sign(t, id)
	note := craft{body: sast(id, "CN=a")}.sign(t, id)
	for name, data := range map[string][]byte{"6,000 records": worst, "one record": note} {
		n := testing.AllocsPerRun(20, func() { trustlist.Parse(trustlist.ITL, data) })
		if t.Logf("%s: %v allocations", name, n); n > 3 {
			t.Errorf("%s: %v allocations, want at most 3", name, n)
		}
		var before, after runtime.MemStats
		const runs = 50
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := trustlist.Parse(trustlist.ITL, data); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		used := int(after.TotalAlloc-before.TotalAlloc) / runs
		t.Logf("%s: %d bytes for a list of %d", name, used, len(data))
		if limit := 9*len(data) + 4096; used > limit {
			t.Errorf("%s: %d bytes for a list of %d, want at most %d", name, used, len(data), limit)
		}
	}
}

func TestRecognise(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	record := trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate}
	list := func(k trustlist.Kind) []byte {
		return pkitest.List(t, trustlist.ListSpec{Kind: k, Records: []trustlist.RecordSpec{record}}, id).Bytes()
	}
	for _, c := range []struct {
		name string
		data []byte
		want trustlist.Kind
	}{
		{"ITL", list(trustlist.ITL), trustlist.ITL},
		{"CTL", list(trustlist.CTL), trustlist.CTL},
		{"SGN", pkitest.Signed(t, "SEP64A0E71502CC.cnf.xml.sgn", "<device/>", id, trustlist.SHA1), trustlist.SGN},
		{"ENC", encrypted(t, id), trustlist.ENC},
		{"certutils' ITL", wild(t), trustlist.ITL},
	} {
		if got, err := trustlist.Recognise(c.data); err != nil || got != c.want {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// encrypted writes an .enc.sgn: a header of version 2.0 with the elements that
// say how the content is encrypted.
func encrypted(t testing.TB, id *pki.Identity) []byte {
	return craft{version: [2]byte{2, 0}, name: "SEP64A0E71502CC.cnf.xml.enc.sgn", behind: encryption(), body: make([]byte, 256)}.sign(t, id)
}

func TestEncryptedHeader(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	f := pkitest.Parse(t, trustlist.ENC, encrypted(t, id))
	e := f.Encryption
	if e == nil || string(e.IV) != "0123456789abcdef" || e.PadLength != 11 || e.KeyBits != 1024 ||
		len(e.WrappedKey) != 128 || e.PlainDigest != trustlist.SHA1 || len(e.PlainHash) != 20 || len(f.Content()) != 256 {
		t.Errorf("encryption %+v, content %d bytes", e, len(f.Content()))
	}
	key := id.SigningKey().Certificate.PublicKey
	if err := f.CheckSignature(rsaKey(key)); err != nil {
		t.Error(err)
	}
	bad := bytes.Replace(f.Bytes(), el(0x13, []byte("0123456789abcdef")), append(el(0x13, []byte("0123456789abcde")), 0x0d), 1)
	if _, err := trustlist.Parse(trustlist.ENC, bad); !errors.Is(err, trustlist.ErrMalformed) {
		t.Errorf("IV of 15 bytes: %v, want %v", err, trustlist.ErrMalformed)
	}
}

func TestSerials(t *testing.T) {
	for _, c := range []struct {
		a, b []byte
		want bool
	}{
		{[]byte{1, 2}, []byte{1, 2}, true},
		{[]byte{0, 1, 2}, []byte{1, 2}, true},
		{[]byte{0}, []byte{0, 0}, true},
		{[]byte{1}, []byte{2}, false},
		{nil, nil, false},
		{nil, []byte{0}, false},
	} {
		if got := trustlist.SameSerial(c.a, c.b); got != c.want {
			t.Errorf("SameSerial(%x, %x) = %v", c.a, c.b, got)
		}
	}
	if got := trustlist.FormatSerial(big.NewInt(0x6140e9).Bytes()); got != "61:40:E9" {
		t.Errorf("FormatSerial = %q, want 61:40:E9", got)
	}
}

func TestNames(t *testing.T) {
	const cucm = "CN=test10pub.joemar2.lab;OU=tac;O=cisco;L=rtp;ST=nc;C=US"
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{cucm, cucm, true},
		{cucm, "CN=test10pub.joemar2.lab,OU=tac,O=cisco,L=rtp,ST=nc,C=US", true},
		{cucm, "C=US, ST=nc, L=rtp, O=cisco, OU=tac, CN=test10pub.joemar2.lab", true},
		{cucm, "cn=test10pub.joemar2.lab;ou=tac;o=cisco;l=rtp;st=nc;c=US", true},
		{cucm, "CN=test10sub.joemar2.lab;OU=tac;O=cisco;L=rtp;ST=nc;C=US", false},
		{cucm, "CN=test10pub.joemar2.lab;OU=tac;O=cisco;L=rtp;ST=nc", false},
		{`CN=a;O=Cisco Systems, Inc.`, `O=Cisco Systems\, Inc.,CN=a`, true},
		{`cn="SAST-ADN008580ef ";ou=IPCBU;o="Cisco Systems`, `CN=SAST-ADN008580ef,OU=IPCBU,O=Cisco Systems`, true},
		{"CN=a;CN=b", "CN=a", false},
		{"", "", false},
		{"", "CN=a", false},
	} {
		if got := trustlist.SameName([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("SameName(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
