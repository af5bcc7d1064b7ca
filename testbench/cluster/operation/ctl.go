package operation

import (
	"errors"
	"fmt"
	"net"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// ErrNoCTL: the cluster has no CTL to be renewed.
var ErrNoCTL = errors.New("CTL File not found. Please run CTLClient plugin or run the CLI - utils ctl.. to generate the CTL file.")

// tokenless is the release from which a cluster signs its CTL with its own keys.
// Earlier ones need the CTL client and hardware tokens, which are not here.
func tokenless(s *state.State) error {
	if !s.Release().Recovery {
		return errors.New("this release signs a CTL with hardware tokens only")
	}
	return nil
}

// SetMixedMode turns mixed mode on, or back off. The CTL of non-secure mode has
// blank CCM+TFTP records. Nodes serve it from the next start of TFTP, or at once
// where the release does (profile.Release.CTLAtOnce).
func SetMixedMode(on bool) Operation {
	return func(s *state.State) error {
		if err := tokenless(s); err != nil {
			return err
		}
		s.Mixed = on
		mode := "non-secure"
		if on {
			mode = "mixed"
		}
		if err := renewCTL(s, "the cluster is in "+mode+" mode"); err != nil {
			return err
		}
		s.Event(s.Publisher(), appCCM, 6, "ClusterSecurityMode", "The cluster is in "+mode+" mode")
		return nil
	}
}

// UpdateCTL writes the CTL again from the present certificates and addresses. Nodes
// serve it as with SetMixedMode.
func UpdateCTL() Operation {
	return func(s *state.State) error {
		if s.CTL == nil {
			return ErrNoCTL
		}
		return renewCTL(s, "the CTL was updated")
	}
}

// ResetCTL writes the CTL again, with the present ITLRecovery certificate in it, and
// signs it with the key that does not sign it ordinarily. Active TFTP nodes serve it at
// once.
func ResetCTL() Operation {
	return func(s *state.State) error {
		if s.CTL == nil {
			return ErrNoCTL
		}
		signer := resetSigner(s)
		if !s.Profile.Fixed && shorter(s, signer) {
			return ErrKeyLength
		}
		reset, err := buildCTL(s, signer, true)
		if err != nil {
			return err
		}
		serveCTL(s, reset, "the CTL was reset, signed by "+signer.Certificate.Subject.CommonName)
		s.Event(s.Publisher(), appTFTP, 6, "CTLReset", "The CTL was reset", events.Tag{Key: "Signer", Value: signer.Certificate.Subject.CommonName})
		return nil
	}
}

func renewCTL(s *state.State, why string) error {
	ctl, err := buildCTL(s, listSigner(s, s.Publisher()), s.Release().CTLHasRecovery())
	if err != nil {
		return err
	}
	s.CTL = ctl
	if s.Release().CTLAtOnce() {
		serveCTL(s, ctl, why)
		resetPhones(s, why)
	}
	return nil
}

// serveCTL gives a CTL to every active TFTP node.
func serveCTL(s *state.State, ctl []byte, why string) {
	s.Effects.Why = why
	for _, n := range s.Nodes {
		if n.Active(profile.TFTPService) {
			n.CTL = ctl
		}
	}
}

// buildCTL writes a CTL in the order of `show ctl` in Cisco's documents: the publisher's
// CallManager certificate as SAST and as CCM+TFTP, CAPF, the other nodes, and ITLRecovery
// behind them where it is wanted. Every record names its node and the node's address.
func buildCTL(s *state.State, signer *pki.Identity, recovery bool) ([]byte, error) {
	form := trustlist.Whole
	if !s.Mixed {
		form = trustlist.Blank
	}
	pub := s.Publisher()
	var records []trustlist.RecordSpec
	add := func(n *state.Node, role trustlist.Role, unit profile.Unit, form trustlist.Form) {
		name, ip := ctlAddress(n)
		records = append(records, trustlist.RecordSpec{Role: role, Certificate: n.Units[unit].Certificate, Form: form, DNSName: name, IP: ip})
	}
	add(pub, trustlist.SAST, profile.CallManager, trustlist.Whole)
	add(pub, trustlist.CCMTFTP, profile.CallManager, form)
	add(pub, trustlist.CAPF, profile.CAPF, trustlist.Whole)
	for _, n := range s.Nodes {
		if n != pub {
			add(n, trustlist.CCMTFTP, profile.CallManager, form)
		}
	}
	if recovery {
		add(pub, trustlist.SAST, profile.ITLRecovery, trustlist.Whole)
	}
	ctl, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.CTL, Digest: s.Digest, Time: s.Now(), Records: records}, signer.SigningKey())
	if err != nil {
		return nil, fmt.Errorf("build CTL: %w", err)
	}
	return ctl, nil
}

// ctlAddress returns the host name of a node and the IPv4 address that phones are told,
// which is zero where that is another kind of address. The fault "unlisted" stages a
// TFTP server that the CTL does not know.
func ctlAddress(n *state.Node) (name string, ip [4]byte) {
	if n.Fault(profile.TFTPService).Kind == "unlisted" {
		return "elsewhere", [4]byte{192, 0, 2, 255} // RFC 5737: nobody's
	}
	host, _, err := net.SplitHostPort(n.Advertised("tftp"))
	if err != nil {
		return n.Name, ip
	}
	if v4 := net.ParseIP(host).To4(); v4 != nil {
		ip = [4]byte(v4)
	}
	return n.Name, ip
}
