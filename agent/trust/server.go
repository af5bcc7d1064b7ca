package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
)

// Use is what an HTTPS server is for.
type Use uint8

// The uses.
const (
	Provisioning Use = iota // serves configurations: TFTP or CCM+TFTP, with an EC key
	Application             // serves directories and services
)

// fits reports whether a role allows the use. What a certificate of a held list
// must be for to serve pages is not documented but for APP-SERVER; see quirks.go.
func (u Use) fits(r trustlist.Role) bool {
	if u == Provisioning {
		return r == trustlist.TFTP || r == trustlist.CCMTFTP
	}
	return applicationRole(r)
}

// DecideServer says whether a phone in the state trusts the certificate of an
// HTTPS server, given in DER: one that a held list has with a role for the use,
// the CTL first, or that TVS vouches for. answer is what TVS said of this very
// certificate; where that is needed and nil, the verdict has a Question and is not
// final.
func DecideServer(s State, der []byte, use Use, answer *Answer) Verdict {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return Verdict{Reason: Malformed, Detail: "the server's certificate: " + err.Error()}
	}
	d := decision{State: &s}
	if _, ec := cert.PublicKey.(*ecdsa.PublicKey); use == Provisioning && !ec {
		d.reject(WeakKey, 0, "a server for configurations must have an EC key")
		return d.v
	}
	listed, roleSeen := d.serverInLists(cert, use)
	if listed {
		return d.v
	}
	if !d.HasTVS() {
		reason, why := UnknownSigner, "no TVS can be asked about the server's certificate"
		if roleSeen {
			reason = RoleMissing
		}
		d.step("tvs", 0, reason, why)
		d.reject(reason, 0, why)
		return d.v
	}
	if answer == nil {
		d.reject(UnknownSigner, 0, "TVS has to be asked")
		d.v.Question = &Question{Issuer: trustlist.FormatName(cert.Issuer), Serial: cert.SerialNumber.Bytes(), Certificate: der}
		return d.v
	}
	reason := answer.Failure.reason()
	switch {
	case reason != Accepted:
	case !answer.Valid:
		reason = TVSInvalid
	case !slices.ContainsFunc(answer.Roles, use.fits):
		reason = RoleMissing
	}
	d.step("tvs", 0, reason, strings.TrimSpace(answer.Server+" "+answer.Detail))
	if reason != Accepted {
		d.reject(reason, 0, answer.Detail)
		return d.v
	}
	d.accept(ViaTVS)
	return d.v
}

// serverInLists accepts a server whose certificate a held list has with a role for the
// use. roleSeen tells that one has it with another role.
func (d *decision) serverInLists(cert *x509.Certificate, use Use) (accepted, roleSeen bool) {
	for _, p := range []struct {
		list *trustlist.File
		via  Via
	}{{d.CTL, ViaCTL}, {d.ITL, ViaITL}} {
		if p.list == nil {
			continue
		}
		for i := range p.list.Records {
			r := &p.list.Records[i]
			if !r.MatchesCertificate(cert) {
				continue
			}
			if use.fits(r.Role()) {
				d.step(p.via.String(), i+1, Accepted, "")
				d.accept(p.via)
				return true, roleSeen
			}
			roleSeen = true
			d.step(p.via.String(), i+1, RoleMissing, "the record's role is "+r.Role().String())
		}
	}
	return false, roleSeen
}
