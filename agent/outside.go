package agent

import (
	"context"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/fetch"
	"itlagent/agent/model"
	"itlagent/agent/settings"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// network is what is set on the phone itself.
type network struct {
	tftp1, tftp2 string
	alternate    bool // these are used, not those of DHCP
}

// loadOutside reads what is not part of a cycle: settings of the phone itself and
// its certificate. What cannot be read is as if it were not there, and logged.
func (a *Agent) loadOutside() {
	defer a.publish()
	data, err := a.conf.Store.Get(keyNetwork)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		a.conf.Logf("network settings: %v", err)
	default:
		for line := range strings.Lines(string(data)) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
			case "tftp1":
				a.network.tftp1 = value
			case "tftp2":
				a.network.tftp2 = value
			case "alternate":
				a.network.alternate = value == "1"
			}
		}
	}
	for _, key := range []string{keyMIC, keyLSC} { // the LSC is preferred
		data, err := a.conf.Store.Get(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var pair *tls.Certificate
		if err == nil {
			pair, err = parseIdentity(data)
		}
		if err != nil {
			a.conf.Logf("%s: %v", key, err)
			continue
		}
		a.setIdentity(pair)
	}
	a.tvs.Certificate = a.Identity()
}

// parseIdentity reads a certificate and its RSA key, in PEM: a CERTIFICATE and an
// RSA PRIVATE KEY (PKCS #1). Phones have no other keys, and reading others would
// weigh 60 KB.
func parseIdentity(data []byte) (*tls.Certificate, error) {
	id := new(tls.Certificate)
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			id.Certificate = append(id.Certificate, block.Bytes)
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			id.PrivateKey = key
		}
	}
	key, ok := id.PrivateKey.(*rsa.PrivateKey)
	if !ok || len(id.Certificate) == 0 {
		return nil, errors.New("not a CERTIFICATE and an RSA PRIVATE KEY in PEM form")
	}
	leaf, err := x509.ParseCertificate(id.Certificate[0])
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the private key does not fit the certificate")
	}
	id.Leaf = leaf
	return id, nil
}

// servers returns the TFTP servers that files are asked of.
func (a *Agent) servers() []string { return a.network.servers(a.conf.Servers) }

func (n network) servers(dhcp []string) []string {
	if !n.alternate {
		return dhcp
	}
	return slices.DeleteFunc([]string{n.tftp1, n.tftp2}, func(s string) bool { return s == "" })
}

// Servers returns the TFTP servers that files are asked of, in order, and whether
// they were set on the phone.
func (a *Agent) Servers() (servers []string, alternate bool) {
	v := a.look()
	return slices.Clone(v.network.servers(a.conf.Servers)), v.network.alternate
}

// SetServers sets the TFTP servers on the phone itself; alternate makes them count
// in the place of those of DHCP. It is kept.
func (a *Agent) SetServers(tftp1, tftp2 string, alternate bool) error {
	for _, s := range []string{tftp1, tftp2} {
		if len(s) > 100 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%.60q is no server", s)
		}
	}
	if alternate && tftp1 == "" && tftp2 == "" {
		return errors.New("set tftp1 or tftp2 first")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	text := "tftp1=" + tftp1 + "\ntftp2=" + tftp2 + "\n"
	if alternate {
		text += "alternate=1\n"
	}
	if err := a.persist(keyNetwork, []byte(text)); err != nil {
		return err
	}
	a.network = network{tftp1, tftp2, alternate}
	a.publish()
	return nil
}

// Alternate returns what SetServers has set.
func (a *Agent) Alternate() (tftp1, tftp2 string, alternate bool) {
	n := a.look().network
	return n.tftp1, n.tftp2, n.alternate
}

// Model returns what the phone is.
func (a *Agent) Model() model.Model { return a.model }

// Last returns the report of the last cycle, nil before the first. It must not be
// changed.
func (a *Agent) Last() *Report {
	a.seen.Lock()
	defer a.seen.Unlock()
	return a.last
}

// Shown returns the status messages, oldest first.
func (a *Agent) Shown() []status.Entry { return a.messages.Entries() }

// ClearShown empties the list of status messages.
func (a *Agent) ClearShown() error { return a.messages.Clear(a.conf.Now()) }

// TVSAnswers returns the live answers that the phone remembers.
func (a *Agent) TVSAnswers() []trust.Answer { return a.tvs.Cached() }

// Alarms returns the alarms that wait for a server, and how many gave way.
func (a *Agent) Alarms() (waiting []alarm.Info, dropped int) { return a.alarms.Waiting() }

// Identity returns the certificate that the phone shows, nil without one.
func (a *Agent) Identity() *tls.Certificate {
	a.seen.Lock()
	defer a.seen.Unlock()
	return a.identity
}

