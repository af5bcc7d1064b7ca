package trust

import (
	"crypto/x509"
	"time"

	"itlagent/agent/trustlist"
)

// State is what a phone knows when it decides. The zero State is a phone fresh
// from the factory.
type State struct {
	CTL, ITL *trustlist.File // the lists in force; nil where none is

	// Servers counts the TVS servers in the stored configuration. With none,
	// unknown signers stay unknown and no question is asked.
	Servers int

	Answers []Answer  // what TVS servers said, cached or fresh
	Now     time.Time // answers past their expiry do not count

	// Certificates are vouched for by the caller itself, for any role. Phones
	// have none; host tools do.
	Certificates []*x509.Certificate

	Policy Policy
}

// Policy holds what differs between phones or is not documented.
type Policy struct {
	// MaxSAST rejects lists with more SAST records. 0 only warns, from the
	// documented limit of 2 on.
	MaxSAST int
	// NoSHA512 models a phone that knows SHA-1 and SHA-256 alone.
	NoSHA512 bool
	// CheckFileName rejects a signed file whose FILENAME is another name than
	// the one asked for. It is off: what CUCM writes there is not documented.
	CheckFileName bool
	// RefuseOlder rejects a list that is older than the one of its kind in force: a
	// replay. Off, such a list is taken with a warning, as real phones do, which know
	// no protection against that; restoring an old list depends on it.
	RefuseOlder bool
}

// Question is what the phone wants to know from a TVS: the certificate of a
// signer, by names and serial number.
type Question struct {
	Subject, Issuer string
	Serial          []byte
}

// Same reports whether two questions ask for one certificate.
func (q Question) Same(o Question) bool {
	return trustlist.SameSerial(q.Serial, o.Serial) && trustlist.SameName([]byte(q.Issuer), []byte(o.Issuer))
}

// Answer is what came of a question.
type Answer struct {
	Question Question
	Failure  Failure          // why there is no answer; the rest then is unset
	Server   string           // who answered, for people
	Detail   string           // what happened, for people; may be empty
	Valid    bool             // the status: false means that TVS does not vouch
	Cert     []byte           // the certificate in DER
	Roles    []trustlist.Role // what the certificate may do
	Expires  time.Time        // end of the answer's time to live; zero is for ever
}

// Failure tells why a question has no answer.
type Failure uint8

// The failures.
const (
	Answered    Failure = iota
	Unreachable         // no connection, no handshake, or no answer in time
	Untrusted           // the server's certificate is not in the phone's ITL
	Garbled             // an answer that breaks the protocol
)

// Candidate is a file that wants to be believed.
type Candidate struct {
	Kind trustlist.Kind
	Name string // as asked for; may be empty
	Data []byte
}

// Step is one place where a voucher was looked for, and what came of it.
type Step struct {
	Where  string // "ctl", "itl", "tvs", "cert", "self"
	Record int    // 1-based record of the list; 0 where none came close
	Result Reason // Accepted where it vouched
	Detail string // for people; may be empty
}

// Verdict is the outcome: accepted, or rejected for a Reason. With a Question the
// rejection is not final: the answer may turn it.
type Verdict struct {
	Accepted bool
	Reason   Reason
	Via      Via
	Question *Question // ask this, and decide again

	Offset   int    // the place in the file that the reason speaks of, in bytes
	Detail   string // what is wrong there; may be empty
	File     *trustlist.File
	Steps    []Step   // the path that was tried, in order
	Warnings []string // what is odd but no obstacle
}

// Blank reports whether a list has had its TFTP and TVS sections emptied for a
// roll-back to a release before 8.0: it has such records, and none carries a
// key, certificate or hash. Only the layout of an empty record in a CTL is
// documented; that of an ITL is taken to be alike.
func Blank(list *trustlist.File) bool {
	if list == nil {
		return false
	}
	blank := false
	for i := range list.Records {
		switch r := &list.Records[i]; r.Role() {
		case trustlist.TFTP, trustlist.CCMTFTP, trustlist.TVS:
			if !r.Empty() {
				return false
			}
			blank = true
		}
	}
	return blank
}

// WantsSigned reports whether the phone asks for signed files: it holds a list
// with a TFTP record that carries a key, certificate or hash.
func (s *State) WantsSigned() bool {
	for _, list := range []*trustlist.File{s.CTL, s.ITL} {
		if list == nil {
			continue
		}
		for i := range list.Records {
			if r := &list.Records[i]; r.Role().SignsFiles() && !r.Empty() {
				return true
			}
		}
	}
	return false
}

// HasTVS reports whether a TVS could be asked at all: the configuration names a
// server, and the ITL a TVS certificate to know it by.
func (s *State) HasTVS() bool {
	if s.Servers == 0 || s.ITL == nil {
		return false
	}
	for i := range s.ITL.Records {
		if r := &s.ITL.Records[i]; r.Role() == trustlist.TVS && !r.Empty() {
			return true
		}
	}
	return false
}

// answer returns the live answer to a question.
func (s *State) answer(q Question) *Answer {
	for i := range s.Answers {
		a := &s.Answers[i]
		if a.Question.Same(q) && (a.Expires.IsZero() || s.Now.Before(a.Expires)) {
			return a
		}
	}
	return nil
}
