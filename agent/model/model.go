// Package model says what differs between families of phones: how many status
// messages they keep and how they stamp them, how they write console lines, and
// which features their firmware has.
//
//	m := model.Find("CP-8861", "12.8.1")
//	if text := m.Assumed(); text != "" {
//		log.Print(text)
//	}
//	fmt.Println(m.Stamp(at), m.Alarms())
//
// What is documented is in this file; what is inferred is in quirks.go. The
// values are immutable and safe for concurrent use.
package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/printable"
)

// Family is a line of phones that behave alike.
type Family uint8

// The families.
const (
	F79 Family = iota // 7905 to 7975
	F78               // 7811 to 7861
	F88               // 8811 to 8865
	F8821
	F89 // 8941, 8945
	F99 // 8961, 9951, 9971
	F69 // 6901 to 6961
)

// Model is a phone model with a firmware.
type Model struct {
	Name     string // "CP-7965G"
	Family   Family
	Firmware string // "9.4.2"
}

// known are the models of each family by their four digits.
var known = map[Family][]string{
	F79: {"7905", "7906", "7910", "7911", "7912", "7920", "7921", "7925", "7926", "7931", "7935", "7936", "7937", "7940", "7941", "7942", "7945", "7960", "7961", "7962", "7965", "7970", "7971", "7975"},
	F78: {"7811", "7821", "7832", "7841", "7861"},
	F88: {"8811", "8831", "8832", "8841", "8845", "8851", "8861", "8865"}, F8821: {"8821"},
	F89: {"8941", "8945"}, F99: {"8961", "9951", "9971"}, F69: {"6901", "6911", "6921", "6941", "6945", "6961", "6971"},
}

// Find returns what a model such as "CP-7965G" is. One that is not known counts as
// its first two digits say, else as a 79xx; firmware "" is that of the family.
// Assumed says so.
func Find(name, firmware string) Model {
	m := Model{Name: name, Firmware: firmware}
	m.Family, _ = family(name)
	if m.Firmware == "" {
		m.Firmware = usualFirmware[m.Family]
	}
	return m
}

