package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"itlagent/testbench/sip"
)

// MAC is the MAC address of a phone.
type MAC [6]byte

// String returns 12 upper-case hex digits.
func (m MAC) String() string { return fmt.Sprintf("%X", m[:]) }

// Hash is the SHA-1 of a list.
type Hash [20]byte

// String returns 40 lower-case hex digits, "" for none.
func (h Hash) String() string {
	if h == (Hash{}) {
		return ""
	}
	return fmt.Sprintf("%x", h[:])
}

// Report is what one alarm says of a phone's lists.
type Report struct {
	MAC      MAC
	Time     time.Time // zero where it is not known; often in whole seconds
	Node     string    // that logged it; "" where it is not known
	Seq      uint64    // its number in the log of the node; 0 where it is not known
	ITL, CTL Hash      // zero where none is installed
}

// AlarmName is the name of the alarm that tells of lists.
const AlarmName = "DeviceTLInfo"

var alarmName = []byte(AlarmName)

// Errors of a line.
var (
	// ErrOther says that a line is not about the lists of a phone.
	ErrOther = errors.New("not a DeviceTLInfo")
	// ErrUnusable says that it is, and cannot be used.
	ErrUnusable = errors.New("a DeviceTLInfo that cannot be used")
)

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnusable, fmt.Sprintf(format, args...))
}

// ParseLine reads a line of an application log or of a syslog file. What stands before
// the name of the alarm is looked at for a time alone; the tags behind it may stand in
// any order, among others.
func ParseLine(line []byte) (Report, error) {
	name := bytes.Index(line, alarmName)
	if name < 0 {
		return Report{}, ErrOther
	}
	head, rest := line[:name], line[name+len(alarmName):]
	var values [len(wanted)][]byte
	tags := 0
	for {
		open := bytes.IndexByte(rest, '[')
		if open < 0 {
			break
		}
		end := bytes.IndexByte(rest[open:], ']')
		if end < 0 {
			return Report{}, unusable("a tag is cut off")
		}
		key, value, ok := bytes.Cut(rest[open+1:open+end], []byte("="))
		rest = rest[open+end+1:]
		if !ok {
			continue
		}
		tags++
		for i, name := range wanted {
			if !bytes.EqualFold(bytes.TrimSpace(key), name) {
				continue
			}
			if values[i] != nil && !bytes.Equal(values[i], value) {
				return Report{}, unusable("%s is there twice", name)
			}
			values[i] = value
		}
	}
	if tags == 0 {
		return Report{}, ErrOther // the name stands in some text
	}
	at, node, seq := lineHead(head)
	r, err := report(string(values[0]), string(values[1]), string(values[2]), at)
	r.Node, r.Seq = node, seq
	return r, err
}

// wanted are the tags that are read.
var wanted = [...][]byte{[]byte("DeviceName"), []byte("ITL_Signature"), []byte("CTL_Signature")}

// FromAlarm reads an alarm that came by SIP.
func FromAlarm(a *sip.Alarm, at time.Time) (Report, error) {
	if a.Name != AlarmName {
		return Report{}, ErrOther
	}
	return report(a.Get("DeviceName"), a.Get("ITL_Signature"), a.Get("CTL_Signature"), at)
}

func report(device, itl, ctl string, at time.Time) (Report, error) {
	r := Report{Time: at}
	mac, ok := ParseMAC(device)
	if !ok {
		return r, unusable("DeviceName %.40q", device)
	}
	r.MAC = mac
	if strings.TrimSpace(itl) == "" {
		return r, unusable("no ITL_Signature")
	}
	for _, list := range []struct {
		name, text string
		to         *Hash
	}{{"ITL_Signature", itl, &r.ITL}, {"CTL_Signature", ctl, &r.CTL}} {
		hash, err := ParseHash(list.text)
		switch {
		case err != nil:
			return r, unusable("%s: %v", list.name, err)
		case hash == "":
		case len(hash) != 2*len(Hash{}):
			return r, unusable("%s: %.60q is no SHA-1, which alarms have", list.name, list.text)
		default:
			*list.to = parseHash(hash)
		}
	}
	return r, nil
}

// parseHash reads 40 hex digits that were checked.
func parseHash(text string) (h Hash) {
	for i := range h {
		n, _ := strconv.ParseUint(text[2*i:2*i+2], 16, 8)
		h[i] = byte(n)
	}
	return h
}

// ParseMAC reads "SEP64A0E71502CC".
func ParseMAC(device string) (m MAC, ok bool) {
	text, ok := strings.CutPrefix(strings.ToUpper(strings.TrimSpace(device)), "SEP")
	if !ok || len(text) != 12 {
		return m, false
	}
	for i := range m {
		n, err := strconv.ParseUint(text[2*i:2*i+2], 16, 8)
		if err != nil {
			return m, false
		}
		m[i] = byte(n)
	}
	return m, true
}

// lineHead reads what stands before an alarm, as CiscoLog writes it: "41679: test10pub: Mar 09 2019
// 18:32:45.250". It returns the last time in it, the node and the sequence number in
// front; the time is zero where there is none, or one without a year: such lines count in
// the order in which they stand.
func lineHead(head []byte) (at time.Time, node string, seq uint64) {
	for end := len(head); ; {
		colon := bytes.LastIndexByte(head[:end], ':')
		if colon < 0 {
			return time.Time{}, "", 0
		}
		// The colon before the seconds is the last of a time.
		const clock = len("18:32")
		if from := colon - clock; from >= 0 && head[from+2] == ':' && colon+3 <= len(head) {
			words := bytes.Fields(head[:from])
			if n := len(words); n >= 3 {
				text := fmt.Sprintf("%s %s %s %s%s", words[n-3], words[n-2], words[n-1], head[from:colon+3], fraction(head[colon+3:]))
				if at, err := time.Parse("Jan 2 2006 15:04:05", text); err == nil {
					node, seq = origin(words[:n-3])
					return at, node, seq
				}
			}
		}
		end = colon
	}
}

// fraction returns the fraction of a second that a text begins with, to a microsecond; it may be
// empty.
func fraction(text []byte) []byte {
	n := 1
	for n < len(text) && n < len(".250000") && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	if n == 1 || text[0] != '.' {
		return nil
	}
	return text[:n]
}

// maxNode bounds the name of a node in a line, in bytes.
const maxNode = 255

// origin returns node and sequence number of the words before a time: "41679:" "test10pub:",
// the last colon may be missing. It returns nothing where they are not so.
func origin(words [][]byte) (node string, seq uint64) {
	n := len(words)
	if n < 2 || len(words[n-1]) > maxNode {
		return "", 0
	}
	digits, ok := bytes.CutSuffix(words[n-2], []byte(":"))
	seq, err := strconv.ParseUint(string(digits), 10, 64)
	if !ok || err != nil {
		return "", 0
	}
	return string(bytes.TrimSuffix(words[n-1], []byte(":"))), seq
}
