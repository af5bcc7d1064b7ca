package portal_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/pki"
	"itlagent/testbench/portal"
)

// bench is a cluster in memory whose CallManager and TVS certificates were regenerated: who
// holds its first list is locked.
func bench(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := made(t).Fork(new(pki.Keys))
	t.Cleanup(c.Close)
	return c
}

var made = func() func(t *testing.T) *cluster.Cluster {
	var once sync.Once
	var c *cluster.Cluster
	return func(t *testing.T) *cluster.Cluster {
		once.Do(func() { c = locking(t) })
		return c
	}
}()

func locking(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []profile.Unit{profile.CallManager, profile.TVS} {
		err := c.Apply(operation.Advance(time.Hour))
		for _, n := range c.Nodes() {
			if u == profile.TVS || n.IsPublisher() {
				err = errors.Join(err, c.Apply(operation.Regenerate(n.Name(), u)))
			}
		}
		for _, n := range c.Nodes() {
			err = errors.Join(err, c.Apply(operation.RestartTVS(n.Name())), c.Apply(operation.RestartTFTP(n.Name())))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// reports are those of phones that hold the lists of a cluster by turns, the first one first.
func reports(t *testing.T, c *cluster.Cluster, phones int) *evidence.Reports {
	t.Helper()
	r := evidence.New()
	lists := c.State().Lists()
	for i := range phones {
		report := evidence.Report{Time: c.Now().Add(-time.Hour)}
		binary.BigEndian.PutUint32(report.MAC[2:], uint32(i))
		hash, err := evidence.ParseHash(lists[i%len(lists)].SHA1)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(hash)
		if err != nil {
			t.Fatal(err)
		}
		copy(report.ITL[:], raw)
		if err := r.Add(report); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

const address = "127.0.0.1:8080"

func server(t *testing.T, o portal.Options) http.Handler {
	t.Helper()
	s, err := portal.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler(address)
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = address
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// unsafe is what a strict policy forbids, and would be a sign of text that was not escaped.
var unsafe = regexp.MustCompile(`(?i)<script>|<script [^>]*>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|(?:src|href|action)="(?:https?:)?//`)

// Every page can be had as HTML and as JSON, names its command, and has nothing in it that
// runs.
func TestPages(t *testing.T) {
	c := bench(t)
	h := server(t, portal.Options{Cluster: c, Dir: "my lab", Reports: reports(t, c, 12)})
	for path, want := range map[string]string{
		"/": "13 phones, by what a reset comes to", "/phones": "1 to 13 of 13 phones", "/phones?state=locked&sort=node&order=descending": "badge locked",
		"/phones/SEP000000000000": "utils itl reset localkey", "/phones/SEP64A0E71502CC": "has not reported a list",
	} {
		w := get(h, path)
		page := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(page, want) || !strings.Contains(page, "--dir &#39;my lab&#39;") {
			t.Errorf("%s: %d, and %q is not on it:\n%s", path, w.Code, want, page)
		}
		if at := unsafe.FindString(page); at != "" {
			t.Errorf("%s has %q", path, at)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		objects := json.NewDecoder(get(h, path+sep+"format=json").Body)
		n := 0
		for ; objects.More(); n++ {
			var o map[string]any
			if err := objects.Decode(&o); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		if n == 0 {
			t.Errorf("%s is not there as JSON", path)
		}
	}
	for _, asset := range []string{"style.css", "pages.js", "htmx-2.0.11.min.js", "uplot-1.6.32.min.js", "htmx-LICENSE.txt", "uplot-LICENSE.txt"} {
		if w := get(h, "/assets/"+asset); w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: %d", asset, w.Code)
		}
	}
}

// A hundred thousand phones: pages are quick, which the log tells, and take memory for
// themselves alone.
func TestHundredThousandPhones(t *testing.T) {
	c := bench(t)
	phones := 100_000
	if testing.Short() {
		phones = 2_000
	}
	h := server(t, portal.Options{Cluster: c, Reports: reports(t, c, phones)})
	begin := time.Now()
	get(h, "/")
	t.Logf("%d phones: the first page after %v", phones, time.Since(begin))
	for _, path := range []string{"/", "/phones", "/phones?page=1500&sort=reason", "/phones?q=ff&state=locked&sort=model&order=descending", "/phones/SEP000000000001"} {
		get(h, path)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		w := get(h, path)
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; w.Code != http.StatusOK || used > 8<<20 {
			t.Errorf("%s: %d, %d bytes", path, w.Code, used)
		}
		t.Logf("%s: %v, %d KB", path, took, w.Body.Len()>>10)
	}
}

// What is asked for wrongly is answered by a page that says so.
func TestBadInput(t *testing.T) {
	c := bench(t)
	h := server(t, portal.Options{Cluster: c})
	for path, want := range map[string]int{
		"/phones/SEP0000000000AA": 404, "/phones/x": 404, "/none": 404, "/phones?state=x": 400, "/phones?page=x": 400, "/phones?sort=%3Cscript%3E": 400, "/phones?holding=zz": 400,
		"/phones?list=%E2%80%AEx": 400, "/assets/../portal.go": 307, "/assets/none": 404, "/phones?page=-9": 200, "/phones?page=999999999": 200, "/phones?cert=none/none": 200,
		"/" + strings.Repeat("x", 64<<10): 404,
	} {
		w := get(h, path)
		if w.Code != want || want == 404 && w.Body.Len() == 0 {
			t.Errorf("%.60s: %d, want %d", path, w.Code, want)
		}
		if at := unsafe.FindString(w.Body.String()); at != "" || strings.Contains(w.Body.String(), "\u202e") {
			t.Errorf("%.60s: %q is on the page, or a bidi control", path, at)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/phones", strings.NewReader(strings.Repeat("x", 1<<20)))
	r.Host = address
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST to pages that are read-only: %d", w.Code)
	}
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "rebound.example:8080"
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusMisdirectedRequest || strings.Contains(w.Body.String(), "phone") {
		t.Errorf("another host name: %d %s", w.Code, w.Body)
	}
	if _, err := portal.New(portal.Options{}); err == nil {
		t.Error("a server without anything to show")
	}
}

// A saved audit with hostile names: they are shown as text, in bounded length.
func TestSavedAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	long := strings.Repeat("y", 60<<10)
	lines := `{"phones":2,"locked":1}
{"device":"SEP00000000000B","status":"current","node":"\u202enode","follows":true,"reason":"accepted","note":"` + long + `"}
{"device":"SEP00000000000A","status":"<script>alert(1)</script>","node":"<script>alert(2)</script>","follows":false,"locked":true,"reason":"tvs-untrusted","remedy":"\" onload=\"x","note":"\u001b[31m"}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	h := server(t, portal.Options{Audit: path})
	for _, page := range []string{"/", "/phones", "/phones/SEP00000000000A", "/phones/SEP00000000000B"} {
		w := get(h, page)
		body := w.Body.String()
		if w.Code != http.StatusOK || strings.ContainsAny(body, "\u202e\x1b") || len(body) > 40<<10 {
			t.Errorf("%s: %d, %d bytes, or a control character is on it", page, w.Code, len(body))
		}
		if at := unsafe.FindString(strings.ReplaceAll(body, "&#34; onload=", "")); at != "" {
			t.Errorf("%s has %q", page, at)
		}
	}
	if body := get(h, "/phones").Body.String(); !strings.Contains(body, "&lt;script&gt;alert(2)") || !strings.Contains(body, "1 to 2 of 2") {
		t.Error("the name is not shown as text:\n" + body)
	}
	for name, text := range map[string]string{"empty": "", "text": "hello", "other": `{"device":"x"}`, "long": `{"note":"` + strings.Repeat("z", 65<<10)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := portal.New(portal.Options{Audit: path}); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A thousand open event streams: some follow, the others are told to wait, and pages are
// served all the while. A change is told to those that follow.
func TestStreams(t *testing.T) {
	c := bench(t)
	s, err := portal.New(portal.Options{Cluster: c})
	if err != nil {
		t.Fatal(err)
	}
	l, err := portal.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("listens on %v without being told to", l.Addr())
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	at := l.Addr().String()
	open, refused := []net.Conn{}, 0
	const streams = 1000
	for range streams {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "GET /stream HTTP/1.1\r\nHost: %s\r\n\r\n", at)
		line, err := bufio.NewReader(conn).ReadString('\n')
		switch {
		case err != nil:
			t.Fatal(err)
		case strings.Contains(line, " 200 "):
			open = append(open, conn)
		case strings.Contains(line, " 503 "):
			refused++
			conn.Close()
		}
	}
	if len(open) != 256 || len(open)+refused != streams {
		t.Errorf("%d follow, %d are refused", len(open), refused)
	}
	answer, err := http.Get("http://" + at + "/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if err := c.Apply(operation.Advance(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, conn := range open[:3] {
		in := bufio.NewReader(conn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("a stream that tells of no change: %v", err)
			}
			if line == "event: changed\n" {
				break
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