func (a *Agent) setIdentity(c *tls.Certificate) {
	a.seen.Lock()
	defer a.seen.Unlock()
	a.identity = c
}

// Load puts into force what was stored, as the start of a cycle does.
func (a *Agent) Load() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.load()
}

// Erase deletes trust lists, as the security menu does. The settings stay.
func (a *Agent) Erase(ctl, itl bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range []struct {
		erase bool
		key   string
		held  **trustlist.File
	}{{ctl, keyCTL, &a.ctl}, {itl, keyITL, &a.itl}} {
		if !list.erase {
			continue
		}
		if err := a.conf.Store.Delete(list.key); err != nil {
			return err
		}
		*list.held = nil
	}
	a.tvs.Flush()
	a.publish()
	a.show(status.ErasingLists.Text(a.model.Family))
	return nil
}

// FactoryReset deletes all but what the phone was made with, its MIC.
func (a *Agent) FactoryReset() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []error
	for _, key := range []string{keyCTL, keyITL, keyConfig, keyNetwork, keyLSC} {
		all = append(all, a.conf.Store.Delete(key))
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	a.ctl, a.itl, a.config, a.settings, a.network = nil, nil, nil, settings.Settings{}, network{}
	a.setIdentity(nil)
	a.tvs.Flush()
	err := a.messages.Clear(a.conf.Now())
	a.show(status.FactoryReset.Text(a.model.Family))
	a.loadOutside()
	return err
}

// queueAlarm queues what the phone holds now. The caller holds mu.
func (a *Agent) queueAlarm() {
	if !a.model.Alarms() || a.conf.Rand == nil {
		return
	}
	info := alarm.Info{Device: a.device, Address: a.conf.Address, Status: statusCode(a.ctl != nil, a.itl != nil)}
	hash := func(list *trustlist.File) []byte {
		sum := sha1.Sum(list.Bytes())
		return sum[:]
	}
	if a.ctl != nil {
		info.CTL, info.CTLServer = hash(a.ctl), listServer(a.ctl)
	}
	if a.itl != nil {
		info.ITL, info.ITLServer = hash(a.itl), listServer(a.itl)
	}
	if err := a.alarms.Add(info); err != nil {
		a.conf.Logf("keep alarm: %v", err)
	}
}

// DeliverAlarms sends the alarms that wait to the first call manager of the
// configuration that takes them. It does not wait for a cycle to end.
func (a *Agent) DeliverAlarms(ctx context.Context) (sent int, err error) {
	if a.conf.Rand == nil {
		return 0, nil
	}
	if waiting, _ := a.alarms.Waiting(); len(waiting) == 0 {
		return 0, nil
	}
	last := a.Last()
	if last == nil {
		return 0, errors.New("no cycle has run yet")
	}
	s := &alarm.Sender{Dial: a.conf.Dial, Rand: a.conf.Rand, Now: a.conf.Now, UserAgent: a.model.UserAgent(), Logf: a.conf.Logf}
	return s.Deliver(ctx, a.alarms, a.callManagers(last))
}

// callManagers returns where alarms go: by TLS where the phone is secure.
func (a *Agent) callManagers(r *Report) (servers []alarm.Server) {
	if r.Settings.SecurityMode() != settings.NonSecure {
		for _, address := range r.Settings.SecureManagers {
			servers = append(servers, alarm.Server{Address: address, Transport: alarm.TLS, TLS: a.listedTLS(r)})
		}
		return servers
	}
	for _, address := range r.Settings.CallManagers {
		servers = append(servers, alarm.Server{Address: address, Transport: alarm.Transport(r.Settings.SIPNetwork())})
	}
	return servers
}

// listedTLS believes a call manager whose certificate a held list has for it.
func (a *Agent) listedTLS(r *Report) *tls.Config {
	conf := a.tls(func(s tls.ConnectionState) error {
		for _, list := range []*trustlist.File{r.HeldCTL, r.HeldITL} {
			if list == nil || len(s.PeerCertificates) == 0 {
				continue
			}
			for i := range list.Records {
				rec := &list.Records[i]
				if (rec.Role() == trustlist.CCM || rec.Role() == trustlist.CCMTFTP) && rec.MatchesCertificate(s.PeerCertificates[0]) {
					return nil
				}
			}
		}
		return errUntrustedServer
	})
	return conf
}

var errUntrustedServer = errors.New("the server's certificate is not one that this phone trusts")

// tls returns a configuration in which check decides about the server. The
// standard check wants a chain to an authority and a host name; a phone wants a
// certificate that its lists or its TVS know.
func (a *Agent) tls(check func(tls.ConnectionState) error) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: check}
	if id := a.Identity(); id != nil {
		conf.Certificates = []tls.Certificate{*id}
	}
	return conf
}

