package trustlist_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

var kinds = []trustlist.Kind{trustlist.ITL, trustlist.CTL, trustlist.SGN, trustlist.ENC}

// encryption is what the header of an encrypted file has behind TIMESTAMP.
func encryption() []byte {
	return slices.Concat(el(0x10,
		el(0x11, el(0x12, []byte{0}), el(0x13, []byte("0123456789abcdef")), el(0x14, u16(11))),
		el(0x15, el(0x16, []byte{0}), el(0x17, u16(1024)), el(0x18, []byte{1}), el(0x19, bytes.Repeat([]byte{7}, 128)))),
		el(0x1a, []byte{1}), el(0x1b, make([]byte, 20)))
}

// A file is read as the one kind that its own header says, and as no other, though
// each of these is signed by the same key and has a body that reads as records.
func TestKindIsBoundToForm(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	body := sast(id, trustlist.FormatName(id.Certificate.Subject))
	v1, v2 := [2]byte{1, 2}, [2]byte{2, 0}
	none := trustlist.Kind(0)
	for _, c := range []struct {
		name    string
		version [2]byte
		behind  []byte
		want    trustlist.Kind
	}{
		{"ITLFile.tlv", v1, nil, trustlist.ITL},
		{"ITLFile.tlv", [2]byte{1, 0}, nil, trustlist.ITL},
		{"itlfile.TLV", v1, nil, trustlist.ITL},
		{"ITLSEP64A0E71502CC.tlv", v1, nil, trustlist.ITL},
		{"CTLFile.tlv", v1, nil, trustlist.CTL},
		{"ctlsep64a0e71502cc.tlv", v1, nil, trustlist.CTL},
		{"logo.png.sgn", [2]byte{1, 0}, nil, trustlist.SGN},
		{"RingList.dat.sgn", [2]byte{1, 0}, nil, trustlist.SGN},
		{"SEP64A0E71502CC.cnf.xml.sgn", v1, nil, trustlist.SGN},
		{"SEP64A0E71502CC.cnf.xml", v1, nil, trustlist.SGN},
		{"ITLFile.tlv.sgn", v1, nil, trustlist.SGN},
		{"ITLFile", v1, nil, trustlist.SGN},
		{"-", v1, nil, trustlist.SGN},
		{"SEP64A0E71502CC.cnf.xml.enc.sgn", v2, encryption(), trustlist.ENC},
		{"-", v2, encryption(), trustlist.ENC},
		{"File.tlv", v1, nil, none},
		{".tlv", v1, nil, none},
		{"SEP64A0E71502CC.tlv", v1, nil, none},
		{"ext_ITLSEP64A0E71502CC.tlv", v1, nil, none},
		{"File.tlv", v2, encryption(), none},
		{"ITLFile.tlv", v2, nil, none},
		{"ITLFile.tlv", v1, encryption(), none},
		{"CTLFile.tlv", v2, encryption(), none},
		{"SEP64A0E71502CC.cnf.xml.sgn", v1, encryption(), none},
		{"SEP64A0E71502CC.cnf.xml.enc.sgn", v2, nil, none},
	} {
		data := craft{name: c.name, version: c.version, behind: c.behind, body: body}.sign(t, id)
		what := fmt.Sprintf("FILENAME %q, version %d.%d, encryption %v", c.name, c.version[0], c.version[1], c.behind != nil)
		got, err := trustlist.Recognise(data)
		if got != c.want || (c.want == none) != errors.Is(err, trustlist.ErrWrongFile) {
			t.Errorf("%s: recognised as %v, %v; want %v", what, got, err, c.want)
		}
		for _, kind := range kinds {
			_, err := trustlist.Parse(kind, data)
			if want := kind == c.want; (err == nil) != want || !want && !errors.Is(err, trustlist.ErrWrongFile) {
				t.Errorf("%s: read as %v: %v, want accepted %v", what, kind, err, want)
			}
		}
	}
	// A C reader would see the name end at the NUL.
	data := craft{name: "ITLFile.tlv\x00.sgn", body: body}.sign(t, id)
	if _, err := trustlist.Parse(trustlist.SGN, data); !errors.Is(err, trustlist.ErrMalformed) {
		t.Errorf("a NUL inside FILENAME: %v, want %v", err, trustlist.ErrMalformed)
	}
}

