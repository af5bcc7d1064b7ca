package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"itlagent/testbench/lockout"
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
	Time     time.Time // zero where it is not known
	ITL, CTL Hash      // zero where none is installed
	Host     string    // that wrote the line, and its number there; "" where not known
	Seq      uint64
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
	at := bytes.Index(line, alarmName)
	if at < 0 {
		return Report{}, ErrOther
	}
	head, rest := line[:at], line[at+len(alarmName):]
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
	r, err := report(string(values[0]), string(values[1]), string(values[2]), lineTime(head))
	r.Seq, r.Host = sequence(head)
	return r, err
}

// sequence reads the number and the host of a line of CiscoLog: "41679: uc-ucm-01: Jul
// 02 2015 ...". Something of syslog may stand before them. Without both the host is "".
func sequence(head []byte) (number uint64, host string) {
	for {
		part, rest, ok := bytes.Cut(head, []byte(": "))
		if !ok {
			return 0, ""
		}
		before, after := bytes.Fields(part), bytes.Fields(rest)
		if len(before) > 0 && len(after) > 0 {
			if n, err := strconv.ParseUint(string(before[len(before)-1]), 10, 64); err == nil {
				return n, string(bytes.TrimSuffix(after[0], []byte(":")))
			}
		}
		head = rest
	}
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

// NewReport makes a report of a device name and hashes as lockout.Hash reads them.
func NewReport(device, itl, ctl string, at time.Time) (Report, error) {
	if itl == "" {
		itl = "Not Installed"
	}
	return report(device, itl, ctl, at)
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
		hash, err := lockout.Hash(list.text)
		if err != nil {
			return r, unusable("%s: %v", list.name, err)
		}
		if hash != "" {
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

// lineTime returns the last time in what stands before an alarm, as CiscoLog writes it:
// "Mar 09 2019 18:32:45.250". It is zero where there is none, or one without a year:
// such lines count in the order in which they stand.
func lineTime(head []byte) time.Time {
	for end := len(head); ; {
		colon := bytes.LastIndexByte(head[:end], ':')
		if colon < 0 {
			return time.Time{}
		}
		// The colon before the seconds is the last of a time.
		const clock = len("18:32")
		if from := colon - clock; from >= 0 && head[from+2] == ':' && colon+3 <= len(head) {
			words := bytes.Fields(head[:from])
			if n := len(words); n >= 3 {
				rest := head[colon+3:]
				fraction := 0
				for len(rest) > 0 && rest[0] == '.' && fraction+1 < len(rest) && fraction < 6 && rest[fraction+1] >= '0' && rest[fraction+1] <= '9' {
					fraction++
				}
				text := fmt.Sprintf("%s %s %s %s", words[n-3], words[n-2], words[n-1], head[from:colon+3])
				if fraction > 0 {
					text += string(rest[:fraction+1])
				}
				if at, err := time.Parse("Jan 2 2006 15:04:05", text); err == nil {
					return at
				}
			}
		}
		end = colon
	}
}
