package admin

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"itlagent/testbench/cluster/operation"
)

var sftpCommands = []command{
	{words: "unset sftp key", args: "HOST[:PORT]", min: 1, max: 1, own: true, about: "forget the host key of an SFTP server, whose new key is then asked about", run: unsetSFTPKey},
}

// showSFTPKey prints lines of an authorized_keys file: the known hosts are comments there.
func showSFTPKey(s *Session, _ []string) error {
	signer, err := hostKey(s.Node)
	if err != nil {
		return err
	}
	s.say("%s", strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))))
	known := s.cluster.State().KnownHosts
	for _, address := range slices.Sorted(maps.Keys(known)) {
		text := "not a key"
		if key, err := ssh.ParsePublicKey(known[address]); err == nil {
			text = keyType(key) + " " + ssh.FingerprintLegacyMD5(key)
		}
		s.say("# known: %s %s", address, text)
	}
	return nil
}

// keyType is the type of a key as questions name it: RSA, ED25519, NISTP256.
func keyType(key ssh.PublicKey) string {
	return strings.ToUpper(strings.TrimPrefix(strings.TrimPrefix(key.Type(), "ssh-"), "ecdsa-sha2-"))
}

func unsetSFTPKey(s *Session, args []string) error {
	address := net.JoinHostPort(hostPort(args[0]))
	if err := s.cluster.Apply(operation.ForgetHost(address)); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	s.say("The host key of %s is forgotten. The next connection asks about its key.", address)
	return nil
}