// The writers make no file of which the header would not say its kind.
func TestWritersBindTheKind(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	phone := pkitest.Identity(t, "SEP64A0E71502CC", pki.Service)
	list := func(kind trustlist.Kind, name string, v trustlist.Version) error {
		_, err := trustlist.BuildList(trustlist.ListSpec{Kind: kind, FileName: name, Version: v, Time: pkitest.Time,
			Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: id.Certificate}}}, id.SigningKey())
		return err
	}
	sign := func(name string) error {
		_, err := trustlist.SignFile(name, []byte("a"), trustlist.SHA1, pkitest.Time, id.SigningKey())
		return err
	}
	encrypt := func(name string) error {
		_, err := trustlist.EncryptFile(trustlist.EncryptSpec{Name: name, Content: []byte("a"), To: rsaKey(phone.Certificate.PublicKey), Time: pkitest.Time}, rand.Reader, id.SigningKey())
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		ok   bool
	}{
		{"ITL ITLSEP64A0E71502CC.tlv", list(trustlist.ITL, "ITLSEP64A0E71502CC.tlv", trustlist.Version{}), true},
		{"ITL CTLFile.tlv", list(trustlist.ITL, "CTLFile.tlv", trustlist.Version{}), false},
		{"CTL ITLFile.tlv", list(trustlist.CTL, "ITLFile.tlv", trustlist.Version{}), false},
		{"ITL logo.png.sgn", list(trustlist.ITL, "logo.png.sgn", trustlist.Version{}), false},
		{"ITL of version 2", list(trustlist.ITL, "", trustlist.Version{Major: 2}), false},
		{"signed file", sign("a.cnf.xml.sgn"), true},
		{"signed ITLFile.tlv", sign("ITLFile.tlv"), false},
		{"signed other.tlv", sign("other.tlv"), false},
		{"signed file without a name", sign(""), false},
		{"encrypted file", encrypt("a.cnf.xml.enc.sgn"), true},
		{"encrypted CTLFile.tlv", encrypt("CTLFile.tlv"), false},
	} {
		if (c.err == nil) != c.ok || !c.ok && !errors.Is(c.err, trustlist.ErrWrongFile) {
			t.Errorf("%s: %v, want accepted %v", c.what, c.err, c.ok)
		}
	}
}

// moves returns the element lists in which one element stands elsewhere.
func moves(elements [][]byte, from int) (out [][][]byte) {
	rest := slices.Delete(slices.Clone(elements), from, from+1)
	for to := range elements {
		if to != from {
			out = append(out, slices.Insert(slices.Clone(rest), to, elements[from]))
		}
	}
	return out
}

// The SIGNATURE element is not covered by the signature. Moved to any other place of
// the header, the file is not read any more, so that its checksum stays its own.
func TestSignatureHasOnePlace(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	file := craft{front: el(0x1c, []byte{1, 1}), behind: el(0x30, []byte("later")), pad: 5, body: sast(id, "CN=a")}
	good := file.sign(t, id)
	f := pkitest.Parse(t, trustlist.ITL, good)
	if err := f.CheckSignature(rsaKey(id.Certificate.PublicKey)); err != nil {
		t.Fatal(err)
	}
	sigAt := f.SignatureOffset() - 3
	sig := good[sigAt : sigAt+3+len(f.Signature)]
	rest := slices.Delete(bytes.Clone(good), sigAt, sigAt+len(sig))
	read := 0
	for at := 0; at <= len(rest); at++ {
		moved := slices.Insert(bytes.Clone(rest), at, sig...)
		g, err := trustlist.Parse(trustlist.ITL, moved)
		if err != nil || g.CheckSignature(rsaKey(id.Certificate.PublicKey)) != nil {
			continue
		}
		read++
		if !bytes.Equal(moved, good) {
			t.Errorf("SIGNATURE at %d instead of %d still verifies", at, sigAt)
		}
	}
	if read != 1 {
		t.Errorf("%d places are accepted, want 1", read)
	}
}

