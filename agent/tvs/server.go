package tvs

import (
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// Directory is what a server knows.
type Directory interface {
	// Find returns the certificate that a question asks for, in DER, and its
	// roles.
	Find(q trust.Question) (der []byte, roles []trustlist.Role, ok bool)
	// Vouch returns the roles of a certificate given in DER.
	Vouch(der []byte) (roles []trustlist.Role, ok bool)
}

// Respond answers a request from a directory. ttl is in seconds. A message that
// is no request gets nil.
func Respond(req *Message, d Directory, ttl uint32) *Message {
	res := &Message{Type: req.Type + 1, Session: req.Session, Status: notFound}
	ok := false
	switch req.Type {
	case QueryCertReq:
		res.Certificate, res.Roles, ok = d.Find(trust.Question{Subject: req.Subject, Issuer: req.Issuer, Serial: req.Serial})
	case CertVerificationReq:
		res.Roles, ok = d.Vouch(req.Certificate)
	default:
		return nil
	}
	if ok {
		res.Status, res.TTL = 0, ttl
	}
	return res
}