// believe decides about the certificate of an HTTPS server.
func (a *Agent) believe(ctx context.Context, der []byte, use trust.Use) trust.Verdict {
	state := a.state()
	v := trust.DecideServer(state, der, use, nil)
	if v.Question != nil {
		answer := a.tvs.Verify(ctx, a.itl, a.settings.TVS, der)
		v = trust.DecideServer(state, der, use, &answer)
	}
	return v
}

// secureGetter returns how configurations are got: by HTTPS first where the ITL
// invites to it and the model can. The verdict is that about the server, once it
// was met.
func (a *Agent) secureGetter(ctx context.Context) (getter, *trust.Verdict) {
	verdict := new(trust.Verdict)
	if a.itl == nil || !a.model.HTTPS() || !invites(a.itl.SignerVersion) {
		return a.files.Get, verdict
	}
	secure := *a.files
	secure.Secure = a.tls(func(s tls.ConnectionState) error {
		*verdict = a.believe(ctx, s.PeerCertificates[0].Raw, trust.Provisioning)
		if !verdict.Accepted {
			return fmt.Errorf("%w: %v", errUntrustedServer, verdict.Reason)
		}
		return nil
	})
	return secure.GetSecure, verdict
}

// decrypt opens an encrypted configuration with the key of the certificate whose
// MD5 hash is named, or with the phone's only key where none is.
func (a *Agent) decrypt(f *trustlist.File, certHash string) ([]byte, error) {
	if a.identity == nil {
		return nil, errors.New("the phone has neither an LSC nor a MIC")
	}
	sum := md5.Sum(a.identity.Certificate[0])
	if certHash != "" && !strings.EqualFold(certHash, hex.EncodeToString(sum[:])) {
		return nil, fmt.Errorf("encrypted for the certificate with MD5 %.40s, the phone has %x", certHash, sum)
	}
	key, ok := a.identity.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the phone's key is %T, not RSA", a.identity.PrivateKey)
	}
	return f.Decrypt(key)
}

// Page is what came of opening a service of the phone.
type Page struct {
	URL     string
	Verdict trust.Verdict // about the server; accepted for plain HTTP
	Text    []byte
	Err     error // why nothing is shown
}

// HostNotFound is what a phone shows where it does not believe or reach a server.
const HostNotFound = "Host Not Found"

// maxPage bounds a page of a service, in bytes.
const maxPage = 64 << 10

// Directory opens the directory of the configuration.
func (a *Agent) Directory(ctx context.Context) Page {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := Page{URL: a.settings.Directory}
	scheme, rest, ok := strings.Cut(p.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	if !ok || host == "" || scheme != "http" && scheme != "https" || strings.ContainsAny(p.URL, " \r\n") {
		p.Err = fmt.Errorf("the configuration has no directory (%.100q)", p.URL)
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, directoryTime)
	defer cancel()
	if scheme == "http" {
		p.Verdict = trust.Verdict{Accepted: true}
		p.Text, p.Err = a.files.Page(ctx, fetch.WithPort(host, "80"), "/"+path, nil, maxPage)
		return p
	}
	a.conf.Logf("HTTPS cert of %s: looked for in the lists, then by TVS", host)
	secure := a.tls(func(s tls.ConnectionState) error {
		if p.Verdict = a.believe(ctx, s.PeerCertificates[0].Raw, trust.Application); !p.Verdict.Accepted {
			return fmt.Errorf("%w: %v", errUntrustedServer, p.Verdict.Reason)
		}
		a.conf.Logf("Authenticated the HTTPS conn via %v", p.Verdict.Via)
		return nil
	})
	p.Text, p.Err = a.files.Page(ctx, fetch.WithPort(host, "443"), "/"+path, secure, maxPage)
	return p
}

// NewReset returns a function that asks for a cycle, and the channel for Run. Asked
// again before the cycle has begun, it is still one.
func NewReset() (ask func(), reset <-chan struct{}) {
	c := make(chan struct{}, 1)
	return func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c
}

// Run runs cycles until the context ends: the first at once, the next ones after
// each interval or when reset says so, and delivers alarms beside them, with a
// growing pause after each that no server took. each, if not nil, is called with
// every report.
func (a *Agent) Run(ctx context.Context, interval time.Duration, reset <-chan struct{}, each func(*Report)) {
	deliver := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.deliverLoop(ctx, deliver)
	}()
	defer func() { <-done }()
	for {
		report := a.Cycle(ctx)
		select {
		case deliver <- struct{}{}:
		default:
		}
		if each != nil {
			each(report)
		}
		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-reset:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (a *Agent) deliverLoop(ctx context.Context, cycle <-chan struct{}) {
	var again <-chan time.Time
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-cycle:
			failed = 0 // the configuration may name other servers now
		case <-again:
		}
		again = nil
		if _, err := a.DeliverAlarms(ctx); err != nil {
			failed++
			again = time.After(alarm.Backoff(failed))
		}
	}
}