// digits returns what a model is called without its letters.
func digits(name string) string {
	return strings.TrimRight(strings.TrimPrefix(name, "CP-"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")
}

// family returns the family of a model, and whether the model is known.
func family(name string) (f Family, ok bool) {
	digits := digits(name)
	for f, models := range known {
		if slices.Contains(models, digits) {
			return f, true
		}
	}
	for _, series := range []struct {
		prefix string
		family Family
	}{{"78", F78}, {"88", F88}, {"89", F89}, {"99", F99}, {"69", F69}} {
		if strings.HasPrefix(digits, series.prefix) {
			return series.family, false
		}
	}
	return F79, false
}

// String returns the family as people call it, "79xx".
func (f Family) String() string {
	return [...]string{F79: "79xx", F78: "78xx", F88: "88xx", F8821: "8821", F89: "89xx", F99: "99xx", F69: "69xx"}[f%7]
}

// Assumed says in one line what is not known of the model or its firmware, and what
// is assumed instead; "" where both are known.
func (m Model) Assumed() string {
	var parts []string
	if f, ok := family(m.Name); !ok {
		parts = append(parts, fmt.Sprintf("model %s is not known: treated as %v", printable.Clip(m.Name, 40), f))
	}
	if _, ok := version(m.Firmware); !ok {
		parts = append(parts, fmt.Sprintf("firmware %s is not known as a version: treated as older than all others", printable.Clip(strconv.Quote(m.Firmware), 60)))
	}
	return strings.Join(parts, "; ")
}

// version reads "9.4.2", "9.4(2SR1)", "9-4-2SR3-1S", and these behind the name of a
// load, as in "sip78xx.12-1-1-12".
func version(firmware string) (v [3]int, ok bool) {
	if firmware != "" && (firmware[0] < '0' || firmware[0] > '9') {
		_, firmware, _ = strings.Cut(firmware, ".")
	}
	for i := range v {
		rest := strings.TrimLeft(firmware, "0123456789")
		digits := firmware[:len(firmware)-len(rest)]
		n, err := strconv.Atoi(digits)
		if i == 0 && (digits == "" || rest != "" && !strings.ContainsRune(separators, rune(rest[0]))) || digits != "" && (err != nil || len(digits) > 4) {
			return [3]int{}, false
		}
		if digits == "" {
			break
		}
		v[i] = n
		if firmware = strings.TrimLeft(rest, separators); firmware == rest {
			break // SR1, or the end
		}
	}
	return v, true
}

const separators = ".-( "

// atLeast reports whether the firmware is of a version or a later one. One that is
// no version is not.
func (m Model) atLeast(major, minor, patch int) bool {
	have, ok := version(m.Firmware)
	want := [3]int{major, minor, patch}
	return ok && slices.Compare(have[:], want[:]) >= 0
}

// Alarms reports whether the phone sends DeviceTLInfo: firmware 9.4(1) and later
// does.
func (m Model) Alarms() bool { return m.atLeast(9, 4, 1) }

// HTTPS reports whether the phone fetches its configuration by HTTPS where the
// list invites it to: 78xx, 88xx and later lines from firmware 11.0 on.
func (m Model) HTTPS() bool {
	return (m.Family == F78 || m.Family == F88 || m.Family == F8821) && m.atLeast(11, 0, 0)
}

// SessionID reports whether the phone's requests have a Session-ID.
func (m Model) SessionID() bool { return m.atLeast(12, 0, 0) }

// SIS is the version of Cisco's extensions of SIP that the phone says it has: traces have
// 3.0.0 of firmware 8.4, 6.0.0 of 9.3.1, and 7.0.0 of 12.1.1.
func (m Model) SIS() string {
	switch {
	case m.atLeast(10, 0, 0):
		return "7.0.0"
	case m.atLeast(9, 0, 0):
		return "6.0.0"
	}
	return "3.0.0"
}

// Number is the model as the cluster's database counts it, "437" for a 7975; "0" where it
// is not known.
func (m Model) Number() string {
	if n := numbers[digits(m.Name)]; n != 0 {
		return strconv.Itoa(n)
	}
	return "0"
}

// Messages returns how many status messages the phone keeps.
func (m Model) Messages() int { return keptMessages[m.Family] }

// Stamp writes the time of a status message as the phone's pages do.
func (m Model) Stamp(t time.Time) string {
	switch m.Family {
	case F78, F88:
		return t.Format("3:04:05pm 01/02/06")
	case F8821:
		return t.Format("3:04:05 PM 01/02/06")
	case F89:
		return t.Format("15:04:05, 01/02/2006 :")
	}
	return t.Format("15:04:05")
}

// LogStamp writes the time of a status message as the phone's logs and XML pages
// do.
func (m Model) LogStamp(t time.Time) string {
	switch m.Family {
	case F78, F88, F8821:
		return "[" + m.Stamp(t) + "]"
	}
	return m.Stamp(t)
}

// Trace writes a line of the console: its number, its time and the part of the
// firmware that speaks. What could steer the console is made visible.
func (m Model) Trace(n int, t time.Time, text string) string {
	text = printable.Text(text)
	switch m.Family {
	case F78, F88, F8821:
		return fmt.Sprintf("%04d NOT %s SECUREAPP-%s", n%10000, t.Format("Jan 02 15:04:05.000000"), text)
	}
	return fmt.Sprintf("%04d: NOT %s SECD: -%s", n%10000, t.Format("15:04:05.000000"), text)
}

// UserAgent is how the phone names itself in SIP: one line.
func (m Model) UserAgent() string {
	return printable.Text("Cisco-" + strings.Replace(m.Name, "-", "", 1) + "/" + m.Firmware)
}
