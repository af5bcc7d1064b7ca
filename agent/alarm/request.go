package alarm

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// token returns n random bytes in hex.
func (s *Sender) token(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.Rand, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// ownAddress returns the address that a phone has in a request, as it stands in a
// SIP URI, and that with the port of the connection. Where the alarm does not say
// it, it is set to that of the connection's own end.
func (i *Info) ownAddress(local net.Addr) (me, at string) {
	var end netip.AddrPort
	if local != nil {
		end, _ = netip.ParseAddrPort(local.String())
	}
	ip := end.Addr().Unmap().WithZone("")
	mine := &i.Address
	if ip.Is6() {
		mine = &i.Address6
	}
	if *mine == "" && ip.IsValid() {
		*mine = ip.String()
	}
	me = printable.Text(*mine)
	at = me
	if end.IsValid() {
		at = net.JoinHostPort(me, strconv.Itoa(int(end.Port())))
	}
	return uriHost(me), at
}

// uriHost is a host as it stands in a URI.
func uriHost(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// request writes the REFER. Its header lines and their order are those of the
// traces.
func (s *Sender) request(local net.Addr, server sip.Server, i Info) (req sip.Request, err error) {
	var parts [8]string
	for n, size := range []int{4, 12, 4, 16, 16, 4, 4, 4} {
		if parts[n], err = s.token(size); err != nil {
			return req, err
		}
	}
	host, _, err := net.SplitHostPort(server.Address)
	if err != nil {
		return req, err
	}
	host = uriHost(printable.Text(host))
	me, at := i.ownAddress(local)
	device := printable.Text(i.Device)
	line := printable.Text(s.Line)
	if line == "" {
		line = device
	}
	mac := strings.ToLower(strings.TrimPrefix(device, "SEP"))
	transport := string(server.Transport)
	callID := fmt.Sprintf("%s-%.4s0006-%s-%s@%s", mac[:min(8, len(mac))], mac[min(8, len(mac)):], parts[2], parts[5], me)
	content := parts[6] + "@" + me
	body := i.Body()
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	put("REFER sip:%s SIP/2.0", host)
	put("Via: SIP/2.0/%s %s;branch=z9hG4bK%s", strings.ToUpper(transport), at, parts[0])
	put("From: \"%s\" <sip:%s@%s>;tag=%s%s-%s", line, line, me, mac, parts[1], parts[7])
	put("To: <sip:%s>", host)
	put("Call-ID: %s", callID)
	put("Session-ID: %s;remote=00000000000000000000000000000000", parts[3])
	put("Date: %s", s.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	put("CSeq: 1000 REFER")
	put("User-Agent: %s", printable.Text(s.UserAgent))
	put("Expires: 10")
	put("Max-Forwards: 70")
	contact := parts[4]
	put("Contact: <sip:%s-%s-%s-%s-%s@%s;transport=%s>;+u.sip!devicename.ccm.cisco.com=\"%s\"",
		contact[:8], contact[8:12], contact[12:16], contact[16:20], contact[20:], at, transport, device)
	put("Require: norefersub")
	put("Referred-By: \"%s\" <sip:%s@%s>", line, line, me)
	put("Refer-To: cid:%s", content)
	put("Content-Id: <%s>", content)
	put("Allow: ACK,BYE,CANCEL,INVITE,NOTIFY,OPTIONS,REFER,REGISTER,UPDATE,SUBSCRIBE")
	put("Content-Length: %d", len(body))
	put("Content-Type: application/x-cisco-alarm+xml")
	put("Content-Disposition: session;handling=required")
	put("")
	return sip.Request{Bytes: append([]byte(b.String()), body...), CallID: callID, CSeq: "1000 REFER"}, nil
}
