package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// Limits of asking TVS services.
const (
	MaxServers  = 40               // that are asked
	maxSigners  = 12               // that each is asked about
	perServer   = 30 * time.Second // for all questions to one
	askedDevice = "CP-7965G-SEP000000000000"
)

// TVS is what a TVS service was found to be.
type TVS struct {
	Server      string            // "host:port"
	Certificate *x509.Certificate // that it shows; nil where it was not reached
	Knows, Of   int               // signers that it vouches for, of those that it was asked about
}

// asker asks one service.
type asker struct {
	*checker
	client tvs.Client
	server string
	shown  *x509.Certificate
	serial uint32
}

// AskTVS asks TVS services, "host" or "host:port", as phones do: whether each answers, shows a
// certificate that the lists of the cluster have, and vouches for those who sign for its phones. It
// asks MaxServers at most, each for a bounded time; what they send is bounded by package tvs.
func AskTVS(ctx context.Context, s *state.State, servers []string, o Options, dial func(context.Context, string, string) (net.Conn, error)) (all []TVS, findings []Finding) {
	c := &checker{s: s, o: o}
	for _, server := range servers[:min(len(servers), MaxServers)] {
		a := &asker{checker: c, client: tvs.Client{Dial: dial}, server: tvs.Address(server)}
		all = append(all, a.ask(ctx))
	}
	return all, c.all
}

func (a *asker) ask(ctx context.Context) TVS {
	ctx, cancel := context.WithTimeout(ctx, perServer)
	defer cancel()
	out := TVS{Server: a.server}
	for _, signer := range a.signers() {
		out.Of++
		err := a.about(ctx, signer)
		if err == nil {
			out.Knows++
			continue
		}
		out.Certificate = a.shown
		if !a.refused(signer, err) {
			break // the other questions would end alike
		}
	}
	if out.Certificate = a.shown; a.shown != nil {
		a.certificate()
	}
	return out
}

// signer is who signs for phones, and what it has to be known for.
type signer struct {
	subject, issuer string
	serial          []byte
	lists           bool // it signs lists; else configurations
}

// signers are those of the lists that are served, and of configurations.
func (a *asker) signers() (all []signer) {
	add := func(s signer) {
		same := func(o signer) bool {
			return o.lists == s.lists && trustlist.SameSerial(o.serial, s.serial) && trustlist.SameName([]byte(o.issuer), []byte(s.issuer))
		}
		if len(all) < maxSigners && !slices.ContainsFunc(all, same) {
			all = append(all, s)
		}
	}
	for _, n := range a.s.Nodes {
		if n.Spec().Absent[profile.TFTPService] {
			continue
		}
		for _, list := range []struct {
			kind trustlist.Kind
			data []byte
		}{{trustlist.ITL, n.ITL}, {trustlist.CTL, n.CTL}} {
			if f, err := trustlist.Parse(list.kind, list.data); list.data != nil && err == nil {
				add(signer{string(f.Signer.Name), string(f.Signer.Issuer), f.Signer.Serial, true})
			}
		}
		own := n.Signer.Certificate
		add(signer{trustlist.FormatName(own.Subject), trustlist.FormatName(own.Issuer), own.SerialNumber.Bytes(), false})
	}
	return all
}

var (
	errUnknown = errors.New("it does not vouch for it")
	errRole    = errors.New("it knows it, but not for this")
	errOther   = errors.New("it answers with another certificate")
)

