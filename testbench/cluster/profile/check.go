package profile

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/settings"
)

// Limits of a profile.
const (
	maxNodes    = 39 // more certificates do not fit a list that phones can load
	maxDomain   = 200
	maxSetting  = 255 // bytes of a value
	minPassword = 6   // bytes
)

// The bench clock is within these times: a list has its time as 32 bits of seconds since
// 1970, and a certificate that begins before MaxClock ends before the year 9999
// (RFC 5280, section 4.1.2.5).
var (
	MinClock = time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC)
	MaxClock = time.Date(2106, time.January, 1, 0, 0, 0, 0, time.UTC)
)

var (
	hostLabel  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	macAddress = regexp.MustCompile(`^[0-9A-F]{12}$`)
	phoneModel = regexp.MustCompile(`^CP-[0-9A-Z-]{4,12}$`)
	settingKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,39}$`)
)

// CheckLabel reports a name that is not a label of a host name (RFC 1123): letters,
// digits and hyphens, at most 63 bytes.
func CheckLabel(label string) error {
	if !hostLabel.MatchString(label) {
		return fmt.Errorf("invalid host name %q", label)
	}
	return nil
}

// CheckDomain reports what is not a domain name of at most 200 bytes.
func CheckDomain(domain string) error {
	for label := range strings.SplitSeq(domain, ".") {
		if !hostLabel.MatchString(label) || len(domain) > maxDomain {
			return fmt.Errorf("invalid domain name %q", domain)
		}
	}
	return nil
}

// CheckSetting reports a setting of a phone that its configuration cannot hold.
func CheckSetting(name, value string) error {
	if !settingKey.MatchString(name) || len(value) > maxSetting || strings.ContainsAny(value, "<>&") || checkText(value) != nil {
		return fmt.Errorf("setting %q: a name of letters and digits, and a value of visible characters without <, > and &", name)
	}
	if name == "deviceProtocol" && value != "" && value != "SIP" && value != "SCCP" {
		return fmt.Errorf("setting %s: %q; there are SIP and SCCP", name, value)
	}
	return nil
}

// checkText reports characters that a reader cannot see, and what is not UTF-8.
func checkText(text string) error {
	if printable.Text(text) != text {
		return fmt.Errorf("%.40q has characters that cannot be seen", text)
	}
	return nil
}

// CheckPassword reports a password that is too short.
func CheckPassword(password string) error {
	if len(password) < minPassword {
		return fmt.Errorf("a password has at least %d characters", minPassword)
	}
	return nil
}

// CheckKeySize reports a size, in bits, that no RSA certificate of a cluster has.
func CheckKeySize(bits int) error {
	if bits != 1024 && bits != 2048 && bits != 4096 {
		return fmt.Errorf("%d bits; 1024, 2048 or 4096", bits)
	}
	return nil
}

// CheckPhone reports a MAC address, a model or a setting that no phone has.
func CheckPhone(ph *PhoneSpec) error {
	switch {
	case !macAddress.MatchString(ph.MAC):
		return field(fmt.Errorf("MAC address %q is not 12 upper-case hex digits", ph.MAC), "mac")
	case !phoneModel.MatchString(ph.Model):
		return field(fmt.Errorf("model %q is not like CP-7965G", ph.Model), "model")
	}
	for name, value := range ph.Settings {
		if err := CheckSetting(name, value); err != nil {
			return field(err, "settings")
		}
	}
	return nil
}

// Check reports what is impossible in a profile.
func (p *Profile) Check() error {
	release, err := FindRelease(p.Release)
	if err != nil {
		return field(err, "$.release")
	}
	if err := p.checkCommon(&release); err != nil {
		return err
	}
	if len(p.Nodes) == 0 || len(p.Nodes) > maxNodes {
		return field(fmt.Errorf("%d nodes: a cluster has 1 to %d", len(p.Nodes), maxNodes), "$.nodes")
	}
	names, taken := make(map[string]bool), make(map[string]string)
	publishers := 0
	for i := range p.Nodes {
		n := &p.Nodes[i]
		at := func(err error, key string) error { return field(err, "$.nodes[%d].%s", i, key) }
		if n.Publisher {
			publishers++
		}
		switch {
		case names[n.Name]:
			return at(fmt.Errorf("there are two nodes %s", n.Name), "name")
		case publishers > 1:
			return at(errors.New("a second publisher; a cluster has one"), "role")
		}
		names[n.Name] = true
		if err := n.check(&release); err != nil {
			return below(err, "$.nodes[%d]", i)
		}
		if err := checkTold(n.Host, p.Advertise); err != nil {
			return at(err, "address")
		}
		if err := p.checkPorts(n, taken); err != nil {
			return at(err, "name")
		}
	}
	if publishers != 1 {
		return field(errors.New("no node with the role publisher"), "$.nodes")
	}
	return p.checkPhones()
}

// checkCommon is for what is not of one node or phone.
func (p *Profile) checkCommon(release *Release) error {
	if err := checkSizes(p.Bits, release); err != nil {
		return field(err, "$.keySizes")
	}
	if !p.Installed.IsZero() && (p.Installed.Before(MinClock) || p.Installed.After(MaxClock)) {
		return field(fmt.Errorf("clock %s: the years are 1970 to 2105", p.Installed.Format(time.DateOnly)), "$.clock")
	}
	if _, err := time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
		return field(fmt.Errorf("unknown time zone %.40q: names are like America/Los_Angeles", p.Timezone), "$.timezone")
	}
	o := &p.Organisation
	for _, text := range []struct{ path, value string }{{"name", p.Name}, {"organisation.ou", o.OU}, {"organisation.o", o.O},
		{"organisation.l", o.L}, {"organisation.st", o.ST}, {"organisation.c", o.C}, {"recoveryName", p.RecoveryName}} {
		if err := checkText(text.value); err != nil {
			return field(err, "$.%s", text.path)
		}
	}
	if p.RecoveryName != "" && !release.Recovery {
		return field(fmt.Errorf("release %s has no ITLRecovery", p.Release), "$.recoveryName")
	}
	for _, address := range []struct{ path, value string }{{"address", p.Host}, {"advertise", p.Advertise}} {
		if err := checkAddress(address.value); err != nil {
			return field(err, "$.%s", address.path)
		}
	}
	if err := checkTold(p.Host, p.Advertise); err != nil {
		return field(err, "$.address")
	}
	for _, password := range []struct{ path, value string }{{"administrator", p.AdminPassword}, {"security", p.SecurityPassword}} {
		if password.value == "" {
			continue
		}
		if err := CheckPassword(password.value); err != nil {
			return field(err, "$.passwords.%s", password.path)
		}
	}
	return nil
}

// checkTold reports an address that phones could not be told.
func checkTold(host, advertise string) error {
	told := advertise
	if told == "" {
		told = host
	}
	if ip := net.ParseIP(told); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("phones cannot be told the address %s: set advertise to the one that reaches it", told)
	}
	return nil
}

func checkAddress(address string) error {
	if address != "" && net.ParseIP(address) == nil {
		return fmt.Errorf("invalid IP address %q", address)
	}
	return nil
}

// check is for one node by itself; paths in its errors begin at the node.
func (n *NodeSpec) check(release *Release) error {
	if err := CheckLabel(n.Name); err != nil {
		return field(err, "name")
	}
	if n.Domain != "" {
		if err := CheckDomain(n.Domain); err != nil {
			return field(err, "domain")
		}
	}
	if err := checkText(n.CAPFName); err != nil {
		return field(err, "capfName")
	}
	if err := checkSizes(n.Bits, release); err != nil {
		return field(err, "keySizes")
	}
	if err := checkAddress(n.Host); err != nil {
		return field(err, "address")
	}
	if n.Port < 0 || n.Port > 65535-portsPerNode-settings.SecureSkinny {
		return field(fmt.Errorf("port %d", n.Port), "port")
	}
	for name, port := range n.Ports {
		if name == "sccps" || !slices.Contains(AllPorts(), name) || port < 0 || port > maxPort(name) {
			return field(fmt.Errorf("port %s: %d; there are: tftp, %s", name, port, strings.Join(PortNames(), ", ")), "ports")
		}
	}
	return nil
}

// checkPorts reports an address that another port has, and adds the node's own.
func (p *Profile) checkPorts(n *NodeSpec, taken map[string]string) error {
	for _, name := range AllPorts() {
		port := p.Port(n, name)
		if port == 0 {
			continue
		}
		address := net.JoinHostPort(p.Address(n), fmt.Sprint(port))
		if name == "tftp" {
			address += "/udp"
		}
		if other := taken[address]; other != "" {
			return fmt.Errorf("%s %s is that of %s too", name, address, other)
		}
		taken[address] = n.Name + " " + name
	}
	return nil
}

func (p *Profile) checkPhones() error {
	phones := make(map[string]bool)
	for i := range p.Phones {
		ph := &p.Phones[i]
		if err := CheckPhone(ph); err != nil {
			return below(err, "$.phones[%d]", i)
		}
		if phones[ph.MAC] {
			return field(fmt.Errorf("there are two phones %s", ph.MAC), "$.phones[%d].mac", i)
		}
		phones[ph.MAC] = true
	}
	return nil
}

func checkSizes(sizes map[Unit]int, release *Release) error {
	for u, bits := range sizes {
		if !slices.Contains(release.Units(), u) || u == CallManagerEC {
			return fmt.Errorf("release %s has no RSA certificate %q", release.Name, u)
		}
		if err := CheckKeySize(bits); err != nil {
			return fmt.Errorf("%s: %w", u, err)
		}
	}
	return nil
}
