package admin

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// A file of keys beyond its limit lets nobody in, and is not read.
func TestAuthorizedIsBounded(t *testing.T) {
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, AuthorizedKeys)
	if err := os.WriteFile(path, ssh.MarshalAuthorizedKey(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if !authorized(dir, key) {
		t.Error("the key is not known")
	}
	if err := os.Truncate(path, maxKeys+1); err != nil {
		t.Fatal(err)
	}
	if authorized(dir, key) {
		t.Error("a file that is too large was read")
	}
}
