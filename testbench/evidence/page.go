package evidence

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/printable"
)

// Limits of a phone's page.
const (
	maxPage  = 256 << 10 // bytes
	pageTime = 10 * time.Second
)

// page is what a phone's own pages tell.
type page struct{ mac, model, itl, ctl string }

// readPage reads the pages of a phone: "host" or "http://host:port".
func readPage(ctx context.Context, url string) (p page, err error) {
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	base := strings.TrimRight(url, "/") + "/CGI/Java/Serviceability?adapter="
	device, err := getPage(ctx, base+"device.statistics.device")
	if err != nil {
		return p, err
	}
	network, err := getPage(ctx, base+"device.statistics.configuration")
	if err != nil {
		return p, err
	}
	name, err := boot.Device(row(device, "MAC address"))
	signature := row(network, "ITL signature")
	if err != nil || signature == "" {
		return p, fmt.Errorf("%s: not the pages of a phone with trust lists", url)
	}
	p.mac, p.model = strings.TrimPrefix(name, "SEP"), printable.Clip(row(device, "Model number"), 40)
	if p.itl, err = ParseHash(signature); err == nil {
		p.ctl, err = ParseHash(row(network, "CTL signature"))
	}
	return p, err
}

func getPage(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, printable.Clip(res.Status, 80))
	}
	return string(body), err
}

// row returns the value behind a label of a phone's page.
func row(page, label string) string {
	m := regexp.MustCompile(`(?is)<B>\s*` + regexp.QuoteMeta(label) + `\s*</B>.*?<B>(.*?)</B>`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(html.UnescapeString(m[1]))
}
