package trust

import (
	"crypto/x509"
	"net/netip"
	"time"

	"itlagent/agent/trustlist"
)

// State is what a phone knows when it decides. The zero State is a phone fresh
// from the factory.
type State struct {
	CTL, ITL *trustlist.File // the lists in force; nil where none is

	// LatestCTL and LatestITL are the dates of the newest lists that were in force
	// since the phone's lists were last erased, where the caller keeps them. The list
	// in force counts in any case; zero adds nothing to it.
	LatestCTL, LatestITL time.Time

	// Servers counts the TVS servers in the stored configuration. With none,
	// unknown signers stay unknown and no question is asked.
	Servers int

	// Answers are what the phone remembers of TVS. One that is live and vouches for
	// the signer is used in place of a question; the others change nothing.
	Answers []Answer
	Now     time.Time // when the expiry of Answers is looked at

	// Certificates are vouched for by the caller itself, for any role. Phones
	// have none; host tools do.
	Certificates []*x509.Certificate

	Policy Policy
}

// Question is what the phone wants to know from a TVS: the certificate of a
// signer, by names and serial number.
type Question struct {
	Subject, Issuer string
	Serial          []byte

	// Certificate is the signer's certificate in DER as a list has it, the phone's
	// own or the candidate itself; nil where none has. It is not trusted: a TVS that
	// does not know the question can be asked about it.
	Certificate []byte
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

	// Expires is the end of the answer's time to live. Zero is an answer that has
	// none: it counts for the question that was just asked, and is not remembered.
	Expires time.Time
}

// Live reports whether a remembered answer still counts.
func (a *Answer) Live(now time.Time) bool { return now.Before(a.Expires) }

// Vouches reports whether the answer vouches for a certificate at all.
func (a *Answer) Vouches() bool { return a.Failure == Answered && a.Valid }

// Failure tells why a question has no answer. Of several servers' failures the
// largest counts: it says most.
type Failure uint8

// The failures.
const (
	Answered    Failure = iota
	Unreachable         // no connection, no handshake, or no answer in time
	HungUp              // the right server was reached, and closed the connection without an answer
	Untrusted           // the server's certificate is not in the phone's ITL
	Garbled             // an answer that breaks the protocol
)

// reason is what a failure means for the file in question; Accepted for Answered.
func (f Failure) reason() Reason {
	switch f {
	case Answered:
		return Accepted
	case Unreachable:
		return TVSUnreachable
	case HungUp:
		return TVSHungUp
	case Untrusted:
		return TVSUntrusted
	}
	return TVSBadAnswer
}

// Candidate is a file that the phone was given.
type Candidate struct {
	Kind trustlist.Kind
	Name string // as asked for; where it is empty, FILENAME is compared with nothing
	Data []byte

	// File is the file where the caller has parsed it before; Data then is not read.
	File *trustlist.File
}

// Step is one place where a voucher was looked for, and what came of it.
type Step struct {
	Where  string // "ctl", "itl", "tvs", "cert", "self"
	Record int    // 1-based record of the list; 0 where none came close
	Result Reason // Accepted where it vouched
	Detail string // for people; may be empty
}

// Verdict is the outcome: accepted, or rejected for a Reason. With a Question the
// rejection is not final: see Answered.
type Verdict struct {
	Accepted bool
	Reason   Reason
	Via      Via
	Question *Question // ask this, and go on with Answered

	Offset   int    // the place in the file that the reason speaks of, in bytes
	Detail   string // what is wrong there; may be empty
	File     *trustlist.File
	Steps    []Step   // what was tried, in order
	Warnings []string // what is odd but no obstacle
}

// Blank reports whether a list has had its TFTP and TVS sections emptied for a
// rollback to a release before 8.0: it has such records, and none carries a
// key, certificate or hash. Only the layout of an empty record in a CTL is
// documented; that of an ITL is presumed to be alike.
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

// KnowsServer reports whether files of a TFTP server may be used: where the phone holds a
// CTL whose TFTP records have addresses, that of the server, "host" without a port, has to
// be one of them.
func (s *State) KnowsServer(host string) bool {
	ip, err := netip.ParseAddr(host)
	if s.CTL == nil || s.Policy.AnyServer || err != nil {
		return true // a name: see Policy.AnyServer
	}
	listed := false
	for i := range s.CTL.Records {
		r := &s.CTL.Records[i]
		if at, ok := netip.AddrFromSlice(r.Value(trustlist.IPAddress)); ok && r.Role().SignsFiles() && !at.IsUnspecified() {
			if at == ip.Unmap() {
				return true
			}
			listed = true
		}
	}
	return !listed
}

// FirstUse reports whether the phone accepts any list that its own SAST record
// verifies: it holds none, or its ITL is blank and it has no CTL.
func (s *State) FirstUse() bool { return s.CTL == nil && (s.ITL == nil || Blank(s.ITL)) }

// HasTVS reports whether a TVS could be asked at all: the configuration names a
// server, and the ITL has a TVS certificate to know it by.
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

// inForce returns the list of a kind that is in force, and the date of the newest
// that was.
func (s *State) inForce(kind trustlist.Kind) (held *trustlist.File, latest time.Time) {
	held, latest = s.ITL, s.LatestITL
	if kind == trustlist.CTL {
		held, latest = s.CTL, s.LatestCTL
	}
	if held != nil && held.Time().After(latest) {
		latest = held.Time()
	}
	return held, latest
}
