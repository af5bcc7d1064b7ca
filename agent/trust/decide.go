package trust

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"itlagent/agent/trustlist"
)

// newestVersion is the newest header version whose elements are all known.
var newestVersion = map[trustlist.Kind]trustlist.Version{
	trustlist.ITL: {Major: 1, Minor: 2}, trustlist.CTL: {Major: 1, Minor: 2},
	trustlist.SGN: {Major: 1, Minor: 2}, trustlist.ENC: {Major: 2, Minor: 0},
}

// Decide says whether a phone in the state trusts the file. A file must be of the
// kind, and have the name, that was asked for, whoever signed it.
//
// Lists are vouched for by, in this order: being the very list that is in force;
// a held list with the signer in a role that signs lists (the CTL first for an
// ITL, the ITL first for a CTL); TVS. A phone with no list, or whose ITL is
// blank and that has no CTL, accepts any list that its own SAST record verifies.
// Signed files are vouched for by a held list with the signer as TFTP or
// CCM+TFTP, then TVS. A list that only vouches for itself is never trusted but
// on first use.
//
// A list that is older than the newest of its kind that was in force is accepted
// with a warning, or not, as the policy has it. One that would open the phone is
// never accepted when it is older, or has no date: a blank list, or one after which
// the phone would accept unsigned files or any list, and did not before. Whoever can
// serve files could else replay it from the day of some past rollback.
//
// Where nobody but TVS can vouch, and no remembered answer does, the verdict has a
// Question.
func Decide(s State, c Candidate) Verdict {
	f := c.File
	if f == nil {
		var err error
		f, err = trustlist.Parse(c.Kind, c.Data)
		switch {
		case err != nil && !c.Kind.IsList() && Plain(c.Data):
			return Verdict{Reason: NotSigned, Detail: "it begins as XML, without a signed header"}
		case err != nil:
			return rejectFor(err)
		}
	} else if f.Kind != c.Kind {
		return Verdict{Reason: WrongFile, Detail: fmt.Sprintf("wanted %v, it is %v", c.Kind, f.Kind), File: f}
	}
	d := decision{State: &s, file: f, v: Verdict{File: f}}
	if d.settledByForm(c.Name) || d.alreadyInForce() {
		return d.v
	}
	d.vouch()
	d.older()
	return d.v
}

// Answered goes on with a decision that had a Question: what the phone in the state,
// the same as before, says now that it has the answer. It is final, and the file is
// not read again. An accepted verdict says that the answer vouched; only then is it
// to be remembered. An answer to another question leaves the verdict as it is.
func (v Verdict) Answered(s State, a Answer) Verdict {
	if v.Question == nil || v.File == nil || !a.Question.Same(*v.Question) {
		return v
	}
	d := decision{State: &s, file: v.File, v: v}
	d.v.Question, d.v.Offset, d.v.Detail = nil, 0, ""
	d.v.Steps = append([]Step(nil), v.Steps...)
	d.v.Warnings = append([]string(nil), v.Warnings...)
	d.answered(&a)
	d.older()
	return d.v
}

// older warns of a list that is accepted and older than the newest that was in force,
// or rejects it.
func (d *decision) older() {
	held, latest := d.inForce(d.file.Kind)
	if !d.v.Accepted || !d.file.Kind.IsList() || held == nil || latest.IsZero() {
		return
	}
	at := d.file.Time()
	if !at.IsZero() && !at.Before(latest) {
		return
	}
	date, than := "has no date", "the one in force"
	if latest.After(held.Time()) {
		than = "the newest that was in force"
	}
	if !at.IsZero() {
		date = "is of " + at.UTC().Format(time.DateTime)
	}
	detail := fmt.Sprintf("the list %s, %s of %s", date, than, latest.UTC().Format(time.DateTime))
	switch {
	case d.opens(held):
		d.v.Accepted, d.v.Via = false, ViaNone
		d.reject(OlderList, 0, detail+": one that opens the phone must be newer")
	case at.IsZero() || held.Kind == trustlist.ITL && Blank(held): // not compared
	case d.Policy.RefuseOlder:
		d.v.Accepted, d.v.Via = false, ViaNone
		d.reject(OlderList, 0, detail)
	default:
		d.warn("%s: it may be replayed", detail)
	}
}

