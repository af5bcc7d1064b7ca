//go:build !small

package web

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"itlagent/agent"
	"itlagent/agent/accept"
)

// Limits of the server.
const (
	maxConns   = 64
	perAddress = maxConns / 2
	maxHead    = 4 << 10 // bytes of a request
	headerTime = 5 * time.Second
	pageTime   = 10 * time.Second
)

// Serve serves the pages until the context ends, one request a connection. It is
// net/http's reader and writer without its server, which would bring HTTP/2 with it, 7 %
// of the device program.
func Serve(ctx context.Context, l net.Listener, phone func() agent.Snapshot) error {
	s := accept.Serve(l, accept.Limits{Conns: maxConns, PerAddress: perAddress}, func(conn net.Conn) { serve(conn, phone) })
	defer s.Close()
	<-ctx.Done()
	return nil
}

// serve answers one request and closes the connection.
func serve(conn net.Conn, look func() agent.Snapshot) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(headerTime))
	r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, maxHead)))
	res := refusal(http.StatusBadRequest, "Bad request")
	if err == nil && plain(r) {
		res = answer(look(), r)
		// What is left unread when a connection closes would cost the client its answer.
		io.Copy(io.Discard, r.Body)
	}
	res.Request, res.ProtoMajor, res.ProtoMinor, res.Close = r, 1, 1, true
	conn.SetWriteDeadline(time.Now().Add(pageTime))
	res.Write(conn)
}

// plain reports whether a request's head can be read in one way only: a blank before a
// colon hides a field from some readers, and a body of chunks a Content-Length beside it.
func plain(r *http.Request) bool {
	for name := range r.Header {
		if strings.ContainsAny(name, " \t") {
			return false
		}
	}
	return r.TransferEncoding == nil
}

// answer returns what a phone says to a request.
func answer(p agent.Snapshot, r *http.Request) *http.Response {
	if !p.Settings.ServesPages() {
		return refusal(http.StatusForbidden, "Web access is disabled")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return refusal(http.StatusMethodNotAllowed, "Method not allowed")
	}
	body, kind := page(p, r.URL.Path, r.URL.RawQuery)
	if body == "" {
		return refusal(http.StatusNotFound, "404 page not found")
	}
	return response(http.StatusOK, kind, body)
}

// refusal is a response in a line of plain text.
func refusal(code int, text string) *http.Response { return response(code, kindText, text+"\n") }

func response(code int, kind, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {kind}, "Cache-Control": {"no-store"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

const (
	kindText = "text/plain; charset=utf-8"
	kindHTML = "text/html; charset=utf-8"
	kindXML  = "text/xml; charset=utf-8"
)

// adapter is the path of the pages of newer firmware; its query names the page.
const adapter = "/CGI/Java/Serviceability"

// page returns a page, or "" where there is none.
func page(p agent.Snapshot, path, query string) (body, kind string) {
	if strings.EqualFold(path, adapter) {
		path, query = strings.TrimPrefix(query, "adapter="), ""
	}
	switch path {
	case "/", "device.statistics.device", "/DeviceInformation":
		return html(p, "Device information", deviceRows(p)), kindHTML
	case "device.statistics.configuration", "/NetworkConfiguration":
		return html(p, "Network setup", networkRows(p)), kindHTML
	case "device.settings.status.messages", "/DeviceLog":
		if path == "/DeviceLog" && query != "" && query != "2" {
			return html(p, "Debug display", debugRows(p)), kindHTML
		}
		return html(p, statusTitle, statusRows(p)), kindHTML
	case "device.trace.display.alarm":
		return html(p, "Debug display", debugRows(p)), kindHTML
	case "device.settings.security.trustlist":
		return html(p, "Trust List", trustRows(p)), kindHTML
	case "/DeviceInformationX":
		return xml("DeviceInformation", deviceX(p)), kindXML
	case "/NetworkConfigurationX":
		return xml("NetworkConfiguration", networkX(p)), kindXML
	case "/DeviceLogX":
		if query == "1" {
			return xml("DeviceLog", debugX(p)), kindXML
		}
		return xml("DeviceLog", statusX(p)), kindXML
	}
	return "", ""
}
