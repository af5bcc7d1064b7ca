// Package model says what differs between families of phones: how many status
// messages they keep and how they stamp them, how they write console lines, and
// which features their firmware has.
//
//	m := model.Find("CP-8861", "12.8.1")
//	fmt.Println(m.Stamp(at), m.Alarms())
//
// What is documented is in this file; what is inferred is in quirks.go. The
// values are immutable and safe for concurrent use.
package model

import (
	"fmt"
	"strconv"
	"strings"
	"time"
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

// Find returns what a model is. A name that is not known is taken for a 79xx;
// firmware "" is that of the family.
func Find(name, firmware string) Model {
	m := Model{Name: name, Firmware: firmware}
	digits := strings.TrimPrefix(name, "CP-")
	for _, f := range []struct {
		prefix string
		family Family
	}{{"8821", F8821}, {"8961", F99}, {"78", F78}, {"88", F88}, {"89", F89}, {"99", F99}, {"69", F69}} {
		if strings.HasPrefix(digits, f.prefix) {
			m.Family = f.family
			break
		}
	}
	if m.Firmware == "" {
		m.Firmware = usualFirmware[m.Family]
	}
	return m
}

// atLeast reports whether the firmware is of a version or a later one.
func (m Model) atLeast(major, minor, patch int) bool {
	want := [3]int{major, minor, patch}
	var have [3]int
	for i, part := range strings.FieldsFunc(m.Firmware, func(r rune) bool { return r < '0' || r > '9' }) {
		if i == len(have) {
			break
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		have[i] = n
	}
	for i := range want {
		if have[i] != want[i] {
			return have[i] > want[i]
		}
	}
	return true
}

// Alarms reports whether the phone sends DeviceTLInfo: firmware 9.4(1) and later
// does.
func (m Model) Alarms() bool { return m.atLeast(9, 4, 1) }

// HTTPS reports whether the phone fetches its configuration by HTTPS where the
// list invites it to: 78xx, 88xx and later lines from firmware 11.0 on.
func (m Model) HTTPS() bool {
	return (m.Family == F78 || m.Family == F88 || m.Family == F8821) && m.atLeast(11, 0, 0)
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
// firmware that speaks.
func (m Model) Trace(n int, t time.Time, text string) string {
	switch m.Family {
	case F78, F88, F8821:
		return fmt.Sprintf("%04d NOT %s SECUREAPP-%s", n%10000, t.Format("Jan 02 15:04:05.000000"), text)
	}
	return fmt.Sprintf("%04d: NOT %s SECD: -%s", n%10000, t.Format("15:04:05.000000"), text)
}

// UserAgent is how the phone names itself in SIP.
func (m Model) UserAgent() string {
	return "Cisco-" + strings.Replace(m.Name, "-", "", 1) + "/" + m.Firmware
}
