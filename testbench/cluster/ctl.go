package cluster

import (
	"errors"
	"fmt"

	"itlagent/agent/trustlist"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// ErrNoCTL: the cluster has no CTL to be renewed.
var ErrNoCTL = errors.New("CTL File not found. Please run CTLClient plugin or run the CLI - utils ctl.. to generate the CTL file.")

// tokenless is the release from which a cluster signs its CTL with its own keys.
// Earlier ones need the CTL client and hardware tokens, which are not here.
func (s *state) tokenless() error {
	if !s.release().Recovery {
		return errors.New("this release signs a CTL with hardware tokens alone")
	}
	return nil
}

// SetMixedMode turns mixed mode on, or back off. The CTL of non-secure mode has
// blank CCM+TFTP records. Nodes serve it from the next start of TFTP.
func (c *Cluster) SetMixedMode(on bool) error {
	return c.update(func(s *state) error {
		if err := s.tokenless(); err != nil {
			return err
		}
		s.Mixed = on
		if err := s.renewCTL(s.listSigner(s.publisher())); err != nil {
			return err
		}
		mode := "non-secure"
		if on {
			mode = "mixed"
		}
		s.event(s.publisher(), appCCM, 6, "ClusterSecurityMode", "The cluster is in "+mode+" mode")
		return nil
	})
}

// UpdateCTL writes the CTL anew from the present certificates.
func (c *Cluster) UpdateCTL() error {
	return c.update(func(s *state) error {
		if s.CTL == nil {
			return ErrNoCTL
		}
		return s.renewCTL(s.listSigner(s.publisher()))
	})
}

// ResetCTL signs the CTL with the key that does not sign it ordinarily, as
// ResetITL does with the ITL. Active TFTP nodes serve it at once.
func (c *Cluster) ResetCTL() (names []string, err error) {
	err = c.update(func(s *state) error {
		names = nil
		if s.CTL == nil {
			return ErrNoCTL
		}
		signer := s.resetSigner()
		if !s.Profile.Fixed && s.shorter(signer) {
			return ErrKeyLength
		}
		current, err := trustlist.Parse(trustlist.CTL, s.CTL)
		if err != nil {
			return fmt.Errorf("the CTL: %w", err)
		}
		reset, err := trustlist.Resign(current, s.now(), signer.SigningKey())
		if err != nil {
			return err
		}
		s.why = "the CTL was reset, signed by " + signer.Certificate.Subject.CommonName
		for _, n := range s.Nodes {
			if s.runs(n, TFTPService) {
				n.CTL = reset
				names = append(names, n.Name)
			}
		}
		s.event(s.publisher(), appTFTP, 6, "CTLReset", "The CTL was reset", events.Tag{Key: "Signer", Value: signer.Certificate.Subject.CommonName})
		return nil
	})
	return names, err
}

func (s *state) renewCTL(signer *pki.Identity) error {
	form := trustlist.Whole
	if !s.Mixed {
		form = trustlist.Blank
	}
	pub := s.publisher()
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: pub.Units[CallManager].Certificate},
		{Role: trustlist.SAST, Certificate: s.recovery().Certificate},
		{Role: trustlist.CAPF, Certificate: pub.Units[CAPF].Certificate},
	}
	for _, n := range s.Nodes {
		records = append(records, trustlist.RecordSpec{
			Role: trustlist.CCMTFTP, Certificate: n.Units[CallManager].Certificate, Form: form, DNSName: n.Name})
	}
	ctl, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.CTL, Digest: s.Digest, Time: s.now(), Records: records}, signer.SigningKey())
	if err != nil {
		return fmt.Errorf("build CTL: %w", err)
	}
	s.CTL = ctl
	return nil
}

// MixedMode reports the cluster's security mode.
func (c *Cluster) MixedMode() bool { return c.state().Mixed }
