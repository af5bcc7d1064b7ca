package model_test

import (
	"testing"
	"time"

	"itlagent/agent/model"
)

func TestModels(t *testing.T) {
	at := time.Date(2019, 10, 1, 8, 52, 30, 0, time.UTC)
	for _, test := range []struct {
		name, firmware  string
		kept            int
		stamp, logStamp string
		alarms, https   bool
		agent           string
	}{
		{"CP-7965G", "", 10, "08:52:30", "08:52:30", true, false, "Cisco-CP7965G/9.4.2"},
		{"CP-7965G", "9.3.1", 10, "08:52:30", "08:52:30", false, false, "Cisco-CP7965G/9.3.1"},
		{"CP-7965G", "9.4(1SR1)", 10, "08:52:30", "08:52:30", true, false, "Cisco-CP7965G/9.4(1SR1)"},
		{"CP-7821", "12.1.1", 30, "8:52:30am 10/01/19", "[8:52:30am 10/01/19]", true, true, "Cisco-CP7821/12.1.1"},
		{"CP-7821", "10.3.1", 30, "8:52:30am 10/01/19", "[8:52:30am 10/01/19]", true, false, "Cisco-CP7821/10.3.1"},
		{"CP-8861", "", 30, "8:52:30am 10/01/19", "[8:52:30am 10/01/19]", true, true, "Cisco-CP8861/12.8.1"},
		{"CP-8821", "", 30, "8:52:30 AM 10/01/19", "[8:52:30 AM 10/01/19]", true, true, "Cisco-CP8821/11.0.5"},
		{"CP-8945", "", 10, "08:52:30, 10/01/2019 :", "08:52:30, 10/01/2019 :", true, false, "Cisco-CP8945/9.4.2"},
		{"CP-9971", "nonsense", 30, "08:52:30", "08:52:30", false, false, "Cisco-CP9971/nonsense"},
	} {
		m := model.Find(test.name, test.firmware)
		if m.Messages() != test.kept || m.Stamp(at) != test.stamp || m.LogStamp(at) != test.logStamp || m.Alarms() != test.alarms || m.HTTPS() != test.https || m.UserAgent() != test.agent {
			t.Errorf("%s %s: %d, %q, %q, alarms %v, HTTPS %v, %q", test.name, test.firmware, m.Messages(), m.Stamp(at), m.LogStamp(at), m.Alarms(), m.HTTPS(), m.UserAgent())
		}
	}
	if got := model.Find("CP-7965G", "").Trace(7, at, "text"); got != "0007: NOT 08:52:30.000000 SECD: -text" {
		t.Error(got)
	}
	if got := model.Find("CP-8861", "").Trace(12345, at, "text"); got != "2345 NOT Oct 01 08:52:30.000000 SECUREAPP-text" {
		t.Error(got)
	}
}

// What is not known is said, with what is assumed.
func TestAssumed(t *testing.T) {
	for _, test := range []struct {
		name, firmware string
		family         model.Family
		want           string
	}{
		{"CP-7965G", "", model.F79, ""}, {"CP-7941G-GE", "9.4(2SR3)", model.F79, ""}, {"CP-8821", "", model.F8821, ""}, {"CP-8961", "", model.F99, ""},
		{"CP-7821", "sip78xx.12-1-1-12", model.F78, ""}, {"CP-7965G", "SCCP45.9-4-2SR3-1S", model.F79, ""}, {"CP-8861", "14", model.F88, ""},
		{"CP-8875", "", model.F88, "model CP-8875 is not known: treated as 88xx"},
		{"CP-1234", "", model.F79, "model CP-1234 is not known: treated as 79xx"},
		{"CP-7965G", "nonsense", model.F79, `firmware "nonsense" is not known as a version: treated as older than all others`},
		{"CP-7965G", "9x", model.F79, `firmware "9x" is not known as a version: treated as older than all others`},
		{"CP-7965G", "99999999999999999999.1", model.F79, `firmware "99999999999999999999.1" is not known as a version: treated as older than all others`},
		{"CP-DX650", "\x1b[2J\u202e", model.F79, `model CP-DX650 is not known: treated as 79xx; firmware "\x1b[2J\u202e" is not known as a version: treated as older than all others`},
	} {
		m := model.Find(test.name, test.firmware)
		if got := m.Assumed(); got != test.want || m.Family != test.family {
			t.Errorf("%s %q: %v, %q; want %v, %q", test.name, test.firmware, m.Family, got, test.family, test.want)
		}
	}
}

// A version is that of the firmware, also behind the name of a load, whose digits
// are not one.
func TestVersions(t *testing.T) {
	for firmware, want := range map[string][2]bool{ // alarms (9.4.1), HTTPS (11.0.0)
		"9.4.1": {true, false}, "9.4(1)": {true, false}, "9.4.0": {}, "9.4": {}, "9.3.99": {}, "10": {true, false}, "11.0.0": {true, true}, "14-3-1-0001-27": {true, true},
		"sip88xx.9-3-1": {}, "sip88xx.12-8-1-0001-455": {true, true}, "sip88xx.loads": {}, "": {true, true}, "10.3(1SR12)": {true, false}, "-12": {},
	} {
		m := model.Find("CP-8861", firmware)
		if got := [2]bool{m.Alarms(), m.HTTPS()}; got != want {
			t.Errorf("%q: alarms and HTTPS %v, want %v", firmware, got, want)
		}
	}
	if got := model.Find("CP-7965G", "9\r\nX: y").UserAgent(); got != `Cisco-CP7965G/9\r\nX: y` {
		t.Errorf("a header line of its own: %q", got)
	}
	if got := model.Find("CP-7965G", "").Trace(7, time.Time{}, "a\x1b[2Jb\u202e"); got != `0007: NOT 00:00:00.000000 SECD: -a\x1b[2Jb\u202e` {
		t.Error(got)
	}
}
