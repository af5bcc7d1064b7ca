package trustlist

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrDecrypt says that an encrypted file cannot be opened with a key. It is the same
// error for every reason: what differs would tell a forger something about the key.
var ErrDecrypt = errors.New("cannot be decrypted")

// sessionKey is the size of the AES key of encrypted files, in bytes.
const sessionKey = 16

// Decrypt returns the plaintext of an ENC file, given the private key that it was
// encrypted for. The signature must have been checked before: it covers the
// ciphertext. The plaintext's own digest is checked here.
func (f *File) Decrypt(key *rsa.PrivateKey) ([]byte, error) {
	e := f.Encryption
	if f.Kind != ENC || e == nil {
		return nil, fmt.Errorf("%w: %v is not encrypted", ErrDecrypt, f.Kind)
	}
	body := f.Content()
	hash := e.PlainDigest.Hash()
	if hash == 0 || len(body) == 0 || len(body)%aes.BlockSize != 0 || len(e.IV) != aes.BlockSize || e.PadLength > aes.BlockSize {
		return nil, ErrDecrypt
	}
	// PKCS #1 v1.5 is what the files have. Nobody is told why a key was wrong: the
	// digest below gives the same error.
	session := make([]byte, sessionKey)
	//lint:ignore SA1019 the format of the files prescribes it
	if err := rsa.DecryptPKCS1v15SessionKey(nil, key, e.WrappedKey, session); err != nil {
		return nil, ErrDecrypt
	}
	block, err := aes.NewCipher(session)
	if err != nil {
		return nil, ErrDecrypt
	}
	plain := bytes.Clone(body)
	cipher.NewCBCDecrypter(block, e.IV).CryptBlocks(plain, plain)
	end := len(plain) - e.PadLength
	sum := hash.New()
	sum.Write(plain[:end])
	padding := bytes.Repeat([]byte{byte(tagPad)}, e.PadLength)
	if !bytes.Equal(sum.Sum(nil), e.PlainHash) || !bytes.Equal(plain[end:], padding) {
		return nil, ErrDecrypt
	}
	plain = plain[:end]
	return plain, nil
}

// EncryptSpec is a file that is to be encrypted for one phone.
type EncryptSpec struct {
	Name    string // "SEP64A0E71502CC.cnf.xml.enc.sgn", bound to the kind as in SignFile
	Content []byte
	To      *rsa.PublicKey // the phone's
	Digest  Digest         // of content and signature; SHA-1 where 0
	Time    time.Time
}

// EncryptFile encrypts a file for a phone's key and puts a signed header in front.
// random gives the session key and the IV.
func EncryptFile(spec EncryptSpec, random io.Reader, signer SigningKey) ([]byte, error) {
	digest, content, to := spec.Digest, spec.Content, spec.To
	if digest == 0 {
		digest = SHA1
	}
	hash := digest.Hash()
	if hash == 0 {
		return nil, fmt.Errorf("%w: digest %v", ErrDigest, digest)
	}
	session, iv := make([]byte, sessionKey), make([]byte, aes.BlockSize)
	for _, b := range [][]byte{session, iv} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
	}
	//lint:ignore SA1019 the format of the files prescribes it
	wrapped, err := rsa.EncryptPKCS1v15(random, to, session)
	if err != nil {
		return nil, fmt.Errorf("wrap key: %w", err)
	}
	pad := aes.BlockSize - len(content)%aes.BlockSize
	body := append(bytes.Clone(content), bytes.Repeat([]byte{byte(tagPad)}, pad)...)
	block, err := aes.NewCipher(session)
	if err != nil {
		return nil, err
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
	sum := hash.New()
	sum.Write(content)
	head := head{version: Version{2, 0}, digest: digest, fileName: spec.Name, time: spec.Time, encryption: &Encryption{
		IV: iv, PadLength: pad, KeyBits: to.N.BitLen(), WrappedKey: wrapped, PlainDigest: digest, PlainHash: sum.Sum(nil)}}
	if err := checkForm(spec.Name, head.version, head.encryption, ENC); err != nil {
		return nil, err
	}
	return head.sign(body, signer, ENC.SizeLimit())
}

// put writes the elements that say how to decrypt.
func (e *Encryption) put(w *writer) {
	short := func(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
	var iv, key, info writer
	iv.put(tagIVAlgorithm, []byte{0})
	iv.put(tagIV, e.IV)
	iv.put(tagPadLength, short(e.PadLength))
	key.put(tagKeyAlgorithm, []byte{0})
	key.put(tagKeyBits, short(e.KeyBits))
	key.put(tagWrapAlgorithm, []byte{1})
	key.put(tagWrappedKey, e.WrappedKey)
	info.put(tagIVInfo, iv.b)
	info.put(tagKeyInfo, key.b)
	w.put(tagEncryptionInfo, info.b)
	w.put(tagPlainDigest, []byte{byte(e.PlainDigest)})
	w.put(tagPlainHash, e.PlainHash)
}
