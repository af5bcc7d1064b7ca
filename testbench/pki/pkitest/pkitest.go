// Package pkitest makes identities and small trust lists for tests.
//
//	call := pkitest.Identity(t, "pub.example.lab", pki.Service)
//	list := pkitest.ITL(t, call, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: call.Certificate})
//
// Every helper ends the test where it cannot do its work. Keys are new in
// each run and have no other use: the first identity of each test has the same key, and
// the second, for an emulated processor takes seconds to make one. The functions are
// safe for concurrent use.
package pkitest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
)

// Time is when every certificate and file of this package was made.
var Time = time.Date(2014, time.February, 26, 18, 24, 27, 0, time.UTC)

// Identity makes a self-signed RSA-1024 identity whose subject has the six parts
// of CUCM's note. Each call in a test takes another key and serial number.
func Identity(t testing.TB, cn string, usage pki.Usage) *pki.Identity {
	t.Helper()
	return Make(t, pki.Request{Subject: Name(cn), Bits: 1024, Usage: usage})
}

// Make makes an identity of any kind, valid from Time.
func Make(t testing.TB, req pki.Request) *pki.Identity {
	t.Helper()
	req.From = Time
	id, err := keys.New(req, next(t))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The stock of keys, and how many identities each running test has.
var (
	keys pki.Keys
	mu   sync.Mutex
	made = map[string]int{}
)

// next counts the identities of a test, in which its subtests share.
func next(t testing.TB) int {
	test, _, _ := strings.Cut(t.Name(), "/")
	mu.Lock()
	defer mu.Unlock()
	made[test]++
	return made[test]
}

// Name is a subject as in CUCM's note.
func Name(cn string) pki.Name {
	return pki.Name{CN: cn, OU: "tac", O: "cisco", L: "rtp", ST: "nc", C: "US"}
}

// ITL makes and signs a list with SHA-1.
func ITL(t testing.TB, signer *pki.Identity, records ...trustlist.RecordSpec) *trustlist.File {
	t.Helper()
	return List(t, trustlist.ListSpec{Kind: trustlist.ITL, Records: records}, signer)
}

// List makes and signs a list, dated Time where the description has no date.
func List(t testing.TB, spec trustlist.ListSpec, signer *pki.Identity) *trustlist.File {
	t.Helper()
	if spec.Time.IsZero() {
		spec.Time = Time
	}
	data, err := trustlist.BuildList(spec, signer.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	return Parse(t, spec.Kind, data)
}

// Signed makes a signed file.
func Signed(t testing.TB, name, content string, signer *pki.Identity, digest trustlist.Digest) []byte {
	t.Helper()
	data, err := trustlist.SignFile(name, []byte(content), digest, Time, signer.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Parse reads a file that must be readable.
func Parse(t testing.TB, kind trustlist.Kind, data []byte) *trustlist.File {
	t.Helper()
	f, err := trustlist.Parse(kind, data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
