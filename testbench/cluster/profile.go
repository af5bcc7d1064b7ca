package cluster

import (
	"time"

	"itlagent/testbench/pki"
)

// Unit is a certificate of a node, in the words of `set cert regen`.
type Unit string

// The units of a node.
const (
	CallManager Unit = "CallManager"
	TVS         Unit = "TVS"
	CAPF        Unit = "CAPF"
)

// NodeSpec describes a node.
type NodeSpec struct {
	Name, Domain string
	Publisher    bool
	Bits         map[Unit]int // RSA key sizes; 1024 where absent
	CAPFName     string       // common name of the CAPF certificate
}

// PhoneSpec describes a phone that the cluster knows.
type PhoneSpec struct {
	MAC   string // 12 upper-case hex digits
	Model string
}

// Profile describes a cluster before its installation.
type Profile struct {
	Name         string
	Organisation pki.Name // everything but CN
	Nodes        []NodeSpec
	Phones       []PhoneSpec
	// RecoveryName is the common name of the ITL recovery certificate. It is
	// made once, at installation, and keeps the publisher's name of that day.
	RecoveryName  string
	RecoveryBits  int
	RecoveryYears int
	Installed     time.Time
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
		Name:         "note",
		Organisation: pki.Name{OU: "tac", O: "cisco", L: "rtp", ST: "nc", C: "US"},
		Nodes: []NodeSpec{
			{Name: "test10pub", Domain: "joemar2.lab", Publisher: true, CAPFName: "CAPF-75638ad9"},
			{Name: "test10sub", Domain: "joemar2.lab", CAPFName: "CAPF-2b6e01c4", Bits: map[Unit]int{TVS: 2048}},
		},
		Phones:        []PhoneSpec{{MAC: "64A0E71502CC", Model: "CP-7965G"}},
		RecoveryName:  "ITLRECOVERY_test10pub.joe2.lab",
		RecoveryBits:  1024,
		RecoveryYears: 5,
		Installed:     time.Date(2014, time.February, 26, 18, 0, 0, 0, time.UTC),
	}
}
