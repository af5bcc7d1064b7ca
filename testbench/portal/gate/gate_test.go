package gate_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/testbench/portal/gate"
)

// Who has not shown the token, comes from another site, or has no value of a form of ours
// changes nothing.
func TestGate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	g, err := gate.New(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	token, err := os.ReadFile(path)
	if err != nil || len(token) != 33 {
		t.Fatalf("%d bytes, %v", len(token), err)
	}
	post := func(cookie *http.Cookie, headers ...string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/x", nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		if cookie != nil {
			r.AddCookie(cookie)
		}
		return r
	}
	enter := func(token string, headers ...string) *http.Cookie {
		w := httptest.NewRecorder()
		if !g.Enter(w, post(nil, headers...), token) {
			return nil
		}
		return w.Result().Cookies()[0]
	}
	c := enter(string(token))
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Fatalf("cookie %v", c)
	}
	if enter(string(token), "Origin", "http://evil.example") != nil || enter("wrong") != nil || enter("") != nil {
		t.Error("a wrong token is enough, or another site may show it")
	}
	form := g.Form(post(c))
	other := enter(string(token))
	forged := *c
	forged.Value = strings.Replace(c.Value, ".", ".9", 1)
	for name, row := range map[string]struct {
		r     *http.Request
		value string
		want  error
	}{
		"ours":             {post(c), form, nil},
		"our origin":       {post(c, "Origin", "http://127.0.0.1:8080"), form, nil},
		"no cookie":        {post(nil), form, gate.ErrStranger},
		"a longer life":    {post(&forged), form, gate.ErrStranger},
		"no value":         {post(c), "", gate.ErrElsewhere},
		"of another login": {post(c), g.Form(post(other)), gate.ErrElsewhere},
		"other origin":     {post(c, "Origin", "http://evil.example"), form, gate.ErrElsewhere},
		"other port":       {post(c, "Origin", "http://127.0.0.1:9999"), form, gate.ErrElsewhere},
		"cross site":       {post(c, "Sec-Fetch-Site", "cross-site"), form, gate.ErrElsewhere},
		"same site":        {post(c, "Sec-Fetch-Site", "same-site"), form, gate.ErrElsewhere},
	} {
		if err := g.Check(row.r, row.value); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}