// opens reports whether the list would open the phone in the place of the held one:
// it is blank, or the phone would accept unsigned files or any list after it, and
// does not now.
func (d *decision) opens(held *trustlist.File) bool {
	after := State{CTL: d.CTL, ITL: d.ITL}
	if d.file.Kind == trustlist.CTL {
		after.CTL = d.file
	} else {
		after.ITL = d.file
	}
	return Blank(d.file) && !Blank(held) ||
		d.WantsSigned() && !after.WantsSigned() ||
		!d.FirstUse() && after.FirstUse()
}

// Unsigned says whether a phone in the state accepts a file that is not signed: it
// does while it holds no TFTP certificate.
func Unsigned(s State) Verdict {
	if s.WantsSigned() {
		return Verdict{Reason: NotSigned}
	}
	return Verdict{Accepted: true}
}

// Plain reports whether a file begins as XML does, and so is not a signed one.
func Plain(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n\xef\xbb\xbf"), []byte("<"))
}

// decision carries one run of Decide.
type decision struct {
	*State
	file *trustlist.File
	v    Verdict
}

func (d *decision) reject(r Reason, offset int, detail string) {
	d.v.Reason, d.v.Offset, d.v.Detail = r, offset, detail
}

func (d *decision) accept(via Via) {
	d.v.Accepted, d.v.Reason, d.v.Via = true, Accepted, via
}

func (d *decision) step(where string, record int, result Reason, detail string) {
	d.v.Steps = append(d.v.Steps, Step{where, record, result, detail})
}

func (d *decision) warn(format string, args ...any) {
	d.v.Warnings = append(d.v.Warnings, fmt.Sprintf(format, args...))
}

// reasonFor maps an error of package trustlist.
func reasonFor(err error) Reason {
	switch {
	case errors.Is(err, trustlist.ErrEmpty):
		return EmptyFile
	case errors.Is(err, trustlist.ErrTooLarge):
		return TooLarge
	case errors.Is(err, trustlist.ErrWrongFile):
		return WrongFile
	case errors.Is(err, trustlist.ErrDigest):
		return UnsupportedDigest
	case errors.Is(err, trustlist.ErrWeakKey):
		return WeakKey
	case errors.Is(err, trustlist.ErrSignature):
		return BadSignature
	case errors.Is(err, trustlist.ErrNoSigner):
		return UnknownSigner
	}
	return Malformed
}

func rejectFor(err error) Verdict {
	v := Verdict{Reason: reasonFor(err)}
	var at *trustlist.FileError
	if errors.As(err, &at) {
		v.Offset, v.Detail = at.Offset, at.Detail
	}
	return v
}

// settledByForm rejects what no voucher could save, and collects warnings.
func (d *decision) settledByForm(askedName string) bool {
	f := d.file
	if f.Algorithm != 0 || f.Digest.Hash() == 0 || f.Digest == trustlist.SHA512 && d.Policy.NoSHA512 {
		d.reject(UnsupportedDigest, f.DigestOffset(), fmt.Sprintf("algorithm %d, digest %v", f.Algorithm, f.Digest))
		return true
	}
	if why := Renamed(askedName, string(f.FileName)); why != "" {
		if !d.Policy.AllowRenamed {
			d.reject(WrongFile, f.FileNameOffset(), why)
			return true
		}
		d.warn("%s", why)
	}
	sast := SASTRecords(f)
	if d.Policy.MaxSAST > 0 && sast > d.Policy.MaxSAST {
		d.reject(TooManySAST, f.Length, fmt.Sprintf("%d SAST records, at most %d are allowed", sast, d.Policy.MaxSAST))
		return true
	}
	if sast > trustlist.MaxSAST {
		d.warn("%d SAST records, phones hold %d", sast, trustlist.MaxSAST)
	}
	if newest := newestVersion[f.Kind]; f.Version.Major > newest.Major || f.Version.Major == newest.Major && f.Version.Minor > newest.Minor {
		d.warn("header version %v is newer than %v", f.Version, newest)
	}
	if f.Unknown > 0 {
		d.warn("%d unknown header elements skipped", f.Unknown)
	}
	return false
}

// alreadyInForce accepts the very list that the phone already holds.
func (d *decision) alreadyInForce() bool {
	held, _ := d.inForce(d.file.Kind)
	if !d.file.Kind.IsList() || held == nil || !bytes.Equal(held.Bytes(), d.file.Bytes()) {
		return false
	}
	via := ViaITL
	if d.file.Kind == trustlist.CTL {
		via = ViaCTL
	}
	d.step(via.String(), 0, Accepted, "already in force")
	d.accept(via)
	return true
}
