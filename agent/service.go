package agent

import (
	"context"
	"fmt"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/trust"
)

// Page is what came of opening a service of the phone.
type Page struct {
	URL     string
	Verdict trust.Verdict // about the server; accepted for plain HTTP that answered
	Text    []byte
	Err     error // why nothing is shown
}

// Why says of a server that was judged why it is trusted or not, a line each; nothing where
// it was not met.
func (p *Page) Why() []string {
	if !p.Verdict.Accepted && p.Verdict.Reason == trust.Accepted {
		return nil
	}
	return p.Verdict.Describe(p.URL)
}

// HostNotFound is what a phone shows where it does not trust or reach a server.
const HostNotFound = "Host Not Found"

// maxPage bounds a page of a service, in bytes.
const maxPage = 64 << 10

// Directory opens the directory of the configuration.
func (a *Agent) Directory(ctx context.Context) Page {
	held := a.holdings.State()
	p := Page{URL: held.Settings.Directory}
	scheme, rest, ok := strings.Cut(p.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	if !ok || host == "" || scheme != "http" && scheme != "https" || strings.ContainsAny(p.URL, " \r\n") {
		p.Err = fmt.Errorf("the configuration has no directory (%.100q)", p.URL)
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, directoryTime)
	defer cancel()
	if scheme == "http" {
		if p.Text, p.Err = a.network.Page(ctx, fetch.WithPort(host, "80"), "/"+path, nil, maxPage); p.Err == nil {
			p.Verdict = trust.Verdict{Accepted: true}
		}
		return p
	}
	a.conf.Log.Debugf("HTTPS cert of %s: looked for in the lists, then by TVS", host)
	secure := &fetch.Secure{TLS: boot.TLS(held.Identity(), nil), Verify: func(ctx context.Context, der []byte) error {
		if p.Verdict = a.boot.TrustServer(ctx, der, trust.Application); !p.Verdict.Accepted {
			return fmt.Errorf("%w: %v", boot.ErrUntrustedServer, p.Verdict.Reason)
		}
		a.conf.Log.Debugf("Authenticated the HTTPS conn via %v", p.Verdict.Via)
		return nil
	}}
	p.Text, p.Err = a.network.Page(ctx, fetch.WithPort(host, "443"), "/"+path, secure, maxPage)
	return p
}
