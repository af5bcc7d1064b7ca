package state

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"

	"itlagent/agent/settings"
	"itlagent/testbench/cluster/profile"
)

// config writes a phone's configuration, or the default one for nil.
func (s *State) config(p *profile.PhoneSpec) []byte {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	tvs := func() {
		b.WriteString("<TVS>\n<members>\n")
		for i, node := range s.deviceOrder(profile.TVSService) {
			host, port, _ := net.SplitHostPort(node.Advertised("tvs"))
			fmt.Fprintf(&b, "<member  priority=\"%d\">\n<port>%s</port>\n<address>%s</address>\n</member>\n", i, port, host)
		}
		b.WriteString("</members>\n</TVS>\n")
	}
	if p == nil {
		b.WriteString("<Default>\n<callManagerGroup>\n<members>\n")
		s.callManagers(&b)
		b.WriteString("</members>\n</callManagerGroup>\n")
		if s.Release().DefaultTVS || s.Profile.Fixed {
			tvs()
		}
		b.WriteString("</Default>\n")
		return []byte(b.String())
	}
	protocol := p.Settings[ProtocolSetting]
	if protocol == "" {
		protocol = "SIP"
	}
	b.WriteString("<device>\n<deviceProtocol>" + protocol + "</deviceProtocol>\n<devicePool>\n<name>Default</name>\n<callManagerGroup>\n<members>\n")
	s.callManagers(&b)
	b.WriteString("</members>\n</callManagerGroup>\n</devicePool>\n")
	tvs()
	mode := s.SecurityMode(p)
	fmt.Fprintf(&b, "<deviceSecurityMode>%d</deviceSecurityMode>\n", map[settings.SecurityMode]int{settings.NonSecure: 1, settings.Authenticated: 2, settings.Encrypted: 3}[mode])
	for _, name := range deviceSettings {
		if value := p.Settings[name]; value != "" {
			fmt.Fprintf(&b, "<%s>%s</%s>\n", name, value, name)
		}
	}
	for _, node := range first(s.deviceOrder(profile.TomcatService)) {
		fmt.Fprintf(&b, "<directoryURL>https://%s%s</directoryURL>\n", node.Advertised("tomcat"), DirectoryPath)
	}
	b.WriteString("<vendorConfig>\n")
	names := make([]string, 0, len(p.Settings))
	for name := range p.Settings {
		if name != SecuritySetting && !IsDeviceSetting(name) { // which stand elsewhere
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "<%s>%s</%s>\n", name, p.Settings[name], name)
	}
	b.WriteString("</vendorConfig>\n</device>\n")
	stamp := stampOf(b.String())
	return []byte(strings.Replace(b.String(), "<vendorConfig>", "<versionStamp>{"+stamp+"}</versionStamp>\n<vendorConfig>", 1))
}

// stampOf returns the version of a configuration: the same as long as nothing of it changes.
// Clusters number theirs by UUIDs.
func stampOf(config string) string {
	sum := sha256.Sum256([]byte(config))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Stamp returns the version of a phone's configuration, as it stands there without braces.
func (s *State) Stamp(p *profile.PhoneSpec) string {
	_, stamp, _ := strings.Cut(string(s.config(p)), "<versionStamp>{")
	stamp, _, _ = strings.Cut(stamp, "}")
	return stamp
}

func (s *State) callManagers(b *strings.Builder) {
	for i, node := range s.deviceOrder(profile.CallManagerService) {
		host, port, _ := net.SplitHostPort(node.Advertised("sip"))
		_, skinny, _ := net.SplitHostPort(node.Advertised("sccp"))
		ports := "<ethernetPhonePort>" + skinny + "</ethernetPhonePort>\n<sipPort>" + port + "</sipPort>\n"
		if s.Mixed {
			_, secured, _ := net.SplitHostPort(node.Advertised("sips"))
			ports += "<securedSipPort>" + secured + "</securedSipPort>\n"
		}
		fmt.Fprintf(b, "<member  priority=\"%d\">\n<callManager>\n<ports>\n%s</ports>\n<processNodeName>%s</processNodeName>\n</callManager>\n</member>\n", i, ports, host)
	}
}

// SecuritySetting is the setting of a phone that says how it talks to call managers: 1
// non-secure, 2 authenticated, 3 encrypted.
const SecuritySetting = "deviceSecurityMode"

// TransportSetting is the setting of a phone that says by what it reaches call managers
// where it is not secured: 2 is UDP.
const TransportSetting = "transportLayerProtocol"

// ProtocolSetting is the setting of a phone that says which firmware it has: "SCCP", or
// "SIP", as where it is absent.
const ProtocolSetting = "deviceProtocol"

// deviceSettings are those that stand in <device> itself: the transport, and the login of
// the debug shell. ProtocolSetting stands there too, in another place.
var deviceSettings = []string{"sshUserId", "sshPassword", TransportSetting}

// IsDeviceSetting reports whether a setting stands in <device> itself, and has no default.
func IsDeviceSetting(name string) bool {
	return name == ProtocolSetting || slices.Contains(deviceSettings, name)
}

// SecurityMode returns how a phone talks to call managers: outside of mixed mode there is
// nothing but non-secure.
func (s *State) SecurityMode(p *profile.PhoneSpec) settings.SecurityMode {
	if !s.Mixed {
		return settings.NonSecure
	}
	return settings.Settings{Secure: p.Settings[SecuritySetting]}.SecurityMode()
}

// deviceOrder returns the nodes with a service as the phones' device pool lists
// them: the publisher first. At most five fit a configuration.
func (s *State) deviceOrder(service profile.Service) []*Node {
	var order []*Node
	for _, n := range s.Nodes {
		switch {
		case n.Spec().Absent[service]:
		case n.IsPublisher():
			order = slices.Insert(order, 0, n)
		default:
			order = append(order, n)
		}
	}
	return order[:min(len(order), 5)]
}

// DirectoryPath is where an application server has the directory.
const DirectoryPath = "/ccmcip/xmldirectory.jsp"

// first returns the first node, if there is one.
func first(nodes []*Node) []*Node { return nodes[:min(len(nodes), 1)] }
