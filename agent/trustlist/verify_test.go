package trustlist_test

import (
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

func rsaKey(key any) *rsa.PublicKey { return key.(*rsa.PublicKey) }

// Every digest with every key size is written, read back and verified, as a list
// and as a signed file.
func TestDigestsAndKeys(t *testing.T) {
	sizes := []int{1024, 2048, 4096}
	if testing.Short() { // an emulated processor takes minutes to make the longest key
		sizes = sizes[:2]
	}
	for _, bits := range sizes {
		id := pkitest.Make(t, pki.Request{Subject: pkitest.Name("pub.example.lab"), Bits: bits})
		for _, digest := range []trustlist.Digest{trustlist.SHA1, trustlist.SHA256, trustlist.SHA512} {
			t.Run(fmt.Sprint(bits, digest), func(t *testing.T) {
				list := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Digest: digest, Records: []trustlist.RecordSpec{
					{Role: trustlist.TFTP, Certificate: id.Certificate}, {Role: trustlist.SAST, Certificate: id.Certificate, DNSName: "pub"},
				}}, id)
				if i, err := list.CheckOwn(); i != 1 || err != nil || list.Digest != digest || len(list.Signature) != bits/8 {
					t.Errorf("CheckOwn = %d, %v; digest %v, signature of %d bytes", i, err, list.Digest, len(list.Signature))
				}
				file := pkitest.Parse(t, trustlist.SGN, pkitest.Signed(t, "a.cnf.xml.sgn", "<device/>", id, digest))
				if err := file.CheckSignature(rsaKey(id.Certificate.PublicKey)); err != nil || string(file.Content()) != "<device/>" {
					t.Errorf("signed file: %v, content %q", err, file.Content())
				}
			})
		}
	}
}

// Every single flipped bit of a list and of a signed file is noticed: the file
// cannot be read, or its signature does not verify.
func TestEveryBit(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	list := pkitest.ITL(t, id, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate},
		trustlist.RecordSpec{Role: trustlist.TVS, Certificate: id.Certificate, Form: trustlist.Hashed})
	file := pkitest.Signed(t, "SEP64A0E71502CC.cnf.xml.sgn", "<device/>", id, trustlist.SHA256)
	key := rsaKey(id.Certificate.PublicKey)
	for _, c := range []struct {
		kind trustlist.Kind
		data []byte
	}{{trustlist.ITL, list.Bytes()}, {trustlist.SGN, file}} {
		flips, unread := 0, 0
		for i := range c.data {
			for bit := range 8 {
				if testing.Short() && bit != i%8 {
					continue
				}
				c.data[i] ^= 1 << bit
				flips++
				f, err := trustlist.Parse(c.kind, c.data)
				switch {
				case err != nil:
					unread++
				case f.CheckSignature(key) == nil:
					t.Errorf("%v: bit %d of byte %d flipped, and it still verifies", c.kind, bit, i)
				}
				c.data[i] ^= 1 << bit
			}
		}
		t.Logf("%v: %d bits flipped, %d made it unreadable, 0 passed", c.kind, flips, unread)
	}
}

// A file that is cut anywhere is not read, or does not verify.
func TestEveryCut(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	rec := trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate}
	data := pkitest.ITL(t, id, rec, rec).Bytes()
	for n := range data {
		f, err := trustlist.Parse(trustlist.ITL, data[:n])
		if err == nil && f.CheckSignature(rsaKey(id.Certificate.PublicKey)) == nil {
			t.Errorf("cut to %d of %d bytes, and it still verifies", n, len(data))
		}
	}
}

