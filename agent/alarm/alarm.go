// Package alarm tells a cluster which trust lists a phone holds: the DeviceTLInfo
// alarm, in a SIP REFER.
//
//	q, err := alarm.Open(store, "alarms")
//	err = q.Add(alarm.Info{Device: "SEP64A0E71502CC", ITL: sha1, ITLServer: "pub"})
//	sent, err := sender.Deliver(ctx, q, servers)
//
// Alarms wait in the phone's store until a server accepts them or refuses them for
// good. Of more than MaxQueued the oldest are dropped. Both kinds are counted. A
// field has at most bounded.MaxLen bytes, answers as sip bounds them. A Queue is
// safe for concurrent use, a Sender too.
// Source: traces of a CP-7821 with firmware 12.1.1; RFC 3261 (SIP), RFC 3515
// (REFER); the alarm is in Cisco's note on the ITL enhancements of CUCM 10.0. What
// these leave open is in quirks.go.
package alarm

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"itlagent/agent/printable"
)

// Info is what an alarm says.
type Info struct {
	Device string // "SEP64A0E71502CC"
	// Address and Address6 are the phone's own, IPv4 and IPv6. Where they are "" the
	// Sender fills that of the connection in.
	Address, Address6    string
	CTL, ITL             []byte // SHA-1 of the file, empty where none is installed
	CTLServer, ITLServer string // host name of the TFTP node that the list is of
	Status               int    // StatusCode
}

// Equal reports whether two alarms say the same.
func (i Info) Equal(o Info) bool {
	return i.Device == o.Device && i.Address == o.Address && i.Address6 == o.Address6 && bytes.Equal(i.CTL, o.CTL) && i.CTLServer == o.CTLServer &&
		bytes.Equal(i.ITL, o.ITL) && i.ITLServer == o.ITLServer && i.Status == o.Status
}

// Body returns the XML of the alarm: lines end with LF, the last one with
// nothing.
func (i Info) Body() []byte {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n")
	str := func(name, value string) {
		b.WriteString("<String name=\"" + name + "\">" + escape(value) + "</String>\n")
	}
	list := func(kind string, hash []byte, server string) {
		text := "Not Installed"
		if len(hash) == 0 {
			server = "N/A"
		} else {
			text = Signature(hash)
		}
		str(kind+"_Signature", text)
		str(kind+"_TFTP_Server", server)
	}
	str("DeviceName", i.Device)
	str("IPv4Address", i.Address)
	str("IPv6Address", i.Address6)
	list("CTL", i.CTL, i.CTLServer)
	list("ITL", i.ITL, i.ITLServer)
	str("StatusCode", strconv.Itoa(i.Status))
	b.WriteString("</ParameterList>\n</Alarm>\n</x-cisco-alarm>")
	return []byte(b.String())
}

// escape keeps a value from ending its element. Names come from lists: what XML
// does not allow, and what would steer the terminal of a reader, is made visible.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(printable.Text(s))
}

// Signature writes a hash as phones do: upper-case pairs, each with a space
// behind it, the last one too.
func Signature(hash []byte) string {
	var b strings.Builder
	for _, c := range hash {
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
		b.WriteByte(' ')
	}
	return b.String()
}
