package sip

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrRegister says that a REGISTER does not say who registers.
var ErrRegister = errors.New("a REGISTER without the device's name in its Contact")

// Register is what a REGISTER says of a phone.
type Register struct {
	Device string // "SEP64A0E71502CC", in upper case
	User   string // of the Contact: what a NOTIFY is addressed to
	Host   string // "host:port" of the Contact
	Model  string // the enumeration of models, "437"; "" where it is not said
	CallID string
	// Expires is what is asked for, in seconds; 0 ends the registration, or is the
	// keep-alive of a phone that is registered elsewhere.
	Expires int
	// Of the Reason header, which only the first REGISTER after a reset has:
	ActiveLoad, InactiveLoad string
	Last                     string // "reset-restart", "initialized", in lower case
}

// TokenRegistration is in the Refer-To of the REFER by which a phone asks for leave to fail
// back to a call manager.
const TokenRegistration = "urn:X-cisco-remotecc:token-registration"

// maxWord bounds what is kept of a REGISTER, each, in bytes.
const maxWord = 128

// Register reads a REGISTER. Where Expires is absent, 3600 is taken, as RFC 3261 has it.
func (req *Request) Register() (*Register, error) {
	uri, params, _ := strings.Cut(req.Contact, ">")
	_, uri, ok := strings.Cut(uri, "<sip:")
	if !ok {
		_, uri, ok = strings.Cut(uri, "<sips:")
	}
	uri, _, _ = strings.Cut(uri, ";")
	user, host, _ := strings.Cut(uri, "@")
	out := &Register{User: user, Host: host, CallID: req.CallID, Expires: req.Expires}
	if out.Expires < 0 {
		out.Expires = 3600
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "+u.sip!devicename.ccm.cisco.com":
			out.Device = strings.ToUpper(value)
		case "+u.sip!model.ccm.cisco.com":
			out.Model = value
		case "expires":
			if value == "0" { // RFC 3261, section 10.2.2: it goes before the header
				out.Expires = 0
			}
		}
	}
	for _, word := range []string{out.Device, user, host, out.Model, out.CallID} {
		if len(word) > maxWord || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("%w: %.40q", ErrRegister, word)
		}
	}
	if !ok || out.Device == "" || out.CallID == "" {
		return nil, ErrRegister
	}
	out.reason(req.Reason)
	return out, nil
}

// reason reads what an alarm in the Reason header says: its words are "Name=value".
func (r *Register) reason(header string) {
	_, text, ok := strings.Cut(header, `text="`)
	if !ok {
		return
	}
	text, _, _ = strings.Cut(text, `"`)
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		if len(value) > maxWord || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			continue
		}
		switch name {
		case "ActiveLoad", "Load":
			r.ActiveLoad = value
		case "InactiveLoad":
			r.InactiveLoad = value
		case "Last":
			r.Last = strings.ToLower(value)
		}
	}
}

// Grant is what a call manager answers a REGISTER with.
type Grant struct {
	Now     time.Time
	Server  string // "Cisco-CUCM10.0"
	Expires int    // seconds
	Fresh   bool   // the registration is new, no refresh
}

// remoteccResponse is the body of the answer to a new registration: what the call manager
// can be asked for.
const remoteccResponse = `<?xml version="1.0" encoding="UTF-8"?>
<x-cisco-remotecc-response>
<response>
<code>200</code>
<optionsind>
<combine max="6">
<remotecc>
<status></status>
</remotecc>
<service-control></service-control>
</combine>
<dialog usage="hook status">
<unot></unot>
<sub></sub>
</dialog>
<presence usage="blf speed dial">
<unot></unot>
<sub></sub>
</presence>
</optionsind>
</response>
</x-cisco-remotecc-response>
`

// Granted writes the answer that accepts a REGISTER. Its lines and their order are those
// of a trace, for a new registration with a body.
func (req *Request) Granted(g Grant) []byte {
	lines := fmt.Sprintf("Server: %s\r\nExpires: %d\r\n", g.Server, g.Expires)
	if g.Fresh {
		lines += "Contact: " + req.Contact + ";x-cisco-newreg\r\n"
	} else {
		lines += "Contact: " + req.Contact + "\r\n"
	}
	lines += "Supported: X-cisco-srtp-fallback,X-cisco-sis-8.0.0\r\n"
	if !g.Fresh || g.Expires == 0 {
		return req.answer("200 OK", g.Now, lines, "")
	}
	return req.answer("200 OK", g.Now, lines+"Content-Type: application/x-cisco-remotecc-response+xml\r\n", remoteccResponse)
}

// Trying writes the provisional answer that a call manager sends first.
func (req *Request) Trying(now time.Time) []byte { return req.answer("100 Trying", now, "", "") }
