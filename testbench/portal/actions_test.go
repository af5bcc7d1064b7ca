package portal_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
	"itlagent/testbench/portal"
	"itlagent/testbench/portal/gate"
)

// browser keeps the cookie and the value of forms.
type browser struct {
	t       *testing.T
	h       http.Handler
	cookies []*http.Cookie
	csrf    string
}

func (b *browser) do(method, path, kind string, body io.Reader) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "http://"+address+path, body)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	b.cookies = append(b.cookies, w.Result().Cookies()...)
	if at := regexp.MustCompile(`name="csrf" value="([0-9a-f]+)"`).FindStringSubmatch(w.Body.String()); at != nil {
		b.csrf = at[1]
	}
	if at := unsafe.FindString(w.Body.String()); at != "" {
		b.t.Errorf("%s has %q", path, at)
	}
	return w
}

// post sends a form, and wants a status and a text.
func (b *browser) post(path string, status int, want string, pairs ...string) {
	b.t.Helper()
	form := url.Values{"csrf": {b.csrf}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	w := b.do(http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	if w.Code != status || !strings.Contains(w.Body.String(), want) {
		b.t.Errorf("%s %v: %d, and %q is not on it:\n%s", path, pairs, w.Code, want, w.Body)
	}
}

func acting(t *testing.T, c *cluster.Cluster) *browser {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	g, err := gate.New(path)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, h: server(t, portal.Options{Cluster: c, Gate: g, Reports: reports(t, c, 6)})}
	b.post("/regenerate/"+c.Publisher().Name()+"/TVS", http.StatusUnauthorized, "the token was not shown", "confirm", "yes")
	b.post("/login", http.StatusUnauthorized, "That is not the token", "token", "x")
	token, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.post("/login", http.StatusSeeOther, "", "token", string(token))
	b.do(http.MethodGet, "/services", "", nil)
	if b.csrf == "" {
		t.Fatal("no form on the page of services")
	}
	return b
}

// A certificate is regenerated once that was confirmed, a second one of the node is refused in
// the words of the note, and the ITL is reset.
func TestActions(t *testing.T) {
	c := bench(t)
	pub := c.Publisher()
	b := acting(t, c)
	b.post("/services", http.StatusOK, "moved ahead", "do", "clock")
	before := pub.Identity(profile.CallManager)
	b.post("/regenerate/"+pub.Name()+"/CallManager", http.StatusBadRequest, "not confirmed")
	value := b.csrf
	b.csrf = "0"
	b.post("/regenerate/"+pub.Name()+"/CallManager", http.StatusForbidden, "does not come from these pages", "confirm", "yes")
	if b.csrf = value; pub.Identity(profile.CallManager) != before {
		t.Fatal("the certificate was regenerated without being wanted")
	}
	if w := b.do(http.MethodGet, "/regenerate/"+pub.Name()+"/CallManager", "", nil); !strings.Contains(w.Body.String(), "ITLRecovery was not backed up") {
		t.Errorf("no word about backups:\n%s", w.Body)
	}
	b.post("/regenerate/"+pub.Name()+"/CallManager", http.StatusOK, "Successfully Regenerated Certificate", "confirm", "yes")
	if pub.Identity(profile.CallManager) == before {
		t.Error("the certificate is the old one")
	}
	const held = "CallManager certificate was modified in the last 5 minutes. Please re-try regenerating TVS certificate at a later time"
	if w := b.do(http.MethodGet, "/regenerate/"+pub.Name()+"/TVS", "", nil); !strings.Contains(w.Body.String(), held) {
		t.Errorf("before it is tried, the hold is not told:\n%s", w.Body)
	}
	b.post("/regenerate/"+pub.Name()+"/TVS", http.StatusOK, held, "confirm", "yes")
	itl := pub.ITL()
	b.post("/services", http.StatusOK, "was restarted", "do", "restart", "node", pub.Name(), "service", "Cisco Tftp")
	b.post("/services", http.StatusOK, "successfully", "do", "itl-reset")
	if bytes.Equal(itl, pub.ITL()) {
		t.Error("the list is the old one")
	}
	b.post("/services", http.StatusOK, "told to reset", "do", "reset")
	b.post("/services", http.StatusBadRequest, "invalid action", "do", "<script>")
	b.post("/services", http.StatusOK, "no node", "do", "restart", "node", "none", "service", "Cisco Tftp")
	b.post("/apply", http.StatusConflict, "only a bench cluster in a directory", "change", "reset")
}

// A certificate with a hostile name is taken into a trust store, and shown as text. What is
// none, or too large, is refused by a page.
func TestUpload(t *testing.T) {
	c := bench(t)
	b := acting(t, c)
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: "<script>alert(1)</script>\u202e\x1b" + strings.Repeat("n", 200)}, Bits: 1024, From: c.Now()})
	if err != nil {
		t.Fatal(err)
	}
	upload := func(store string, data []byte) *httptest.ResponseRecorder {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		form.WriteField("csrf", b.csrf)
		form.WriteField("store", store)
		part, err := form.CreateFormFile("file", "../../x")
		if err != nil {
			t.Fatal(err)
		}
		part.Write(data)
		form.Close()
		return b.do(http.MethodPost, "/import", form.FormDataContentType(), &body)
	}
	good := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate.Raw})
	for name, row := range map[string]struct {
		store string
		data  []byte
		want  int
	}{
		"no store": {"x-trust", good, 400}, "text": {"Phone-SAST-trust", []byte("hello"), 400}, "empty": {"Phone-SAST-trust", nil, 400},
		"a key": {"Phone-SAST-trust", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 400}, "1 MB": {"Phone-SAST-trust", make([]byte, 1<<20), 401},
	} {
		if w := upload(row.store, row.data); w.Code/100 != 4 || len(c.State().Imported) != 0 {
			t.Errorf("%s: %d, want %d", name, w.Code, row.want)
		}
	}
	if w := upload("Phone-SAST-trust", good); w.Code != http.StatusOK || len(c.State().Imported) != 1 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	page := b.do(http.MethodGet, "/certificates", "", nil).Body.String()
	if !strings.Contains(page, "&lt;script&gt;alert(1)") || strings.ContainsAny(page, "\u202e\x1b") {
		t.Errorf("the name is not shown as text:\n%s", page)
	}
	for path, want := range map[string][]byte{"/certificates/trust/0": nil, "/certificates/node/" + c.Publisher().Name() + "/TVS": nil, "/lists/" + c.State().Lists()[0].SHA1: nil} {
		w := b.do(http.MethodGet, path, "", nil)
		if name := w.Header().Get("Content-Disposition"); w.Code != http.StatusOK || w.Body.Len() == 0 || strings.ContainsAny(name, "<>/\\") {
			t.Errorf("%s: %d, %d bytes, %q, %v", path, w.Code, w.Body.Len(), name, want)
		}
	}
	if _, err := trustlist.Parse(trustlist.ITL, b.do(http.MethodGet, "/lists/"+c.State().Lists()[0].SHA1, "", nil).Body.Bytes()); err != nil {
		t.Error(err)
	}
}
