//go:build !small

package web

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"itlagent/agent"
)

// Limits of the server.
const (
	maxConns   = 32
	maxHead    = 4 << 10 // bytes of a request's line and fields
	headerTime = 5 * time.Second
	pageTime   = 10 * time.Second
)

// allowed is what webAccess says where the pages are on.
const allowed = "0"

// Serve serves the pages until the context ends or the listener fails.
func Serve(ctx context.Context, l net.Listener, a *agent.Agent) error {
	srv := &http.Server{
		Handler: Handler(a), MaxHeaderBytes: maxHead, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime,
		WriteTimeout: pageTime, IdleTimeout: headerTime, ErrorLog: log.New(discard{}, "", 0),
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(netutil.LimitListener(l, maxConns))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// discard takes the complaints about clients.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Handler returns the pages of a phone.
func Handler(a *agent.Agent) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _, s := a.Held()
		switch {
		case s.Web != allowed:
			http.Error(w, "Web access is disabled", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		default:
			body, kind := page(a, r.URL.Path, r.URL.RawQuery)
			if body == "" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-store")
			w.Write([]byte(body))
		}
	})
}

const (
	kindHTML = "text/html; charset=utf-8"
	kindXML  = "text/xml; charset=utf-8"
)

// adapter is the path of the pages of newer firmware; its query names the page.
const adapter = "/CGI/Java/Serviceability"

// page returns a page, or "" where there is none.
func page(a *agent.Agent, path, query string) (body, kind string) {
	if strings.EqualFold(path, adapter) {
		path, query = strings.TrimPrefix(query, "adapter="), ""
	}
	switch path {
	case "/", "device.statistics.device", "/DeviceInformation":
		return html(a, "Device information", deviceRows(a)), kindHTML
	case "device.statistics.configuration", "/NetworkConfiguration":
		return html(a, "Network setup", networkRows(a)), kindHTML
	case "device.settings.status.messages", "/DeviceLog":
		if path == "/DeviceLog" && query != "" && query != "2" {
			return html(a, "Debug display", debugRows(a)), kindHTML
		}
		return html(a, "Status messages", statusRows(a)), kindHTML
	case "device.trace.display.alarm":
		return html(a, "Debug display", debugRows(a)), kindHTML
	case "device.settings.security.trustlist":
		return html(a, "Trust List", trustRows(a)), kindHTML
	case "/DeviceInformationX":
		return xml("DeviceInformation", deviceX(a)), kindXML
	case "/NetworkConfigurationX":
		return xml("NetworkConfiguration", networkX(a)), kindXML
	case "/DeviceLogX":
		if query == "1" {
			return xml("DeviceLog", debugX(a)), kindXML
		}
		return xml("DeviceLog", statusX(a)), kindXML
	}
	return "", ""
}
