package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
)

// Unit is a certificate of a node, in the words of `set cert regen`.
type Unit string

// The units of a node.
const (
	CallManager Unit = "CallManager"
	TVS         Unit = "TVS"
	CAPF        Unit = "CAPF"
	Tomcat      Unit = "tomcat"
	// CallManagerEC is the EC certificate that HTTPS on port 6971 presents.
	CallManagerEC Unit = "CallManager-ECDSA"
	// ITLRecovery of the publisher is the one that counts.
	ITLRecovery Unit = "ITLRecovery"
)

// units returns the units of a node of this release, in the order in which they
// are listed.
func (r *Release) units() []Unit {
	u := []Unit{CallManager, TVS, CAPF, Tomcat}
	if r.HTTPS() {
		u = append(u, CallManagerEC)
	}
	if r.Recovery {
		u = append(u, ITLRecovery)
	}
	return u
}

// Service is a service of a node, by the name that administrators know.
type Service string

// The services.
const (
	TFTPService        Service = "Cisco Tftp" // TFTP, HTTP and HTTPS
	TVSService         Service = "Cisco Trust Verification Service"
	CallManagerService Service = "Cisco CallManager" // SIP
	TomcatService      Service = "Cisco Tomcat"      // an application server by HTTPS
)

// Services returns the services in the order in which they are listed.
func Services() []Service {
	return []Service{CallManagerService, TFTPService, TomcatService, TVSService}
}

// short are the names of services in files and on command lines.
var short = map[string]Service{"tftp": TFTPService, "tvs": TVSService, "sip": CallManagerService, "tomcat": TomcatService}

// FindService returns the service of a name, short ("tftp") or long.
func FindService(name string) (Service, error) {
	if s, ok := short[strings.ToLower(name)]; ok {
		return s, nil
	}
	for _, s := range Services() {
		if strings.EqualFold(name, string(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("no service %q; there are: tftp, tvs, sip, tomcat", name)
}

// Release is what differs between releases of the cluster's software.
type Release struct {
	Name string
	// Recovery is whether there is an ITLRecovery key at all.
	Recovery bool
	// RecoverySigns turns the roles round: lists are signed with ITLRecovery, and
	// a reset signs them with CallManager.
	RecoverySigns bool
	RecoveryYears int
	KeyBits       int
	// SignerVersion is written into lists where not zero; 1.1 invites phones to
	// HTTPS.
	SignerVersion trustlist.Version
	// DefaultTVS is whether the configuration of unknown phones names TVS.
	DefaultTVS bool
	// Restarts is whether services take up a regenerated certificate by
	// themselves.
	Restarts bool
	// RollbackResets is whether setting the rollback parameter restarts services
	// and resets phones.
	RollbackResets bool
	Version        string // as `show version active` prints it
}

// HTTPS reports whether nodes offer configurations by HTTPS.
func (r *Release) HTTPS() bool { return r.SignerVersion != trustlist.Version{} }

// releases are those that a profile may name, oldest first. Their differences
// are those of Cisco's release notes and security guides.
var releases = []Release{
	{Name: "8.6", RecoveryYears: 0, KeyBits: 1024, Version: "8.6.2.20000-2"},
	{Name: "10.0", Recovery: true, RecoveryYears: 5, KeyBits: 1024, DefaultTVS: true, Version: "10.0.1.10000-24"},
	{Name: "10.5", Recovery: true, RollbackResets: true, RecoveryYears: 5, KeyBits: 2048, DefaultTVS: true, Version: "10.5.2.10000-5"},
	{Name: "11.5", Recovery: true, RollbackResets: true, RecoveryYears: 5, KeyBits: 2048, DefaultTVS: true, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Version: "11.5.1.10000-6"},
	{Name: "12.5", Recovery: true, RollbackResets: true, RecoverySigns: true, RecoveryYears: 5, KeyBits: 2048, DefaultTVS: true, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Version: "12.5.1.10000-22"},
	{Name: "14", Recovery: true, RollbackResets: true, RecoverySigns: true, RecoveryYears: 20, KeyBits: 2048, DefaultTVS: true, Restarts: true, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Version: "14.0.1.10000-20"},
}

// FindRelease returns the release of a name.
func FindRelease(name string) (Release, error) {
	var names []string
	for _, r := range releases {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Release{}, fmt.Errorf("no release %q; there are: %s", name, strings.Join(names, ", "))
}

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
	// TVSWithEC gives TVS keys on P-256 in the place of RSA.
	TVSWithEC bool `json:",omitempty"`
	// Fixed leaves the known failures of the release out.
	Fixed bool
	// AdminPassword and SecurityPassword are made up where "".
	AdminPassword, SecurityPassword string
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
		p.RecoveryName = "" // the publisher's name
		p.Nodes[1].Bits = nil
	}
	return p, nil
}

// ShortName returns the short name of a service, "tftp".
func ShortName(service Service) string {
	for name, s := range short {
		if s == service {
			return name
		}
	}
	return string(service)
}
