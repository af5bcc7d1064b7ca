package boot

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rsa"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"

	"itlagent/agent/fetch"
	"itlagent/agent/printable"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// configuration brings the configuration up to date: the phone's own, or the default
// where the server knows no such phone. Where that says so the whole of it is fetched
// encrypted. It reports whether that came to an end.
func (p *Phone) configuration(ctx context.Context, out *Outcome) bool {
	held := p.Holdings.State()
	out.Held = held.Config != nil
	suffix := ""
	if s := p.state(); s.WantsSigned() {
		suffix = ".sgn"
	}
	content, parsed, ok := p.getConfig(ctx, []string{p.Device + ".cnf.xml" + suffix, defaultConfig + suffix}, out)
	if ok && parsed.Reduced && parsed.Encrypt {
		content, parsed, ok = p.getEncrypted(ctx, parsed, out)
	}
	switch {
	case !ok:
		return ctx.Err() == nil
	case bytes.Equal(held.Config, content):
		return true
	}
	if err := p.Holdings.SetConfig(content, parsed); err != nil {
		p.notStored(out, err)
		return true
	}
	out.Changed = true
	return true
}

// getConfig gets one configuration and judges it.
func (p *Phone) getConfig(ctx context.Context, names []string, out *Outcome) (content []byte, parsed settings.Settings, ok bool) {
	state := p.state()
	signed, limit := state.WantsSigned(), min(settings.MaxSize, p.Holdings.ConfigLimit())
	if signed {
		limit = min(trustlist.MaxSignedSize, limit+signedHeader)
	}
	get, verdict := p.secureGetter(ctx)
	data, ok := p.fetch(ctx, get, names, limit, out)
	if !ok {
		return nil, parsed, false
	}
	content = data
	switch {
	case out.Transport == "HTTPS":
		out.Verdict = *verdict
	case signed:
		out.Verdict = p.decide(ctx, trust.Candidate{Kind: trustlist.SGN, Name: out.Name, Data: data})
		if out.Verdict.Accepted {
			content = out.Verdict.File.Content()
		}
	default:
		out.Verdict = trust.Unsigned(state)
	}
	parsed, ok = p.read(content, out)
	return content, parsed, ok
}

// read reads a configuration that was not rejected.
func (p *Phone) read(content []byte, out *Outcome) (settings.Settings, bool) {
	if s := p.state(); out.Verdict.Accepted && !s.KnowsServer(hostOf(out.Server)) {
		out.Verdict = trust.Verdict{Reason: trust.ServerNotListed, Detail: printable.Text(out.Server)}
	}
	if !out.Verdict.Accepted {
		p.rejected(out)
		return settings.Settings{}, false
	}
	parsed, err := settings.Parse(content)
	if err != nil {
		out.Verdict = trust.Verdict{Reason: trust.BadContent, Detail: err.Error()}
		return parsed, false
	}
	if whose := p.another(out.Name, &parsed); whose != "" {
		out.Verdict = trust.Verdict{Reason: trust.WrongFile, Detail: "the configuration is " + whose}
		p.rejected(out)
		return parsed, false
	}
	for _, w := range parsed.Warnings {
		p.Log.Noticef("%s: %s", out.Name, w)
	}
	return parsed, true
}

// ownConfig reports whether a file is the phone's own configuration, and it holds one.
func (p *Phone) ownConfig(name string) bool {
	held := p.Holdings.State()
	return strings.HasPrefix(name, p.Device+".cnf.xml") && held.Config != nil && !held.Settings.Default
}

// hostOf returns the host of "host" or "host:port".
func hostOf(server string) string {
	if host, _, err := net.SplitHostPort(server); err == nil {
		return host
	}
	return strings.Trim(server, "[]")
}

