package cluster

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
)

// errNoFile is the answer for a name that the node does not serve.
var errNoFile = errors.New("File not found") // the text that TFTP sends

var perDevice = regexp.MustCompile(`^(CTL|ITL|)SEP([0-9A-F]{12})\.(tlv|cnf\.xml|cnf\.xml\.sgn|cnf\.xml\.enc\.sgn)$`)

// file returns the file of a name. Per-device names of phones that the cluster
// does not know are not found. Over HTTPS a signed name gives the file unsigned:
// there the connection vouches for it.
func (n *Node) file(name string, https bool) ([]byte, error) {
	s := n.cluster.state()
	node := s.Nodes[n.index]
	data, err := s.file(node, name, https)
	if err != nil {
		return nil, err
	}
	switch n.fault(TFTPService).kind {
	case "missing":
		return nil, errNoFile
	case "truncate":
		data = data[:len(data)/2]
	case "large":
		if strings.HasSuffix(name, ".tlv") {
			data = append(slices.Clone(data), make([]byte, trustlist.MaxListSize)...)
		}
	case "old":
		if strings.HasPrefix(name, "ITL") && node.OldITL != nil {
			data = node.OldITL
		}
	}
	return data, nil
}

func (s *state) file(n *nodeState, name string, https bool) ([]byte, error) {
	plain, signed := strings.CutSuffix(name, ".sgn")
	switch {
	case https && !strings.HasPrefix(name, "SEP"):
		return nil, errNoFile
	case name == "ITLFile.tlv":
		return n.ITL, nil
	case name == "CTLFile.tlv" && n.CTL != nil:
		return n.CTL, nil
	case plain == "XMLDefault.cnf.xml":
		return s.signedIf(n, signed, name, s.config(nil))
	}
	m := perDevice.FindStringSubmatch(name)
	if m == nil || s.phone(m[2]) == nil {
		return nil, errNoFile
	}
	switch {
	case m[1] == "ITL" && m[3] == "tlv":
		return n.ITL, nil
	case m[1] == "CTL" && m[3] == "tlv" && n.CTL != nil:
		return n.CTL, nil
	case m[1] != "" || m[3] == "tlv":
		return nil, errNoFile
	}
	p := s.phone(m[2])
	switch whole := s.config(p); {
	case m[3] == "cnf.xml.enc.sgn" && p.Certificate == nil:
		return nil, errNoFile
	case m[3] == "cnf.xml.enc.sgn":
		return s.encrypted(n, name, whole, p)
	case p.Certificate != nil:
		return s.signedIf(n, signed && !https, name, reduced(p))
	default:
		return s.signedIf(n, signed && !https, name, whole)
	}
}

// encrypted writes a configuration for the phone's key alone.
func (s *state) encrypted(n *nodeState, name string, whole []byte, p *PhoneSpec) ([]byte, error) {
	key, ok := p.Certificate.Certificate.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("phone %s: its key is not RSA", p.MAC)
	}
	return trustlist.EncryptFile(name, whole, key, s.Digest, rand.Reader, s.now(), n.Signer.SigningKey())
}

// reduced is what everybody may see of a configuration that is encrypted.
func reduced(p *PhoneSpec) []byte {
	return fmt.Appendf(nil, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<device>\n<fullConfig>false</fullConfig>\n<ipAddressMode>0</ipAddressMode>\n"+
		"<loadInformation></loadInformation>\n<capfAuthMode>0</capfAuthMode>\n<certHash>%x</certHash>\n<encrConfig>true</encrConfig>\n</device>\n",
		md5.Sum(p.Certificate.Certificate.Raw))
}

func (s *state) signedIf(n *nodeState, signed bool, name string, content []byte) ([]byte, error) {
	if !signed {
		return content, nil
	}
	return trustlist.SignFile(name, content, s.Digest, s.now(), n.Signer.SigningKey())
}

// TFTPFiles lists what `file list tftp` shows of the node: the files that are
// there without a phone's asking.
func (n *Node) TFTPFiles() []string {
	s := n.cluster.state()
	files := []string{"ITLFile.tlv", "XMLDefault.cnf.xml", "XMLDefault.cnf.xml.sgn"}
	if s.Nodes[n.index].CTL != nil {
		files = append(files, "CTLFile.tlv")
	}
	if n.RecoveryP12() != nil {
		files = append(files, P12Name)
	}
	for _, p := range s.Phones {
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
		return nil, errNoFile
	}
	s := n.cluster.state()
	return s.file(s.Nodes[n.index], name, false)
}

