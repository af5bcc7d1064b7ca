package admin

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"itlagent/platform/console"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/p12"
	"itlagent/testbench/pki"
)

type certificate = x509.Certificate

// Limits of what is read from an SFTP server.
const (
	sftpTime = 20 * time.Second // for one command
	sftpFile = 1 << 20          // bytes
)

// hostPort parts "host" or "host:port"; the port is 22 where none is given.
func hostPort(address string) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return strings.Trim(address, "[]"), "22"
}

// remote is an SFTP server.
type remote struct {
	*sftp.Client
	conn *ssh.Client
}

func (r *remote) Close() {
	r.Client.Close()
	r.conn.Close()
}

// openSFTP logs in to an SFTP server: with the node's own key, a password, or a
// password that is asked for by keyboard-interactive, whichever the server takes.
// The user is asked about a host key that is not known yet; a key that has
// changed is refused.
func (s *Session) openSFTP(host, port, user, password string) (*remote, error) {
	own, err := hostKey(s.Node)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, port)
	var refused error
	conf := &ssh.ClientConfig{
		User: user,
		Auth: []ssh.AuthMethod{
			ssh.PublicKeys(own), ssh.Password(password),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
				return slices.Repeat([]string{password}, len(questions)), nil
			}),
		},
		HostKeyCallback: func(_ string, at net.Addr, key ssh.PublicKey) error {
			refused = s.knowHost(host, address, at, key)
			return refused
		},
		HostKeyAlgorithms: []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoECDSA256, ssh.KeyAlgoED25519},
		Timeout:           sftpTime,
	}
	raw, err := net.DialTimeout("tcp", address, sftpTime)
	if err != nil {
		return nil, fmt.Errorf("SFTP server %s cannot be reached: %w", address, plain(err))
	}
	raw.SetDeadline(time.Now().Add(10 * sftpTime)) // the user may have to answer a question
	conn, chans, reqs, err := ssh.NewClientConn(raw, address, conf)
	if err != nil {
		raw.Close()
		switch {
		case refused != nil:
			return nil, refused
		case strings.Contains(err.Error(), "unable to authenticate"):
			return nil, fmt.Errorf("SFTP server %s does not let user %s in: wrong password or key", address, user)
		}
		return nil, fmt.Errorf("SFTP server %s: %w", address, err)
	}
	raw.SetDeadline(time.Now().Add(sftpTime))
	client := ssh.NewClient(conn, chans, reqs)
	files, err := sftp.NewClient(client)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("SFTP server %s has no sftp subsystem: %w", address, err)
	}
	return &remote{files, client}, nil
}

// plain takes the address off a network error that names it already.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// knowHost reports whether a server's host key is the known one; an unknown one
// is asked about and remembered.
func (s *Session) knowHost(host, address string, at net.Addr, key ssh.PublicKey) error {
	known := s.cluster.State().KnownHosts[address]
	if known != nil && bytes.Equal(known, key.Marshal()) {
		return nil
	}
	kind := keyType(key)
	if known != nil {
		return fmt.Errorf("The host key of %s has changed: it is %s now. Somebody may be listening.\nIf its administrator changed it: unset sftp key %s", address, ssh.FingerprintLegacyMD5(key), address)
	}
	ip, _, _ := net.SplitHostPort(at.String())
	s.say("The authenticity of host '%s (%s)' can't be established.\n%s key fingerprint is %s.", host, ip, kind, ssh.FingerprintLegacyMD5(key))
	answer, err := s.io.Ask("Are you sure you want to continue connecting (yes/no)? ", console.Shown)
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("Host key verification failed.")
	}
	return s.cluster.Apply(operation.RememberHost(address, key.Marshal()))
}

// errNoRemoteFile says that the server has no such file.
var errNoRemoteFile = errors.New("no such file on the SFTP server")

// get reads a file of at most sftpFile bytes.
func (r *remote) get(name string) ([]byte, error) {
	f, err := r.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, errNoRemoteFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, sftpFile+1))
	if err == nil && len(data) > sftpFile {
		err = fmt.Errorf("larger than %d bytes", sftpFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// put writes a file under another name first, and reads its size back.
func (r *remote) put(name string, data []byte) error {
	tmp := name + "." + strings.ToLower(rand.Text()[:8])
	f, err := r.Create(tmp)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o600), f.Close())
	if err == nil {
		if err = r.PosixRename(tmp, name); err != nil {
			r.Remove(name) // servers without the extension rename to new names alone
			err = r.Rename(tmp, name)
		}
	}
	if err != nil {
		r.Remove(tmp)
		return fmt.Errorf("%s: %w", name, err)
	}
	info, err := r.Stat(name)
	if err == nil && info.Size() != int64(len(data)) {
		err = fmt.Errorf("%d of %d bytes arrived", info.Size(), len(data))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// list returns the names in a directory that end in suffix, sorted.
func (r *remote) list(dir, suffix string) ([]string, error) {
	entries, err := r.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// The certificates of a bulk transfer are not secret: their PKCS#12 files have
// the password that Java's key stores have when nobody chooses one.
func (r *remote) putCertificates(name string, certs []*certificate) error {
	data, err := p12.EncodeTrustStore(certs, p12.DefaultPassword)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Base(name), err)
	}
	return r.put(name, data)
}

func (r *remote) certificates(name string) ([]*certificate, error) {
	data, err := r.get(name)
	if err != nil {
		return nil, err
	}
	certs, err := p12.OpenTrustStore(data, p12.DefaultPassword)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return certs, nil
}

// fetchP12 gets a recovery key from an SFTP server.
func (s *Session) fetchP12(address, user, password, name string) (*pki.Identity, error) {
	host, port := hostPort(address)
	r, err := s.openSFTP(host, port, user, password)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := r.get(name)
	if err != nil {
		return nil, err
	}
	id, err := p12.Open(data, s.cluster.State().SecurityPassword)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return id, nil
}