// another says whose a configuration is that was asked for by a name and is not what
// that says; "" where it is.
func (p *Phone) another(asked string, s *settings.Settings) string {
	switch isDefault := strings.HasPrefix(asked, defaultConfig); {
	case isDefault:
		return "" // whatever the cluster has for phones that it does not know
	case s.Default:
		return "the default one, for phones that the cluster does not know"
	case !p.Policy.AllowRenamed && deviceName(s.Name) && !strings.EqualFold(s.Name, p.Device):
		return "that of " + s.Name
	}
	return ""
}

// deviceName reports whether a name is that of a phone: hand-made files have others.
func deviceName(name string) bool {
	device, err := Device(name)
	return err == nil && strings.EqualFold(device, name)
}

// defaultConfig is the configuration for phones that a cluster does not know.
const defaultConfig = "XMLDefault.cnf.xml"

// signedHeader bounds what stands before the content of a signed file, in bytes.
const signedHeader = 4 << 10

// getEncrypted gets the whole configuration, encrypted for the phone's own key.
func (p *Phone) getEncrypted(ctx context.Context, reduced settings.Settings, out *Outcome) (content []byte, parsed settings.Settings, ok bool) {
	data, ok := p.fetch(ctx, p.files.Get, []string{p.Device + ".cnf.xml.enc.sgn"}, min(trustlist.MaxSignedSize, p.Holdings.ConfigLimit()+signedHeader), out)
	if !ok {
		return nil, parsed, false
	}
	out.Verdict = p.decide(ctx, trust.Candidate{Kind: trustlist.ENC, Name: out.Name, Data: data})
	if out.Verdict.Accepted {
		var err error
		if content, err = decrypt(p.Holdings.State().Identity(), out.Verdict.File, reduced.CertHash); err != nil {
			out.Verdict = trust.Verdict{Reason: trust.NotForThisPhone, Detail: err.Error()}
		}
	}
	parsed, ok = p.read(content, out)
	return content, parsed, ok
}

// decrypt opens an encrypted configuration with the key of the certificate whose MD5
// hash is named, or with the phone's only key where none is.
func decrypt(id *tls.Certificate, f *trustlist.File, certHash string) ([]byte, error) {
	if id == nil {
		return nil, errors.New("the phone has neither an LSC nor a MIC")
	}
	sum := md5.Sum(id.Certificate[0])
	if certHash != "" && !strings.EqualFold(certHash, hex.EncodeToString(sum[:])) {
		return nil, fmt.Errorf("encrypted for the certificate with MD5 %.40s, the phone has %x", certHash, sum)
	}
	key, ok := id.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the phone's key is %T, not RSA", id.PrivateKey)
	}
	return f.Decrypt(key)
}

// ErrUntrustedServer says that a server's certificate is in no list of the phone, and
// that TVS does not vouch for it.
var ErrUntrustedServer = errors.New("the server's certificate is not one that this phone trusts")

// secureGetter returns how configurations are fetched: by HTTPS first where the ITL
// invites to it and the model can. The verdict is that about the server, once it was
// met.
func (p *Phone) secureGetter(ctx context.Context) (getter, *trust.Verdict) {
	verdict := new(trust.Verdict)
	held := p.Holdings.State()
	if held.ITL == nil || !p.Model.HTTPS() || !invites(held.ITL.SignerVersion) {
		return p.files.Get, verdict
	}
	secure := *p.files
	secure.Secure = &fetch.Secure{TLS: TLS(held.Identity(), nil), Verify: func(ctx context.Context, der []byte) error {
		*verdict = p.TrustServer(ctx, der, trust.Provisioning)
		if !verdict.Accepted {
			return fmt.Errorf("%w: %v", ErrUntrustedServer, verdict.Reason)
		}
		return nil
	}}
	return secure.GetSecure, verdict
}

// TLS returns a configuration in which check decides about the server, or where it is nil
// whoever uses the connection, and in which the
// phone shows its certificate where it has one. The standard check wants a chain to an
// authority and a host name; a phone wants a certificate that its lists or its TVS know.
func TLS(id *tls.Certificate, check func(tls.ConnectionState) error) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: check}
	if id != nil {
		conf.Certificates = []tls.Certificate{*id}
	}
	return conf
}
