package trustlist_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// known is a source of a session key and an IV that the test knows, before randomness.
type known struct{ first *bytes.Reader }

func (k known) Read(p []byte) (int, error) {
	if k.first.Len() > 0 {
		return k.first.Read(p)
	}
	return rand.Read(p)
}

// Whatever is wrong with an encrypted file, its padding too, is told by one text.
func TestDecryptErrors(t *testing.T) {
	signer, phone, other := pkitest.Identity(t, "pub", pki.Service), pkitest.Identity(t, "phone", pki.Service), pkitest.Identity(t, "other", pki.Service)
	secret := bytes.Repeat([]byte("k"), 16)
	iv := bytes.Repeat([]byte("i"), aes.BlockSize)
	data, err := trustlist.EncryptFile(trustlist.EncryptSpec{Name: "SEP64A0E71502CC.cnf.xml.enc.sgn", Content: []byte("0123456789"), To: phone.Certificate.PublicKey.(*rsa.PublicKey), Time: time.Unix(1393439067, 0)},
		known{bytes.NewReader(append(bytes.Clone(secret), iv...))}, signer.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	open := func(edit func(*trustlist.File), key *pki.Identity) error {
		f, err := trustlist.Parse(trustlist.ENC, bytes.Clone(data))
		if err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			edit(f)
		}
		_, err = f.Decrypt(key.Key.(*rsa.PrivateKey))
		return err
	}
	if err := open(nil, phone); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		edit func(*trustlist.File)
		key  *pki.Identity
	}{
		"another key":        {nil, other},
		"a wrapped key":      {func(f *trustlist.File) { f.Encryption.WrappedKey = f.Encryption.WrappedKey[:20] }, phone},
		"the digest":         {func(f *trustlist.File) { f.Encryption.PlainHash = make([]byte, 20) }, phone},
		"an unknown digest":  {func(f *trustlist.File) { f.Encryption.PlainDigest = 9 }, phone},
		"the length of pads": {func(f *trustlist.File) { f.Encryption.PadLength = 17 }, phone},
		"the IV":             {func(f *trustlist.File) { f.Encryption.IV = f.Encryption.IV[:8] }, phone},
		"a byte of padding": {func(f *trustlist.File) {
			body := f.Content()
			cipher.NewCBCDecrypter(block, iv).CryptBlocks(body, body)
			body[len(body)-1] = 0
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
		}, phone},
	} {
		err := open(test.edit, test.key)
		if err == nil || err.Error() != trustlist.ErrDecrypt.Error() {
			t.Errorf("%s: %v, want %q", name, err, trustlist.ErrDecrypt)
		}
	}
	if strings.Contains(trustlist.ErrDecrypt.Error(), ":") {
		t.Errorf("%v tells more than one thing", trustlist.ErrDecrypt)
	}
}
