package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"itlagent/platform/filestore"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// Backups are files NAME.bak in the folder backups of the cluster's directory: a
// salt, a nonce, and the state, sealed with AES-256-GCM under a key made from the
// security password.
const (
	backupsDir       = "backups"
	backupExtension  = ".bak"
	backupSalt       = 16      // bytes
	backupIterations = 100_000 // of PBKDF2 with SHA-256
)

// ErrNoBackup says that there is no backup of a name.
var ErrNoBackup = errors.New("no backup")

func seal(password string, salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, password, salt, backupIterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (d *Dir) backupPath(name string) (string, error) {
	if d.path == "" {
		return "", errors.New("a cluster in memory has no place for backups")
	}
	if profile.CheckLabel(name) != nil {
		return "", fmt.Errorf("invalid backup name %q", name)
	}
	return filepath.Join(d.path, backupsDir, name+backupExtension), nil
}

// Backup writes a state to a file, sealed with its security password.
func (d *Dir) Backup(name string, s *state.State) error {
	path, err := d.backupPath(name)
	if err != nil {
		return err
	}
	plain, err := s.Encode()
	if err != nil {
		return err
	}
	salt := make([]byte, backupSalt)
	rand.Read(salt)
	aead, err := seal(s.SecurityPassword, salt)
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = filestore.WriteFile(path, aead.Seal(append(salt, nonce...), nonce, plain, nil))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	return nil
}

// ReadBackup opens a backup with the security password that it was written under.
// Without the file the error is ErrNoBackup.
func (d *Dir) ReadBackup(name, password string) (*state.State, error) {
	path, err := d.backupPath(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w %s", ErrNoBackup, name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxState {
		return nil, fmt.Errorf("backup %s has more than %d bytes", name, maxState)
	}
	if len(data) < backupSalt {
		return nil, fmt.Errorf("backup %s is cut off", name)
	}
	aead, err := seal(password, data[:backupSalt])
	if err != nil {
		return nil, err
	}
	data = data[backupSalt:]
	if len(data) < aead.NonceSize() {
		return nil, fmt.Errorf("backup %s is cut off", name)
	}
	plain, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], nil)
	if err != nil {
		return nil, fmt.Errorf("backup %s: the security password does not open it, or it is damaged", name)
	}
	s, err := state.Decode(plain)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", name, err)
	}
	return s, nil
}

// Backups returns the names of the backups, the newest first.
func (d *Dir) Backups() []string {
	if d.path == "" {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(d.path, backupsDir))
	if err != nil {
		return nil
	}
	type backup struct {
		name string
		at   time.Time
	}
	var all []backup
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), backupExtension)
		if info, err := e.Info(); ok && err == nil {
			all = append(all, backup{name, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b backup) int { return b.at.Compare(a.at) })
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.name
	}
	return names
}
