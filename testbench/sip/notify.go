package sip

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"
)

// Action is what a call manager tells a phone to do.
type Action string

// The actions.
const (
	Reset   Action = "reset"   // unregister, then as from power-on
	Restart Action = "restart" // unregister, fetch the files again, register
	// ApplyConfig is as little as a changed configuration needs.
	ApplyConfig Action = "apply-config"
	// CheckVersion compares stamps of versions, and fetches what differs.
	CheckVersion Action = "check-version"
)

// Actions returns the actions.
func Actions() []Action { return []Action{Reset, Restart, ApplyConfig, CheckVersion} }

// Notify is a NOTIFY with service-control for a registered phone.
type Notify struct {
	Server     string // "host:port" of the call manager
	Transport  string // "tcp", "udp" or "tls"
	User, Host string // of the phone's Contact
	CallID     string // of the phone's REGISTER
	Action     Action
	Stamp      string // of the phone's configuration; "" for one that is never the phone's
	UserAgent  string // "Cisco-CUCM12.5"
	Now        time.Time
}

// staleStamp stands for versions that are never those of the phone.
const staleStamp = "0000000000000000"

// Bytes writes the request, and returns it with its Call-ID, which the answer repeats.
// Header lines and their order are those of a trace.
func (n *Notify) Bytes() (request []byte, callID string) {
	host, port, err := net.SplitHostPort(n.Server)
	if err != nil {
		host, port = n.Server, "5060"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	phone, _, _ := net.SplitHostPort(n.Host)
	var tag [4]byte
	rand.Read(tag[:])
	callID = fmt.Sprintf("%s-%s@%s", strings.ToLower(rand.Text()[:8]), strings.ToLower(rand.Text()[:8]), host)
	config := n.Stamp
	if config == "" {
		config = staleStamp
	}
	stamps := fmt.Sprintf("ConfigVersionStamp={%s}\r\n", config)
	for _, name := range []string{"DialplanVersionStamp", "SoftkeyVersionStamp"} {
		stamps += fmt.Sprintf("%s={%s}\r\n", name, staleStamp)
	}
	body := fmt.Sprintf("action=%s\r\nRegisterCallId={%s}\r\n%s", n.Action, n.CallID, stamps)
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	put("NOTIFY sip:%s@%s SIP/2.0", n.User, n.Host)
	put("Via: SIP/2.0/%s %s:%s;branch=z9hG4bK%s", strings.ToUpper(n.Transport), host, port, strings.ToLower(rand.Text()[:12]))
	put("From: <sip:%s>;tag=%d", host, binary.BigEndian.Uint32(tag[:]))
	put("To: <sip:%s@%s>", n.User, phone)
	put("Call-ID: %s", callID)
	put("CSeq: 101 NOTIFY")
	put("Max-Forwards: 70")
	put("Date: %s", n.Now.UTC().Format(dateForm))
	put("User-Agent: %s", n.UserAgent)
	put("Event: service-control")
	put("Subscription-State: active")
	put("Contact: <sip:%s:%s;transport=%s>", host, port, n.Transport)
	put("Content-Type: text/plain")
	put("Content-Length: %d", len(body))
	put("")
	return append([]byte(b.String()), body...), callID
}