func TestSignersRefused(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	other := pkitest.Identity(t, "sub.example.lab", pki.Service)
	ec := pkitest.Make(t, pki.Request{Subject: pkitest.Name("ec.example.lab"), EC: true})
	odd := pkitest.Make(t, pki.Request{Subject: pkitest.Name("odd.example.lab"), Bits: 1536})
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak := pkitest.Make(t, pki.Request{Subject: pkitest.Name("weak.example.lab"), Bits: 768})
	for _, c := range []struct {
		name   string
		signer trustlist.SigningKey
		want   error // nil: any
	}{
		{"no key", trustlist.SigningKey{Certificate: id.Certificate}, nil},
		{"no certificate", trustlist.SigningKey{Key: id.Key}, nil},
		{"key of another certificate", trustlist.SigningKey{Certificate: id.Certificate, Key: other.Key}, nil},
		{"EC key", ec.SigningKey(), nil},
		{"1536 bits have no number", odd.SigningKey(), nil},
		{"768 bits", weak.SigningKey(), trustlist.ErrWeakKey},
	} {
		_, err := trustlist.SignFile("a.sgn", []byte("a"), trustlist.SHA1, pkitest.Time, c.signer)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := trustlist.SignFile("a.sgn", nil, 9, pkitest.Time, id.SigningKey()); !errors.Is(err, trustlist.ErrDigest) {
		t.Errorf("digest 9: %v, want %v", err, trustlist.ErrDigest)
	}
	f := pkitest.Parse(t, trustlist.SGN, pkitest.Signed(t, "a.sgn", "a", id, trustlist.SHA1))
	if err := f.CheckSignature(rsaKey(weak.Certificate.PublicKey)); !errors.Is(err, trustlist.ErrWeakKey) {
		t.Errorf("verify with 768 bits: %v, want %v", err, trustlist.ErrWeakKey)
	}
}

// A certificate is the record's own only where all that the record says of it
// holds.
func TestMatchesCertificate(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	ec := pkitest.Make(t, pki.Request{Subject: pkitest.Name("ec.example.lab"), EC: true})
	lookalike, err := pki.Lookalike(id, 1024)
	if err != nil {
		t.Fatal(err)
	}
	list := pkitest.ITL(t, id,
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate},
		trustlist.RecordSpec{Role: trustlist.TVS, Certificate: id.Certificate, Form: trustlist.Hashed},
		trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: ec.Certificate},
		trustlist.RecordSpec{Role: trustlist.TFTP, Form: trustlist.Blank},
	)
	sum := sha256.Sum256(id.Certificate.Raw)
	forged := craft{body: record(el(0x04, u16(21)), el(0x0b, sum[:]), el(0x0c, []byte{2}))}.sign(t, id)
	short := craft{body: record(el(0x04, u16(21)), el(0x0b, sum[:4]))}.sign(t, id)
	for _, c := range []struct {
		name string
		rec  *trustlist.Record
		cert *pki.Identity
		want bool
	}{
		{"whole", &list.Records[0], id, true},
		{"whole, look-alike", &list.Records[0], lookalike, false},
		{"hashed", &list.Records[1], id, true},
		{"hashed, look-alike", &list.Records[1], lookalike, false},
		{"EC", &list.Records[2], ec, true},
		{"EC, another", &list.Records[2], id, false},
		{"blank", &list.Records[3], id, false},
		{"SHA-256 hash", &pkitest.Parse(t, trustlist.ITL, forged).Records[0], id, true},
		{"hash of 4 bytes", &pkitest.Parse(t, trustlist.ITL, short).Records[0], id, false},
	} {
		if got := c.rec.MatchesCertificate(c.cert.Certificate); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A record whose PUBLICKEY is not a plain RSA key gives an error, not a panic.
func TestPublicKeyForms(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	good := pkitest.ITL(t, id, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate}).Records[0]
	der := good.Value(trustlist.PublicKey)
	for name, key := range map[string][]byte{
		"not DER":         []byte("0123456789"),
		"cut":             der[:len(der)-1],
		"longer":          append(append([]byte{}, der...), 0),
		"negative":        {0x30, 6, 2, 1, 0x80, 2, 1, 3},
		"even exponent":   {0x30, 6, 2, 1, 0x7f, 2, 1, 4},
		"exponent of 1":   {0x30, 6, 2, 1, 0x7f, 2, 1, 1},
		"long exponent":   {0x30, 10, 2, 1, 0x7f, 2, 5, 1, 0, 0, 0, 1},
		"empty modulus":   {0x30, 5, 2, 0, 2, 1, 3},
		"modulus of 4200": append([]byte{0x30, 0x82, 2, 20, 2, 0x82, 2, 13}, make([]byte, 528)...),
		"length of 0x80":  {0x30, 0x80, 0, 0},
	} {
		f := pkitest.Parse(t, trustlist.ITL, craft{body: record(el(0x04, u16(0)), el(0x07, key))}.sign(t, id))
		if k, err := f.Records[0].RSAKey(); !errors.Is(err, trustlist.ErrMalformed) {
			t.Errorf("%s: %v, %v; want %v", name, k, err, trustlist.ErrMalformed)
		}
	}
	if k, err := good.RSAKey(); err != nil || !k.Equal(id.Certificate.PublicKey) {
		t.Errorf("the good one: %v, %v", k, err)
	}
}

