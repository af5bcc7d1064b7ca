package profile

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones, where the system has none

	"itlagent/testbench/pki"
)

// NodeSpec describes a node.
type NodeSpec struct {
	Name, Domain string
	Publisher    bool
	Bits         map[Unit]int     // RSA key sizes; those of the profile where absent
	CAPFName     string           // common name of the CAPF certificate; "" makes one up
	Absent       map[Service]bool // services that the node does not run
	Host         string           // to listen on; that of the profile where ""
	Port         int              // the first of the node's ports; 0 takes free ones
	Ports        map[string]int   // by the names of PortNames, where they differ
	Line         int              `json:"-"` // in the profile's file; 0 where there is none
}

// FQDN returns the node's name with its domain, where it has one.
func (n *NodeSpec) FQDN() string { return FQDN(n.Name, n.Domain) }

// FQDN joins a host name and a domain; many nodes have no domain.
func FQDN(name, domain string) string {
	if domain == "" {
		return name
	}
	return name + "." + domain
}

// PhoneSpec describes a phone that the cluster knows.
type PhoneSpec struct {
	MAC      string // 12 upper-case hex digits
	Model    string
	Settings map[string]string // beside the defaults
	// Certificate is the phone's own, for which its configuration is encrypted; nil
	// leaves that out.
	Certificate *pki.Identity
}

// Profile describes a cluster before its installation.
type Profile struct {
	Name         string
	Release      string
	Organisation pki.Name // everything but CN
	Host         string   // to listen on; 127.0.0.1 where ""
	// Advertise is the address that phones are told in the place of those that the
	// nodes listen on, as for emulated boards behind one; "" tells the latter.
	Advertise string
	Nodes     []NodeSpec
	Phones    []PhoneSpec
	Bits      map[Unit]int // RSA key sizes; those of the release where absent
	// RecoveryName is the common name of the ITL recovery certificate, which keeps
	// the publisher's name of the day of installation; "" takes that name.
	RecoveryName string
	Installed    time.Time // the bench clock at installation; now where zero
	// Timezone is the IANA name of the zone in which nodes print times; UTC where "".
	Timezone string `json:",omitempty"`
	// TVSWithEC gives TVS keys on P-256 in the place of RSA.
	TVSWithEC bool `json:",omitempty"`
	// Fixed leaves the known failures of the release out.
	Fixed bool
	// AdminPassword and SecurityPassword are made up where "".
	AdminPassword, SecurityPassword string
}

// Zone returns the zone in which nodes print times.
func (p *Profile) Zone() *time.Location {
	zone, err := time.LoadLocation(p.Timezone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Note is the cluster of Cisco's note on release 10.0(1): a publisher and a
// subscriber with keys of 1024 bits, but for the subscriber's TVS. Its ITL has
// 5302 bytes, 5322 once signed with the recovery key.
//
// The note prints a recovery name that is three characters longer than its
// lengths allow. Here the publisher was installed in another domain and renamed
// later, which the recovery certificate does not follow.
func Note() Profile {
	return Profile{
		Name: "note", Release: "10.0",
		Organisation: pki.Name{OU: "tac", O: "cisco", L: "rtp", ST: "nc", C: "US"},
		Nodes: []NodeSpec{
			{Name: "test10pub", Domain: "joemar2.lab", Publisher: true, CAPFName: "CAPF-75638ad9"},
			{Name: "test10sub", Domain: "joemar2.lab", CAPFName: "CAPF-2b6e01c4", Bits: map[Unit]int{TVS: 2048}},
		},
		Phones:       []PhoneSpec{{MAC: "64A0E71502CC", Model: "CP-7965G"}},
		RecoveryName: "ITLRECOVERY_test10pub.joe2.lab",
		Timezone:     "America/Los_Angeles",
		Installed:    time.Date(2014, time.February, 26, 18, 0, 0, 0, time.UTC),
	}
}

// ProfileNames lists the built-in profiles.
func ProfileNames() []string { return []string{"note", "8.6", "10.5", "11.5", "12.5", "14"} }

// Builtin returns a built-in profile: the note's cluster, or the same two nodes
// and phone with another release.
func Builtin(name string) (Profile, error) {
	if !slices.Contains(ProfileNames(), name) {
		return Profile{}, fmt.Errorf("no profile %q; there are: %s", name, strings.Join(ProfileNames(), ", "))
	}
	p := Note()
	if name != "note" {
		p.Name, p.Release = name, name
		p.RecoveryName, p.Timezone = "", "" // the publisher's name, and UTC
		p.Nodes[1].Bits = nil
	}
	return p, nil
}
