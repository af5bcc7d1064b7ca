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
