package trust

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"itlagent/agent/trustlist"
)

// newestVersion is the newest header version whose elements are all known.
var newestVersion = map[trustlist.Kind]trustlist.Version{
	trustlist.ITL: {Major: 1, Minor: 2}, trustlist.CTL: {Major: 1, Minor: 2},
	trustlist.SGN: {Major: 1, Minor: 2}, trustlist.ENC: {Major: 2, Minor: 0},
}

// Decide says whether a phone in the state believes the file.
//
// Lists are vouched for by, in this order: being the very list that is in force;
// a held list with the signer in a role that signs lists (the CTL first for an
// ITL, the ITL first for a CTL); TVS. A phone with no list, or whose ITL is
// blank and that has no CTL, takes any list that its own SAST record verifies. A list
// older than the one in force is taken with a warning, or not, as the policy has it.
// Signed files are vouched for by a held list with the signer as TFTP or
// CCM+TFTP, then TVS. A list that only vouches for itself is never believed but
// on first use.
func Decide(s State, c Candidate) Verdict {
	f, err := trustlist.Parse(c.Kind, c.Data)
	switch {
	case err != nil && !c.Kind.IsList() && Plain(c.Data):
		return Verdict{Reason: NotSigned, Detail: "it begins as XML, without a signed header"}
	case err != nil:
		return rejectFor(err)
	}
	d := decision{State: &s, file: f, v: Verdict{File: f}}
	if d.settledByForm(c.Name) || d.inForce() {
		return d.v
	}
	d.vouch()
	d.older()
	return d.v
}

// older warns of a list that is accepted and older than the one in force, or rejects
// it. Lists without a date, and a blank ITL in force, are not compared.
func (d *decision) older() {
	held := d.ITL
	if d.file.Kind == trustlist.CTL {
		held = d.CTL
	}
	if !d.v.Accepted || !d.file.Kind.IsList() || held == nil || held.Kind == trustlist.ITL && Blank(held) {
		return
	}
	was, is := held.Time(), d.file.Time()
	if was.IsZero() || is.IsZero() || !is.Before(was) {
		return
	}
	detail := fmt.Sprintf("the list is of %s, the one in force of %s", is.UTC().Format(time.DateTime), was.UTC().Format(time.DateTime))
	if !d.Policy.RefuseOlder {
		d.warn("%s: it may be replayed", detail)
		return
	}
	d.v.Accepted, d.v.Via = false, ViaNone
	d.reject(OlderList, 0, detail)
}

// Unsigned says whether a phone in the state takes a file that is not signed: it
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
	other := map[trustlist.Kind]string{trustlist.ITL: "CTLFile.tlv", trustlist.CTL: "ITLFile.tlv"}[f.Kind]
	if name := string(f.FileName); other != "" && strings.EqualFold(name, other) {
		d.reject(WrongFile, 0, "FILENAME is "+name)
		return true
	}
	if f.Algorithm != 0 || f.Digest.Hash() == 0 || f.Digest == trustlist.SHA512 && d.Policy.NoSHA512 {
		d.reject(UnsupportedDigest, f.DigestOffset(), fmt.Sprintf("algorithm %d, digest %v", f.Algorithm, f.Digest))
		return true
	}
	if !f.Kind.IsList() && askedName != "" && len(f.FileName) != 0 && string(f.FileName) != askedName {
		if d.Policy.CheckFileName {
			d.reject(WrongFile, 0, fmt.Sprintf("FILENAME is %q, asked for %q", f.FileName, askedName))
			return true
		}
		d.warn("FILENAME is %q, asked for %q", f.FileName, askedName)
	}
	sast := 0
	for i := range f.Records {
		if f.Records[i].Role() == trustlist.SAST {
			sast++
		}
	}
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

// inForce accepts the very list that the phone already holds.
func (d *decision) inForce() bool {
	held, via := d.ITL, ViaITL
	if d.file.Kind == trustlist.CTL {
		held, via = d.CTL, ViaCTL
	}
	if !d.file.Kind.IsList() || held == nil || !bytes.Equal(held.Bytes(), d.file.Bytes()) {
		return false
	}
	d.step(via.String(), 0, Accepted, "already in force")
	d.accept(via)
	return true
}

// allowed reports whether a role may sign the candidate.
func (d *decision) allowed(r trustlist.Role) bool {
	if d.file.Kind.IsList() {
		return r.SignsLists()
	}
	return r.SignsFiles()
}

// finding is the outcome of looking through one or more places.
type finding struct {
	vouched bool
	err     error // the signer is there with the right role, but it does not verify
	role    bool  // the signer is there with another role
}

