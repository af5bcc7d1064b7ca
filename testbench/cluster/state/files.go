package state

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
)

// ErrNoFile is the answer for a name that a node does not serve. Its text is the one
// that TFTP sends.
var ErrNoFile = errors.New("File not found")

var perDevice = regexp.MustCompile(`^(CTL|ITL|)SEP([0-9A-F]{12})\.(tlv|cnf\.xml|cnf\.xml\.sgn|cnf\.xml\.enc\.sgn)$`)

// File returns what the node's TFTP service has under a name, faults of its content
// included, whether or not the service runs. Per-device names of phones that the
// cluster does not know are not found. Over HTTPS a signed name gives the file
// unsigned: there the connection vouches for it.
func (n *Node) File(name string, https bool) ([]byte, error) {
	data, err := n.file(name, https)
	if err != nil {
		return nil, err
	}
	switch n.Fault(profile.TFTPService).Kind {
	case "missing":
		return nil, ErrNoFile
	case "truncate":
		data = data[:len(data)/2]
	case "large":
		if strings.HasSuffix(name, ".tlv") {
			data = append(slices.Clone(data), make([]byte, trustlist.MaxListSize)...)
		}
	case "old":
		if strings.HasPrefix(name, "ITL") && n.OldITL != nil {
			data = n.OldITL
		}
	}
	return data, nil
}

func (n *Node) file(name string, https bool) ([]byte, error) {
	s := n.in
	plain, signed := strings.CutSuffix(name, ".sgn")
	switch {
	case https && !strings.HasPrefix(name, "SEP"):
		return nil, ErrNoFile
	case name == "ITLFile.tlv":
		return n.ITL, nil
	case name == "CTLFile.tlv" && n.CTL != nil:
		return n.CTL, nil
	case plain == "XMLDefault.cnf.xml":
		return n.signedIf(signed, name, s.config(nil))
	}
	m := perDevice.FindStringSubmatch(name)
	if m == nil || s.Phone(m[2]) == nil {
		return nil, ErrNoFile
	}
	switch {
	case m[1] == "ITL" && m[3] == "tlv":
		return n.ITL, nil
	case m[1] == "CTL" && m[3] == "tlv" && n.CTL != nil:
		return n.CTL, nil
	case m[1] != "" || m[3] == "tlv":
		return nil, ErrNoFile
	}
	p := s.Phone(m[2])
	switch whole := s.config(p); {
	case m[3] == "cnf.xml.enc.sgn" && p.Certificate == nil:
		return nil, ErrNoFile
	case m[3] == "cnf.xml.enc.sgn":
		return n.encrypted(name, whole, p)
	case p.Certificate != nil:
		return n.signedIf(signed && !https, name, reduced(p))
	default:
		return n.signedIf(signed && !https, name, whole)
	}
}

// encrypted writes a configuration that only the phone's key opens.
func (n *Node) encrypted(name string, whole []byte, p *profile.PhoneSpec) ([]byte, error) {
	key, ok := p.Certificate.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("phone %s: its key is not RSA", p.MAC)
	}
	return trustlist.EncryptFile(trustlist.EncryptSpec{Name: name, Content: whole, To: key, Digest: n.in.Digest, Time: n.in.Now()}, rand.Reader, n.Signer.SigningKey())
}

// reduced is what everybody may see of a configuration that is encrypted.
func reduced(p *profile.PhoneSpec) []byte {
	return fmt.Appendf(nil, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<device>\n<fullConfig>false</fullConfig>\n<ipAddressMode>0</ipAddressMode>\n"+
		"<loadInformation></loadInformation>\n<capfAuthMode>0</capfAuthMode>\n<certHash>%x</certHash>\n<encrConfig>true</encrConfig>\n</device>\n",
		md5.Sum(p.Certificate.Certificate.Raw))
}

func (n *Node) signedIf(signed bool, name string, content []byte) ([]byte, error) {
	if !signed {
		return content, nil
	}
	return n.in.signed.get(n, name, content, func() ([]byte, error) {
		return trustlist.SignFile(name, content, n.in.Digest, n.in.Now(), n.Signer.SigningKey())
	})
}

// TFTPFiles lists what `file list tftp` shows of the node: the files that are
// there without a phone's asking.
func (n *Node) TFTPFiles() []string {
	files := []string{"ITLFile.tlv", "XMLDefault.cnf.xml", "XMLDefault.cnf.xml.sgn"}
	if n.CTL != nil {
		files = append(files, "CTLFile.tlv")
	}
	if n.RecoveryP12() != nil {
		files = append(files, P12Name)
	}
	for _, p := range n.in.Phones {
		files = append(files, "SEP"+p.MAC+".cnf.xml", "SEP"+p.MAC+".cnf.xml.sgn")
	}
	slices.Sort(files)
	return files
}

// TFTPFile returns a file by a name that TFTPFiles lists.
func (n *Node) TFTPFile(name string) ([]byte, error) {
	if name == P12Name {
		if p12 := n.RecoveryP12(); p12 != nil {
			return p12, nil
		}
		return nil, ErrNoFile
	}
	return n.file(name, false)
}