// config writes a phone's configuration, or the default one for nil.
func (s *state) config(p *PhoneSpec) []byte {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	tvs := func() {
		b.WriteString("<TVS>\n<members>\n")
		for i, node := range s.deviceOrder(TVSService) {
			host, port, _ := net.SplitHostPort(s.advertised(node, "tvs"))
			fmt.Fprintf(&b, "<member  priority=\"%d\">\n<port>%s</port>\n<address>%s</address>\n</member>\n", i, port, host)
		}
		b.WriteString("</members>\n</TVS>\n")
	}
	if p == nil {
		b.WriteString("<Default>\n<callManagerGroup>\n<members>\n")
		s.callManagers(&b)
		b.WriteString("</members>\n</callManagerGroup>\n")
		if s.release().DefaultTVS || s.Profile.Fixed {
			tvs()
		}
		b.WriteString("</Default>\n")
		return []byte(b.String())
	}
	b.WriteString("<device>\n<deviceProtocol>SIP</deviceProtocol>\n<devicePool>\n<name>Default</name>\n<callManagerGroup>\n<members>\n")
	s.callManagers(&b)
	b.WriteString("</members>\n</callManagerGroup>\n</devicePool>\n")
	tvs()
	b.WriteString("<deviceSecurityMode>1</deviceSecurityMode>\n") // 1: non-secure
	for _, node := range first(s.deviceOrder(TomcatService)) {
		fmt.Fprintf(&b, "<directoryURL>https://%s%s</directoryURL>\n", s.advertised(node, "tomcat"), directoryPath)
	}
	b.WriteString("<vendorConfig>\n")
	names := make([]string, 0, len(p.Settings))
	for name := range p.Settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "<%s>%s</%s>\n", name, p.Settings[name], name)
	}
	b.WriteString("</vendorConfig>\n</device>\n")
	return []byte(b.String())
}

func (s *state) callManagers(b *strings.Builder) {
	for i, node := range s.deviceOrder(CallManagerService) {
		host, port, _ := net.SplitHostPort(s.advertised(node, "sip"))
		fmt.Fprintf(b, "<member  priority=\"%d\">\n<callManager>\n<ports>\n<sipPort>%s</sipPort>\n</ports>\n<processNodeName>%s</processNodeName>\n</callManager>\n</member>\n", i, port, host)
	}
}

// deviceOrder returns the nodes with a service as the phones' device pool lists
// them: the publisher first. At most five fit a configuration.
func (s *state) deviceOrder(service Service) []*nodeState {
	var order []*nodeState
	for i, n := range s.Nodes {
		switch {
		case s.spec(n).Absent[service]:
		case i == s.publisherIndex():
			order = slices.Insert(order, 0, n)
		default:
			order = append(order, n)
		}
	}
	return order[:min(len(order), 5)]
}

// address returns "host:port" of a port of a node by its name. Before its first
// start a node has the ports of its profile, or else the standard ones.
func (s *state) address(n *nodeState, name string) string {
	port, ok := n.Ports[name]
	if !ok {
		port = s.Profile.port(s.spec(n), name)
	}
	if port == 0 {
		port = standardPorts[name]
	}
	return net.JoinHostPort(s.Profile.host(s.spec(n)), fmt.Sprint(port))
}

// advertised is address as phones are told it.
func (s *state) advertised(n *nodeState, name string) string {
	at := s.address(n, name)
	if s.Profile.Advertise == "" {
		return at
	}
	_, port, _ := net.SplitHostPort(at)
	return net.JoinHostPort(s.Profile.Advertise, port)
}

var standardPorts = map[string]int{"http": 6970, "tftp": 69, "tvs": 2445, "https": 6971, "sip": 5060, "tomcat": 8443, "ssh": 22}

// directoryPath is where an application server has the directory.
const directoryPath = "/ccmcip/xmldirectory.jsp"

// first returns the first node, if there is one.
func first(nodes []*nodeState) []*nodeState { return nodes[:min(len(nodes), 1)] }