// about asks about one signer.
func (a *asker) about(ctx context.Context, s signer) error {
	ctx, cancel := context.WithTimeout(ctx, tvs.DefaultPerServer)
	defer cancel()
	a.serial++
	req := tvs.Message{Type: tvs.QueryCertReq, Session: a.serial, Device: askedDevice, Subject: s.subject, Issuer: s.issuer, Serial: s.serial}
	res, err := a.client.Once(ctx, a.server, req, func(c tls.ConnectionState) error {
		if len(c.PeerCertificates) > 0 {
			a.shown = c.PeerCertificates[0]
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case res.Type != tvs.QueryCertRes || res.Session != req.Session:
		return fmt.Errorf("%w: %v in response to a question of another kind or time", tvs.ErrProtocol, res.Type)
	case res.Status != 0:
		return errUnknown
	}
	cert, err := x509.ParseCertificate(res.Certificate)
	if err != nil || !trustlist.SameSerial(cert.SerialNumber.Bytes(), s.serial) || !trustlist.SameName([]byte(trustlist.FormatName(cert.Issuer)), []byte(s.issuer)) {
		return errOther
	}
	fits := func(r trustlist.Role) bool { return s.lists && r.SignsLists() || !s.lists && r.SignsFiles() }
	if !slices.ContainsFunc(res.Roles, fits) {
		return errRole
	}
	return nil
}

// refused makes a finding of an error, and reports whether it is about the signer alone.
func (a *asker) refused(s signer, err error) bool {
	name := fmt.Sprintf("%s, serial %s", trustlist.Printable([]byte(s.subject)), trustlist.FormatSerial(s.serial))
	const why = "phones that do not hold its certificate refuse what it signs"
	switch {
	case errors.Is(err, errUnknown), errors.Is(err, errRole), errors.Is(err, errOther):
		a.found("tvs-unknown", why, "restart Cisco Trust Verification Service on it; of another cluster's signer: set cert import trust Phone-SAST-trust", "TVS %s, asked about %s: %v", printable.Text(a.server), name, err)
		return true
	case errors.Is(err, tvs.ErrProtocol):
		a.found("tvs-answer", why, "see what listens there: it is no TVS, or a broken one", "TVS %s breaks the protocol: %s", printable.Text(a.server), printable.Text(err.Error()))
	case errors.Is(err, tvs.ErrHungUp):
		a.found("tvs-answer", why, "restart Cisco Trust Verification Service on it; a TVS that is not CUCM's may not know the question", "TVS %s closed the connection without an answer", printable.Text(a.server))
	default:
		a.found("tvs-down", "phones that meet a new signer cannot ask, and keep their old lists", "utils service start Cisco Trust Verification Service; see that tcp 2445 is open from the phones' network",
			"TVS %s cannot be reached: %s", printable.Text(a.server), printable.Text(err.Error()))
	}
	return false
}

// lists reports whether a record is of the certificate that the service shows. In the copy of a real
// cluster, certificates of which only names and serial numbers are known are told by these.
func (a *asker) lists(r *trustlist.Record) bool {
	return r.MatchesCertificate(a.shown) ||
		a.s.Twin() && r.Is([]byte(trustlist.FormatName(a.shown.Issuer)), a.shown.SerialNumber.Bytes())
}

// certificate checks what the service shows against the lists that are served.
func (a *asker) certificate() {
	name := fmt.Sprintf("%s, serial %s", trustlist.Printable([]byte(trustlist.FormatName(a.shown.Subject))), trustlist.FormatSerial(a.shown.SerialNumber.Bytes()))
	for _, n := range a.s.Nodes {
		f, err := trustlist.Parse(trustlist.ITL, n.ITL)
		if err != nil || a.s.Rollback || n.Spec().Absent[profile.TFTPService] {
			continue
		}
		if !slices.ContainsFunc(f.Records, func(r trustlist.Record) bool { return r.Role() == trustlist.TVS && a.lists(&r) }) {
			a.found("tvs-certificate", "phones with this list do not trust it: a new signer locks them out", "let every phone reset with a new list before anything else is regenerated: restart Cisco Tftp on every node",
				"TVS %s shows %s, which the ITL of %s does not have", printable.Text(a.server), name, n.Name)
		}
	}
	if a.shown.NotAfter.Before(a.o.Now) {
		a.found("expired", "services that check it refuse it", "regenerate it alone, let every phone reset, and only then the next", "TVS %s shows %s, which has expired on %s", printable.Text(a.server), name, a.shown.NotAfter.UTC().Format(time.DateOnly))
	}
}