// Elements stand in the known orders alone, also where the signature covers them.
func TestHeaderOrder(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	body := sast(id, "CN=a")
	for _, c := range []struct {
		name string
		kind trustlist.Kind
		file craft
	}{
		{"ITL", trustlist.ITL, craft{front: el(0x1c, []byte{1, 1}), body: body, pad: 1}},
		{"ENC", trustlist.ENC, craft{version: [2]byte{2, 0}, name: "a.enc.sgn", behind: encryption(), body: make([]byte, 16), pad: 1}},
		{"unknown element", trustlist.ITL, craft{behind: el(0x30, []byte("later")), body: body, pad: 1}},
	} {
		var elements [][]byte
		c.file.reorder = func(e [][]byte) [][]byte { elements = e; return e }
		pkitest.Parse(t, c.kind, c.file.sign(t, id))
		for from := range elements {
			for _, moved := range moves(elements, from) {
				if _, err := trustlist.Parse(c.kind, signElements(t, id, moved, c.file.body)); !errors.Is(err, trustlist.ErrMalformed) {
					t.Errorf("%s: element 0x%02x moved: %v, want %v", c.name, elements[from][0], err, trustlist.ErrMalformed)
				}
			}
		}
	}
	// Inside SIGNERID two orders are known.
	for _, order := range [][]byte{{4, 5, 6}, {4, 6, 5}, {5, 4, 6}, {5, 6, 4}, {6, 4, 5}, {6, 5, 4}} {
		_, err := trustlist.Parse(trustlist.ITL, craft{order: order, body: body}.sign(t, id))
		if known := order[0] == 4; (err == nil) != known {
			t.Errorf("order %v inside SIGNERID: %v, want accepted %v", order, err, known)
		}
	}
}

// What belongs in a container stands in it, and nothing else does.
func TestContainers(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	name := nul(trustlist.FormatName(id.Certificate.Subject))
	serial := id.Certificate.SerialNumber.Bytes()
	algorithms := el(9, el(10, []byte{0}), el(11, []byte{1}))
	signerID, info := el(3, el(4, name), el(5, serial), el(6, name)), el(7, el(8, []byte{1}), algorithms)
	build := func(change func(e [][]byte) [][]byte) []byte {
		return craft{pad: -1, body: sast(id, "CN=a"), reorder: func(e [][]byte) [][]byte {
			e = change(e)
			n := len(slices.Concat(e...))
			e[1] = el(2, u16(n))
			return e
		}}.sign(t, id)
	}
	put := func(at int, with ...[]byte) func([][]byte) [][]byte {
		return func(e [][]byte) [][]byte { return slices.Replace(e, at, at+1, with...) }
	}
	for _, c := range []struct {
		what string
		data []byte
		ok   bool
	}{
		{"as it is", build(put(2, signerID)), true},
		{"names outside SIGNERID", build(put(2, el(4, name), el(5, serial), el(6, name))), false},
		{"names behind SIGNERID", build(put(2, el(3), el(4, name), el(5, serial), el(6, name))), false},
		{"CANAME in SIGNATUREINFO", build(func(e [][]byte) [][]byte {
			return put(3, el(7, el(6, name), el(8, []byte{1}), algorithms))(put(2, el(3, el(4, name), el(5, serial)))(e))
		}), false},
		{"unknown element in SIGNERID", build(put(2, el(3, el(4, name), el(5, serial), el(6, name), el(0x30, nil)))), false},
		{"padding in SIGNERID", build(put(2, el(3, el(4, name), el(5, serial), el(6, name), el(0x0d, nil)))), false},
		{"FILENAME in SIGNERID", build(func(e [][]byte) [][]byte {
			return put(2, el(3, el(4, name), el(5, serial), el(6, name), e[5]))(slices.Delete(slices.Clone(e), 5, 6))
		}), false},
		{"digest in SIGNATUREALGOINFO", build(put(3, el(7, el(9, el(8, []byte{1}), el(10, []byte{0}), el(11, []byte{1}))))), false},
		{"SIGNATUREINFO as it is", build(put(3, info)), true},
	} {
		_, err := trustlist.Parse(trustlist.ITL, c.data)
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, trustlist.ErrMalformed) {
			t.Errorf("%s: %v, want accepted %v", c.what, err, c.ok)
		}
	}
}

// wild is an ITL that certutils made for a site without CUCM, in December 2025.
func wild(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/wild-itl.tlv")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Real lists are read: their order, their commas, their records.
func TestWildList(t *testing.T) {
	f := pkitest.Parse(t, trustlist.ITL, wild(t))
	if i, err := f.CheckOwn(); i != 0 || err != nil {
		t.Errorf("CheckOwn = %d, %v; want 0, nil", i, err)
	}
	var roles []string
	for i := range f.Records {
		roles = append(roles, f.Records[i].Role().String())
	}
	want := "System Administrator Security Token, CCM, CCM, APP-SERVER, APP-SERVER"
	if got := strings.Join(roles, ", "); got != want || f.SignerVersion != (trustlist.Version{Major: 1}) {
		t.Errorf("records %s, signer version %v; want %s, 1.0", got, f.SignerVersion, want)
	}
}
