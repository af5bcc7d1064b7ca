package operation

import (
	"errors"
	"fmt"
	"slices"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// Errors of a reset.
var (
	// ErrNotPublisher has the text that a subscriber answers.
	ErrNotPublisher = errors.New("This is not a Publisher Node")
	// ErrNoRecovery: the release has no ITLRecovery.
	ErrNoRecovery = errors.New("this release has no ITLRecovery key")
	// ErrKeyLength: the recovery key is shorter than the certificates that it is
	// to stand in for, which keeps it from being used.
	ErrKeyLength = errors.New("the ITLRecovery key is shorter than the CallManager key: the reset ITL file could not be generated")
)

// ResetITL does what `utils itl reset` does: it takes the publisher's ITL, signs
// it with the ITL recovery key in place of its signature, copies it to every
// active TFTP node and restarts TFTP there. From release 12 on, where ITLRecovery
// signs ordinary lists, the CallManager key signs the reset one. A key that was
// saved elsewhere replaces the publisher's own; nil uses that. The next ordinary
// restart of TFTP signs as always.
func ResetITL(saved *pki.Identity) Operation {
	return func(s *state.State) error {
		if s.Recovery() == nil {
			return ErrNoRecovery
		}
		signer := resetSigner(s)
		if saved != nil {
			s.Publisher().Units[profile.ITLRecovery] = saved
			if err := renewP12(s); err != nil {
				return err
			}
			s.RecoverySaved = true // it was brought from where it is saved
			signer = saved
		}
		if !s.Profile.Fixed && shorter(s, signer) {
			return ErrKeyLength
		}
		current, err := trustlist.Parse(trustlist.ITL, s.Publisher().ITL)
		if err != nil {
			return fmt.Errorf("the publisher's ITL: %w", err)
		}
		reset, err := trustlist.Resign(current, s.Now(), signer.SigningKey())
		if err != nil {
			return err
		}
		s.Effects.Why = "the list was reset, signed by " + signer.Certificate.Subject.CommonName
		for _, n := range s.Nodes {
			if n.Active(profile.TFTPService) {
				serveITL(s, n, reset)
			}
		}
		s.Event(s.Publisher(), appTFTP, 6, "ITLReset", "The ITL was reset", events.Tag{Key: "Signer", Value: signer.Certificate.Subject.CommonName})
		return nil
	}
}

// ServeITL makes every active TFTP node serve a list as it is, until the next start
// of TFTP: an older one, as a restored file is.
func ServeITL(list []byte) Operation {
	return func(s *state.State) error {
		if _, err := trustlist.Parse(trustlist.ITL, list); err != nil {
			return err
		}

		s.Effects.Why = "a list was put back"
		for _, n := range s.Nodes {
			if n.Active(profile.TFTPService) {
				serveITL(s, n, list)
			}
		}
		return nil
	}
}

// shorter reports whether a key is shorter than a node's CallManager key.
func shorter(s *state.State, signer *pki.Identity) bool {
	for _, n := range s.Nodes {
		if pki.Bits(signer) < pki.Bits(n.Units[profile.CallManager]) {
			return true
		}
	}
	return false
}

// listSigner returns who signs the node's ordinary lists.
func listSigner(s *state.State, n *state.Node) *pki.Identity {
	if s.Release().RecoverySigns {
		return s.Recovery()
	}
	return n.Units[profile.CallManager]
}

// resetSigner returns who signs a list that is reset: the other one.
func resetSigner(s *state.State) *pki.Identity {
	if s.Release().RecoverySigns {
		return s.Publisher().Units[profile.CallManager]
	}
	return s.Recovery()
}

// itlSpec describes the node's ITL in the order of the note: the node's
// CallManager certificate as SAST and as TFTP, CAPF, the first TVS, ITL
// recovery, the other TVS. A TVS certificate of several nodes has one record. What a CA
// has signed has the CA's name as its issuer, which signers are found by; the CA itself
// has no record.
func itlSpec(s *state.State, n *state.Node) trustlist.ListSpec {
	own := n.Units[profile.CallManager].Certificate
	whole, hashed, vouching := trustlist.Whole, trustlist.Hashed, trustlist.Hashed
	if s.Release().WholeTVS() {
		vouching = trustlist.Whole
	}
	if s.Rollback {
		whole, hashed, vouching = trustlist.Blank, trustlist.Blank, trustlist.Blank
	}
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: own},
		{Role: trustlist.TFTP, Certificate: own, Form: whole},
	}
	if ec := n.Units[profile.CallManagerEC]; ec != nil {
		records = append(records, trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: ec.Certificate, Form: hashed})
	}
	records = append(records, trustlist.RecordSpec{Role: trustlist.CAPF, Certificate: s.Publisher().Units[profile.CAPF].Certificate, Form: trustlist.Hashed})
	for i, other := range s.Nodes {
		cert := other.Units[profile.TVS].Certificate
		if !slices.ContainsFunc(records, func(r trustlist.RecordSpec) bool { return r.Role == trustlist.TVS && r.Certificate.Equal(cert) }) {
			records = append(records, trustlist.RecordSpec{Role: trustlist.TVS, Certificate: cert, Form: vouching})
		}
		if id := s.Recovery(); i == 0 && id != nil {
			records = append(records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate})
		}
	}
	return trustlist.ListSpec{Kind: trustlist.ITL, Digest: s.Digest, SignerVersion: s.Release().SignerVersion, Time: s.Now(), Records: records, Oversize: true}
}