func FuzzParse(f *testing.F) {
	id := pkitest.Identity(f, "pub.example.lab", pki.Service)
	key := rsaKey(id.Certificate.PublicKey)
	rec := trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate}
	f.Add(pkitest.ITL(f, id, rec, trustlist.RecordSpec{Role: trustlist.TFTP, Form: trustlist.Blank}).Bytes())
	f.Add(pkitest.Signed(f, "a.cnf.xml.sgn", "<device/>", id, trustlist.SHA512))
	f.Add([]byte{1, 0, 2, 1, 2, 2, 0, 2, 0, 10})
	f.Add(wild(f))
	f.Add(encrypted(f, id))
	moved := func(e [][]byte) [][]byte { return append(slices.Delete(slices.Clone(e), 4, 5), e[4]) }
	f.Add(craft{body: sast(id, "CN=a"), reorder: moved}.sign(f, id))
	f.Add(craft{name: "logo.png.sgn", body: sast(id, "CN=a")}.sign(f, id))
	f.Add(craft{front: el(0x1c, []byte{1, 1}), order: []byte{4, 6, 5}, behind: el(0x30, []byte("later")), body: sast(id, "CN=a")}.sign(f, id))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, err := trustlist.Recognise(data)
		for _, other := range kinds {
			if _, err := trustlist.Parse(other, data); err == nil && other != kind {
				t.Errorf("a file recognised as %v is read as %v", kind, other)
			}
		}
		if err != nil {
			return
		}
		file, err := trustlist.Parse(kind, data)
		if err != nil {
			return
		}
		if len(file.Content()) > len(data) || file.Length+len(file.Content()) != len(data) {
			t.Errorf("header of %d and content of %d bytes in a file of %d", file.Length, len(file.Content()), len(data))
		}
		total := 0
		for i := range file.Records {
			r := &file.Records[i]
			total += r.Length()
			r.X509()
			r.RSAKey()
			r.MatchesCertificate(id.Certificate)
		}
		if kind.IsList() && total != len(file.Content()) {
			t.Errorf("records of %d bytes in %d", total, len(file.Content()))
		}
		file.CheckOwn()
		file.CheckSignature(key)
	})
}

func FuzzSameName(f *testing.F) {
	f.Add("CN=a;O=b, Inc.", "o=b\\, Inc.,cn=a")
	f.Fuzz(func(t *testing.T, a, b string) {
		if trustlist.SameName([]byte(a), []byte(b)) != trustlist.SameName([]byte(b), []byte(a)) {
			t.Errorf("SameName(%q, %q) depends on the order", a, b)
		}
		if a != "" && !trustlist.SameName([]byte(a), []byte(a)) {
			t.Errorf("SameName(%q) with itself is false", a)
		}
	})
}
