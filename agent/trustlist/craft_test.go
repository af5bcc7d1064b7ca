package trustlist_test

import (
	"crypto"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
)

// el encodes one element.
func el(tag byte, value ...[]byte) []byte {
	v := slices.Concat(value...)
	return append([]byte{tag, byte(len(v) >> 8), byte(len(v))}, v...)
}

func nul(s string) []byte { return append([]byte(s), 0) }

func u16(n int) []byte { return []byte{byte(n >> 8), byte(n)} }

// record encodes a record from its elements, RECORDLENGTH in front.
func record(elements ...[]byte) []byte {
	body := slices.Concat(elements...)
	return append(el(0x01, u16(len(body)+5)), body...)
}

// craft writes files that BuildList would not: other orders, unknown elements,
// other padding. Its zero fields give what CUCM writes into an ITL.
type craft struct {
	version [2]byte // 1.2
	order   []byte  // tags inside SIGNERID, in order; 4, 5, 6
	issuer  string  // as written into the header
	name    string  // FILENAME; "ITLFile.tlv" where "", left out where "-"
	front   []byte  // header elements behind HEADERLENGTH
	behind  []byte  // header elements behind TIMESTAMP
	pad     int     // bytes; -1 for none, 0 for as many as align the header
	body    []byte

	// reorder, if not nil, changes the order of the elements: VERSION to padding.
	reorder func(elements [][]byte) [][]byte
}

// signatureTag marks the place of SIGNATURE among the elements of a craft.
const signatureTag = 0x0c

func (c craft) sign(t testing.TB, id *pki.Identity) []byte {
	t.Helper()
	if c.version == [2]byte{} {
		c.version = [2]byte{1, 2}
	}
	if c.order == nil {
		c.order = []byte{4, 5, 6}
	}
	name := trustlist.FormatName(id.Certificate.Subject)
	if c.issuer == "" {
		c.issuer = name
	}
	if c.name == "" {
		c.name = "ITLFile.tlv"
	}
	inside := map[byte][]byte{4: nul(name), 5: id.Certificate.SerialNumber.Bytes(), 6: nul(c.issuer)}
	var signerID []byte
	for _, tag := range c.order {
		signerID = append(signerID, el(tag, inside[tag])...)
	}
	size := id.Certificate.PublicKey.(interface{ Size() int }).Size()
	index := map[int]byte{128: 1, 256: 2, 512: 3}[size]
	elements := [][]byte{
		el(1, c.version[:]), el(2, u16(0)), c.front, el(3, signerID),
		el(7, el(8, []byte{1}), el(9, el(10, []byte{0}), el(11, []byte{index}))),
		el(signatureTag, make([]byte, size)), el(0x0e, nul(c.name)), el(0x0f, []byte{0x53, 0x0e, 0x31, 0x4b}), c.behind,
	}
	if c.name == "-" {
		elements = slices.Delete(elements, 6, 7)
	}
	length := len(slices.Concat(elements...))
	pad := max(c.pad, 0)
	if c.pad == 0 {
		pad = (4 - length%4) % 4
	}
	elements = append(elements, slices.Repeat([]byte{0x0d}, pad))
	elements = slices.DeleteFunc(elements, func(e []byte) bool { return len(e) == 0 })
	binary.BigEndian.PutUint16(elements[1][3:], uint16(length+pad))
	if c.reorder != nil {
		elements = c.reorder(elements)
	}
	return signElements(t, id, elements, c.body)
}

// signElements signs a header of the elements, with the body behind it. The element
// of SIGNATURE gets its value, whatever its place.
func signElements(t testing.TB, id *pki.Identity, elements [][]byte, body []byte) []byte {
	t.Helper()
	at := slices.IndexFunc(elements, func(e []byte) bool { return e[0] == signatureTag })
	h := crypto.SHA1.New()
	h.Write(slices.Concat(slices.Concat(elements[:at]...), slices.Concat(elements[at+1:]...), body))
	sig, err := id.Key.Sign(rand.Reader, h.Sum(nil), crypto.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	elements = slices.Clone(elements)
	elements[at] = el(signatureTag, sig)
	return slices.Concat(slices.Concat(elements...), body)
}

// sast encodes a record by which the identity may sign lists, with the names
// written as given.
func sast(id *pki.Identity, name string, more ...[]byte) []byte {
	return record(append([][]byte{
		el(0x03, nul(name)), el(0x04, u16(0)), el(0x05, nul(name)),
		el(0x06, id.Certificate.SerialNumber.Bytes()), el(0x09, id.Certificate.Raw),
	}, more...)...)
}
