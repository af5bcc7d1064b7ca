// Package gate keeps all but the owner from changing a cluster through its pages: who
// wants to must show a token that stands in a file which only the owner reads.
//
//	g, err := gate.New("lab/pages-token")
//	if ok := g.Enter(w, r, r.PostFormValue("token")); !ok { ... }
//	err = g.Check(r) // of every request that changes something
//
// The token is 128 random bits and new at each start. A browser that has shown it gets a
// cookie that goes to the same site alone and that no script reads. A request that
// changes something needs the cookie, a value from the form that belongs to it, and must
// come from our own pages, by Sec-Fetch-Site or Origin. Wrong tokens are answered slowly;
// see package login. A Gate is safe for concurrent use.
package gate

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"itlagent/agent/login"
)

// Errors of Check.
var (
	// ErrStranger: the token was not shown.
	ErrStranger = errors.New("the token was not shown")
	// ErrElsewhere: the request does not come from our own pages.
	ErrElsewhere = errors.New("the request does not come from these pages")
)

const (
	cookieName = "itlbench-pages"
	lifetime   = 12 * time.Hour // of a cookie
)

// Gate knows the token.
type Gate struct {
	token   string
	key     [32]byte // of cookies and of the values in forms
	guesses login.Delay
	cross   *http.CrossOriginProtection
}

// New makes a token and writes it to a file of mode 0600, in the place of an older one.
func New(path string) (*Gate, error) {
	g := &Gate{cross: http.NewCrossOriginProtection()}
	var token [16]byte
	rand.Read(token[:])
	rand.Read(g.key[:])
	g.token = hex.EncodeToString(token[:])
	f, err := os.CreateTemp(filepath.Dir(path), ".pages-token-*") // mode 0600
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(g.token + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return g, nil
}

// sum is what a value is bound to a purpose with.
func (g *Gate) sum(purpose, value string) string {
	h := hmac.New(sha256.New, g.key[:])
	fmt.Fprintf(h, "%s\x00%s", purpose, value)
	return hex.EncodeToString(h.Sum(nil))
}

// Enter looks at a token that was shown, and gives its browser a cookie where it is the
// right one. It waits after wrong ones of the same address.
func (g *Gate) Enter(w http.ResponseWriter, r *http.Request, token string) bool {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	wait, ok := g.guesses.Begin(peer)
	if !ok || g.cross.Check(r) != nil {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return false
	}
	if subtle.ConstantTimeCompare([]byte(strings.TrimSpace(token)), []byte(g.token)) != 1 {
		return false
	}
	g.guesses.Right(peer)
	var nonce [16]byte
	rand.Read(nonce[:])
	until := fmt.Sprintf("%s.%d", hex.EncodeToString(nonce[:]), time.Now().Add(lifetime).Unix())
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: until + "." + g.sum("cookie", until), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(lifetime / time.Second)})
	return true
}

// cookie returns the valid cookie of a request, or "".
func (g *Gate) cookie(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	at := strings.LastIndexByte(c.Value, '.')
	if at < 0 || subtle.ConstantTimeCompare([]byte(c.Value[at+1:]), []byte(g.sum("cookie", c.Value[:at]))) != 1 {
		return ""
	}
	var until int64
	if _, end, _ := strings.Cut(c.Value[:at], "."); len(end) > 0 {
		fmt.Sscanf(end, "%d", &until)
	}
	if time.Now().Unix() > until {
		return ""
	}
	return c.Value
}

// Knows reports whether the browser of a request has shown the token.
func (g *Gate) Knows(r *http.Request) bool { return g.cookie(r) != "" }

// Form returns the value that forms for the browser of a request have; "" where it has not
// shown the token.
func (g *Gate) Form(r *http.Request) string {
	if c := g.cookie(r); c != "" {
		return g.sum("form", c)
	}
	return ""
}

// Check reports a request that must not change anything. value is the one of Form that came
// with it.
func (g *Gate) Check(r *http.Request, value string) error {
	form := g.Form(r)
	switch {
	case form == "":
		return ErrStranger
	case g.cross.Check(r) != nil, subtle.ConstantTimeCompare([]byte(value), []byte(form)) != 1:
		return ErrElsewhere
	}
	return nil
}