func (d *decision) vouch() {
	places := []struct {
		list *trustlist.File
		via  Via
	}{{d.CTL, ViaCTL}, {d.ITL, ViaITL}}
	if d.file.Kind == trustlist.CTL {
		places[0], places[1] = places[1], places[0]
	}
	var all finding
	for _, p := range places {
		if p.list == nil {
			continue
		}
		if d.lookThrough(p.list, p.via, &all); all.vouched {
			d.accept(p.via)
			return
		}
	}
	for _, cert := range d.Certificates {
		if d.certFits(cert) {
			if err := d.checkWith(cert); err != nil {
				all.err = err
				d.step("cert", 0, reasonFor(err), "")
				continue
			}
			d.step("cert", 0, Accepted, "")
			d.accept(ViaCert)
			return
		}
	}
	if all.err != nil {
		d.rejectErr(all.err)
		return
	}
	if d.file.Kind.IsList() && d.CTL == nil && (d.ITL == nil || Blank(d.ITL)) {
		d.firstUse()
		return
	}
	d.askTVS(all.role)
}

// lookThrough searches a held list for the signer.
func (d *decision) lookThrough(list *trustlist.File, via Via, out *finding) {
	close := false
	for i := range list.Records {
		r := &list.Records[i]
		if !r.Is(d.file.Signer.Issuer, d.file.Signer.Serial) {
			if d.allowed(r.Role()) && !r.Empty() && trustlist.SameName(r.Issuer(), d.file.Signer.Issuer) {
				d.step(via.String(), i+1, UnknownSigner, "the same name with another serial number, "+trustlist.FormatSerial(r.Serial()))
			}
			continue
		}
		close = true
		if !d.allowed(r.Role()) {
			out.role = true
			d.step(via.String(), i+1, RoleMissing, "the record's role is "+r.Role().String())
			continue
		}
		key, err := r.RSAKey()
		if err == nil {
			err = d.file.CheckSignature(key)
		}
		if err == nil {
			out.vouched = true
			d.step(via.String(), i+1, Accepted, "")
			return
		}
		out.err = err
		d.step(via.String(), i+1, reasonFor(err), "")
	}
	if !close {
		d.step(via.String(), 0, UnknownSigner, "")
	}
}

func (d *decision) rejectErr(err error) {
	v := rejectFor(err)
	d.reject(v.Reason, v.Offset, v.Detail)
}

// firstUse believes a list that is whole in itself.
func (d *decision) firstUse() {
	i, err := d.file.CheckOwn()
	if err != nil {
		d.step("self", 0, reasonFor(err), "")
		d.rejectErr(err)
		if errors.Is(err, trustlist.ErrNoSigner) {
			d.v.Offset, d.v.Detail = d.file.SignerOffset(), "even on first use a list must hold its own signer as SAST"
		}
		return
	}
	d.step("self", i+1, Accepted, "first use")
	d.accept(ViaFirstUse)
}

// certFits reports whether the certificate is the one that the file names.
func (d *decision) certFits(cert *x509.Certificate) bool {
	return trustlist.SameSerial(cert.SerialNumber.Bytes(), d.file.Signer.Serial) &&
		trustlist.SameName([]byte(trustlist.FormatName(cert.Issuer)), d.file.Signer.Issuer)
}

func (d *decision) checkWith(cert *x509.Certificate) error {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return &trustlist.FileError{Offset: d.file.SignerOffset(), Err: trustlist.ErrDigest, Detail: "the signer's key is not RSA"}
	}
	return d.file.CheckSignature(key)
}

// askTVS uses the answer about the signer, or asks for it.
func (d *decision) askTVS(roleSeen bool) {
	at := d.file.SignerOffset()
	if !d.HasTVS() {
		reason, why := UnknownSigner, "no TVS: the configuration names none"
		if d.Servers > 0 {
			why = "no TVS: the ITL holds no TVS certificate to know it by"
		}
		if roleSeen {
			reason = RoleMissing
		}
		d.step("tvs", 0, reason, why)
		d.reject(reason, at, why)
		return
	}
	q := Question{Subject: string(d.file.Signer.Name), Issuer: string(d.file.Signer.Issuer), Serial: d.file.Signer.Serial}
	a := d.answer(q)
	if a == nil {
		d.reject(UnknownSigner, at, "TVS has to be asked")
		d.v.Question = &q
		return
	}
	if reason := d.judge(a); reason != Accepted {
		d.step("tvs", 0, reason, strings.TrimSpace(a.Server+" "+a.Detail))
		d.reject(reason, at, a.Detail)
		return
	}
	d.step("tvs", 0, Accepted, a.Server)
	d.accept(ViaTVS)
}

// judge says what an answer is worth.
func (d *decision) judge(a *Answer) Reason {
	switch a.Failure {
	case Answered:
	case Unreachable:
		return TVSUnreachable
	case Untrusted:
		return TVSUntrusted
	default:
		return TVSBadAnswer
	}
	if !a.Valid {
		return TVSInvalid
	}
	cert, err := x509.ParseCertificate(a.Cert)
	if err != nil {
		return TVSBadAnswer
	}
	if !d.certFits(cert) {
		return TVSMismatch
	}
	fits := false
	for _, r := range a.Roles {
		fits = fits || d.allowed(r)
	}
	if !fits {
		return RoleMissing
	}
	if err := d.checkWith(cert); err != nil {
		return reasonFor(err)
	}
	return Accepted
}
