package register

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/model"
	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// Phone is what a phone says of itself.
type Phone struct {
	Device string // "SEP64A0E71502CC"
	Model  model.Model
	Load   string // the firmware's file, as its configuration names it
}

// dialog is what all requests of one registration share.
type dialog struct {
	phone     Phone
	host      string // of the call manager, as it stands in a URI
	transport sip.Transport
	me, at    string // the phone's own address in a URI, and with the port
	contact   string // user of the Contact
	callID    string
	tag       string
	cseq      int // of the last request
}

// token returns n random bytes in hex.
func token(random io.Reader, n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// mac returns the phone's MAC address as it stands in identifiers.
func (p Phone) mac() string {
	return strings.ToLower(strings.TrimPrefix(printable.Text(p.Device), "SEP"))
}

// newDialog returns the dialog of the n-th registration of a phone.
func newDialog(p Phone, contact string, n int, server sip.Server, local net.Addr, random io.Reader) (*dialog, error) {
	host, _, err := net.SplitHostPort(server.Address)
	if err != nil {
		return nil, err
	}
	var end netip.AddrPort
	if local != nil {
		end, _ = netip.ParseAddrPort(local.String())
	}
	address := end.Addr().Unmap().WithZone("")
	d := &dialog{phone: p, host: uriHost(printable.Text(host)), transport: server.Transport, contact: contact, cseq: firstCSeq - 1}
	d.me = uriHost(address.String())
	d.at = netip.AddrPortFrom(address, end.Port()).String()
	if !address.IsValid() {
		d.me, d.at = "0.0.0.0", "0.0.0.0"
	}
	parts, err := token(random, 16)
	if err != nil {
		return nil, err
	}
	mac := fmt.Sprintf("%012s", p.mac())
	d.callID = fmt.Sprintf("%s-%s%04x-%s-%s@%s", mac[:8], mac[8:], n&0xffff, parts[:8], parts[8:16], d.me)
	d.tag = fmt.Sprintf("%s%s-%s", mac, parts[16:24], parts[24:])
	return d, nil
}

func uriHost(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// uuid writes 16 bytes in hex as a UUID.
func uuid(h string) string {
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// seconds asked for, where the phone means to stay.
const askedExpires = 3600

// register writes the next REGISTER: for so many seconds, with a Reason and the body of a
// first one where reason is not "".
func (d *dialog) register(expires int, reason string, now time.Time, random io.Reader) (sip.Request, error) {
	d.cseq++
	id, err := token(random, 20)
	if err != nil {
		return sip.Request{}, err
	}
	p := d.phone
	line := printable.Text(p.Device)
	cseq := strconv.Itoa(d.cseq) + " REGISTER"
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	put("REGISTER sip:%s SIP/2.0", d.host)
	put("Via: SIP/2.0/%s %s;branch=z9hG4bK%s", strings.ToUpper(string(d.transport)), d.at, id[:8])
	put("From: <sip:%s@%s>;tag=%s", line, d.host, d.tag)
	put("To: <sip:%s@%s>", line, d.host)
	put("Call-ID: %s", d.callID)
	put("Max-Forwards: 70")
	if p.Model.SessionID() {
		put("Session-ID: %s;remote=00000000000000000000000000000000", id[8:])
	}
	put("Date: %s", now.UTC().Format(dateForm))
	put("CSeq: %s", cseq)
	put("User-Agent: %s", p.Model.UserAgent())
	put("Contact: <sip:%s@%s;transport=%s>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-%s>\";+u.sip!devicename.ccm.cisco.com=\"%s\";+u.sip!model.ccm.cisco.com=\"%s\"",
		d.contact, d.at, d.transport, p.mac(), line, p.Model.Number())
	put("Supported: replaces,join,sdp-anat,norefersub,resource-priority,extended-refer,X-cisco-callinfo,X-cisco-serviceuri,X-cisco-escapecodes,"+
		"X-cisco-service-control,X-cisco-srtp-fallback,X-cisco-monrec,X-cisco-config,X-cisco-sis-%s,X-cisco-xsi-8.5.1", p.Model.SIS())
	body := ""
	if reason != "" {
		body = introduction
		put("Reason: SIP;cause=200;text=\"%s\"", quotable(reason))
	}
	put("Expires: %d", expires)
	if body != "" {
		put("Content-Type: multipart/mixed; boundary=uniqueBoundary")
		put("Mime-Version: 1.0")
	}
	put("Content-Length: %d", len(body))
	put("")
	b.WriteString(body)
	return sip.Request{Bytes: []byte(b.String()), CallID: d.callID, CSeq: cseq}, nil
}

const dateForm = "Mon, 02 Jan 2006 15:04:05 GMT"

// quotable keeps a text from ending its quotes.
func quotable(s string) string {
	return strings.NewReplacer(`"`, "'", `\`, "/").Replace(printable.Clip(s, 200))
}

// reason is the alarm that the first REGISTER after a restart carries.
func (p Phone) reason(c Cause) string {
	load := strings.Map(func(r rune) rune {
		if r == ' ' {
			return '_'
		}
		return r
	}, p.Load)
	return fmt.Sprintf("cisco-alarm:%d Name=%s ActiveLoad=%s InactiveLoad= Last=%s", c.Code(), p.Device, load, strings.ToLower(c.String()))
}

// tokenRequest writes the REFER that asks a call manager whether the phone may come back to
// it.
func (d *dialog) tokenRequest(now time.Time, random io.Reader) (sip.Request, error) {
	id, err := token(random, 4)
	if err != nil {
		return sip.Request{}, err
	}
	line := printable.Text(d.phone.Device)
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	put("REFER sip:%s SIP/2.0", d.host)
	put("Via: SIP/2.0/%s %s;branch=z9hG4bK%s", strings.ToUpper(string(d.transport)), d.at, id)
	put("From: <sip:%s@%s>;tag=%s", line, d.host, d.tag)
	put("To: <sip:%s>", d.host)
	put("Call-ID: %s", d.callID)
	put("Max-Forwards: 70")
	put("Date: %s", now.UTC().Format(dateForm))
	put("CSeq: 1000 REFER")
	put("User-Agent: %s", d.phone.Model.UserAgent())
	put("Expires: 10")
	put("Contact: <sip:%s@%s;transport=%s>;+u.sip!devicename.ccm.cisco.com=\"%s\"", d.contact, d.at, d.transport, line)
	put("Require: norefersub")
	put("Referred-By: <sip:%s@%s>", line, d.host)
	put("Refer-To: <urn:X-cisco-remotecc:token-registration>")
	put("Content-Length: 0")
	put("")
	return sip.Request{Bytes: []byte(b.String()), CallID: d.callID, CSeq: "1000 REFER"}, nil
}

// introduction is the body of the first REGISTER: all lines register, and what the phone
// can be told. Lines of XML end with LF, those of MIME with CRLF.
const introduction = introductionPart + `<bulkregisterreq>
<contact all="true">
<register></register>
</contact>
</bulkregisterreq>
</x-cisco-remotecc-request>
` + "\r\n" + introductionPart + `<optionsind>
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
<dialog usage="shared line">
<unot></unot>
<sub></sub>
</dialog>
<presence usage="blf speed dial">
<unot></unot>
<sub></sub>
</presence>
<joinreq></joinreq>
<cfwdall-anyline></cfwdall-anyline>
<oosalarm></oosalarm>
</optionsind>
</x-cisco-remotecc-request>
` + "\r\n--uniqueBoundary--\r\n"

const introductionPart = "--uniqueBoundary\r\nContent-Type: application/x-cisco-remotecc-request+xml\r\n" +
	"Content-Disposition: session;handling=optional\r\n\r\n" + `<?xml version="1.0" encoding="UTF-8"?>
<x-cisco-remotecc-request>
`
