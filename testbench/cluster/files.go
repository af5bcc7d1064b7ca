package cluster

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
)

// errNoFile is the answer for a name that the node does not serve.
var errNoFile = errors.New("File not found") // the text that TFTP sends

var perDevice = regexp.MustCompile(`^(CTL|ITL|)SEP([0-9A-F]{12})\.(tlv|cnf\.xml|cnf\.xml\.sgn)$`)

// file returns the file of a name. Per-device names of phones that the cluster
// does not know are not found.
func (n *Node) file(name string) ([]byte, error) {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()

	plain, signed := strings.CutSuffix(name, ".sgn")
	switch {
	case name == "ITLFile.tlv":
		return n.itl, nil
	case plain == "XMLDefault.cnf.xml":
		return n.signedIf(signed, name, n.config(nil))
	}
	m := perDevice.FindStringSubmatch(name)
	if m == nil || c.phones[m[2]] == nil {
		return nil, errNoFile
	}
	switch {
	case m[1] == "ITL" && m[3] == "tlv":
		return n.itl, nil
	case m[1] == "" && m[3] != "tlv":
		return n.signedIf(signed, name, n.config(c.phones[m[2]]))
	}
	return nil, errNoFile
}

func (n *Node) signedIf(signed bool, name string, content []byte) ([]byte, error) {
	if !signed {
		return content, nil
	}
	return trustlist.SignFile(name, content, n.cluster.digest, n.cluster.now, n.signer.SigningKey())
}

// config writes a phone's configuration, or the default one for nil.
func (n *Node) config(p *phone) []byte {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	tvs := func() {
		b.WriteString("<TVS>\n<members>\n")
		for i, node := range n.cluster.tvsOrder() {
			host, port := node.listeners.tvsAddress()
			fmt.Fprintf(&b, "<member  priority=\"%d\">\n<port>%s</port>\n<address>%s</address>\n</member>\n", i, port, host)
		}
		b.WriteString("</members>\n</TVS>\n")
	}
	if p == nil {
		b.WriteString("<Default>\n")
		tvs()
		b.WriteString("</Default>\n")
		return []byte(b.String())
	}
	b.WriteString("<device>\n<deviceProtocol>SCCP</deviceProtocol>\n<devicePool>\n<name>Default</name>\n</devicePool>\n")
	tvs()
	b.WriteString("<vendorConfig>\n")
	names := make([]string, 0, len(p.settings))
	for name := range p.settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "<%s>%s</%s>\n", name, p.settings[name], name)
	}
	b.WriteString("</vendorConfig>\n</device>\n")
	return []byte(b.String())
}

// tvsOrder returns the nodes as the phones' device pool lists them: the
// publisher first. At most five fit a configuration.
func (c *Cluster) tvsOrder() []*Node {
	order := slices.Clone(c.nodes)
	slices.SortStableFunc(order, func(a, b *Node) int {
		switch {
		case a.NodeSpec.Publisher && !b.NodeSpec.Publisher:
			return -1
		case b.NodeSpec.Publisher && !a.NodeSpec.Publisher:
			return 1
		}
		return 0
	})
	return order[:min(len(order), 5)]
}
