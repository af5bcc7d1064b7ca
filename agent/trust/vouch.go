package trust

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
)

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
	err     error // the signer is there with the right role, but the signature does not verify
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
		if d.isSigner(cert) {
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
	if d.file.Kind.IsList() && d.FirstUse() {
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
			if d.allowed(r.Role()) && !r.Empty() && trustlist.SameName(r.Subject(), d.file.Signer.Name) {
				what := "the same name with another serial number, "
				if !trustlist.SameName(r.Issuer(), d.file.Signer.Issuer) {
					what = "the same name from another issuer, serial number "
				}
				d.step(via.String(), i+1, UnknownSigner, what+trustlist.FormatSerial(r.Serial()))
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
			err = d.checkSignature(key)
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

// firstUse trusts a list that its own SAST record verifies.
func (d *decision) firstUse() {
	i, err := d.file.CheckOwnWith(d.checkSignature)
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

// isSigner reports whether the certificate is the one that the file names.
func (d *decision) isSigner(cert *x509.Certificate) bool {
	return trustlist.SameSerial(cert.SerialNumber.Bytes(), d.file.Signer.Serial) &&
		trustlist.SameName([]byte(trustlist.FormatName(cert.Issuer)), d.file.Signer.Issuer)
}

func (d *decision) checkWith(cert *x509.Certificate) error {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return &trustlist.FileError{Offset: d.file.SignerOffset(), Err: trustlist.ErrDigest, Detail: "the signer's key is not RSA"}
	}
	return d.checkSignature(key)
}

// checkSignature checks the file's signature with a key.
func (d *decision) checkSignature(key *rsa.PublicKey) error {
	err := d.file.CheckSignature(key)
	if errors.Is(err, trustlist.ErrSignature) && d.Policy.Verify != nil {
		return d.Policy.Verify(d.file, key)
	}
	return err
}

// askTVS uses the remembered answer about the signer, or asks for one.
func (d *decision) askTVS(roleSeen bool) {
	at := d.file.SignerOffset()
	if !d.HasTVS() {
		reason, why := UnknownSigner, "no TVS: the configuration names none"
		if d.Servers > 0 {
			why = "no TVS: the ITL has no TVS certificate to know it by"
		}
		if roleSeen {
			reason = RoleMissing
		}
		d.step("tvs", 0, reason, why)
		d.reject(reason, at, why)
		return
	}
	q := d.question()
	for i := range d.Answers {
		// One that does not vouch for this file may be out of date: TVS is asked again.
		if a := &d.Answers[i]; a.Question.Same(q) && a.Live(d.Now) && d.judge(a) == Accepted {
			d.step("tvs", 0, Accepted, strings.TrimSpace(a.Server+" (remembered)"))
			d.accept(ViaTVS)
			return
		}
	}
	d.reject(UnknownSigner, at, "TVS has to be asked")
	d.v.Question = &q
}

// question is what the phone wants to know of the signer.
func (d *decision) question() Question {
	signer := d.file.Signer
	q := Question{Subject: string(signer.Name), Issuer: string(signer.Issuer), Serial: signer.Serial}
	for _, list := range []*trustlist.File{d.CTL, d.ITL, d.file} {
		if list == nil {
			continue
		}
		for i := range list.Records {
			r := &list.Records[i]
			if der := r.Value(trustlist.Certificate); q.Certificate == nil && len(der) > 0 && r.Is(signer.Issuer, signer.Serial) {
				q.Certificate = der
			}
		}
	}
	return q
}

// answered uses a fresh answer about the signer.
func (d *decision) answered(a *Answer) {
	if reason := d.judge(a); reason != Accepted {
		d.step("tvs", 0, reason, strings.TrimSpace(a.Server+" "+a.Detail))
		d.reject(reason, d.file.SignerOffset(), a.Detail)
		return
	}
	d.step("tvs", 0, Accepted, a.Server)
	d.accept(ViaTVS)
}

// judge says what an answer is worth for the file.
func (d *decision) judge(a *Answer) Reason {
	if reason := a.Failure.reason(); reason != Accepted {
		return reason
	}
	if !a.Valid {
		return TVSInvalid
	}
	cert, err := x509.ParseCertificate(a.Cert)
	if err != nil {
		return TVSBadAnswer
	}
	if !d.isSigner(cert) {
		return TVSMismatch
	}
	if !slices.ContainsFunc(a.Roles, d.allowed) {
		return RoleMissing
	}
	if err := d.checkWith(cert); err != nil {
		return reasonFor(err)
	}
	return Accepted
}
