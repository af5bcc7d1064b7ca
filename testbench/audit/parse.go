package audit

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
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
	values := make(map[string]string, 8)
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
		if name := strings.ToLower(string(bytes.TrimSpace(key))); ok {
			if before, twice := values[name]; twice && before != string(value) {
				return Report{}, unusable("%.40s is there twice", key)
			}
			values[name] = string(value)
		}
	}
	if len(values) == 0 {
		return Report{}, ErrOther // the name stands in some text
	}
	return report(func(name string) string { return values[strings.ToLower(name)] }, lineTime(head))
}

// FromAlarm reads an alarm that came by SIP.
func FromAlarm(a *sip.Alarm, at time.Time) (Report, error) {
	if a.Name != AlarmName {
		return Report{}, ErrOther
	}
	return report(a.Get, at)
}

// NewReport makes a report of a device name and hashes as lockout.Hash reads them.
func NewReport(device, itl, ctl string, at time.Time) (Report, error) {
	if itl == "" {
		itl = "Not Installed"
	}
	return report(func(name string) string {
		return map[string]string{"DeviceName": device, "ITL_Signature": itl, "CTL_Signature": ctl}[name]
	}, at)
}

func report(get func(string) string, at time.Time) (Report, error) {
	r := Report{Time: at}
	mac, ok := ParseMAC(get("DeviceName"))
	if !ok {
		return r, unusable("DeviceName %.40q", get("DeviceName"))
	}
	r.MAC = mac
	for _, list := range []struct {
		name string
		to   *Hash
	}{{"ITL_Signature", &r.ITL}, {"CTL_Signature", &r.CTL}} {
		text := strings.TrimSpace(get(list.name))
		if text == "" {
			if list.name == "CTL_Signature" {
				continue
			}
			return r, unusable("no %s", list.name)
		}
		hash, err := lockout.Hash(text)
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

// timeForm is a time of day as CiscoLog and syslog write it: the year may be missing.
var timeForm = regexp.MustCompile(`(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d{1,2}) (\d{4}) (\d\d:\d\d:\d\d)(\.\d{1,6})?`)

// lineTime returns the last time in what stands before an alarm; zero where there is
// none, or one without a year: such lines count in the order in which they stand.
func lineTime(head []byte) time.Time {
	all := timeForm.FindAllSubmatch(head, -1)
	if len(all) == 0 {
		return time.Time{}
	}
	m := all[len(all)-1]
	at, err := time.Parse("Jan 2 2006 15:04:05", fmt.Sprintf("%s %s %s %s%s", m[1], m[2], m[3], m[4], m[5]))
	if err != nil {
		return time.Time{}
	}
	return at
}
