package serve

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/sip"
)

// Nobody but the cluster writes an event of the cluster's: names, tags and what shows
// are the alarm's own or quoted.
func TestForgedAlarms(t *testing.T) {
	s := state.New(profile.Note(), time.Time{})
	n := s.Nodes[0]
	itl := "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D"
	type params = []sip.Parameter
	for name, test := range map[string]struct {
		alarm sip.Alarm
		want  string // of the line, behind the time
	}{
		"a true one": {sip.Alarm{Name: "DeviceTLInfo", Parameters: params{{Name: "DeviceName", Value: "SEP64A0E71502CC"}, {Name: "ITL_Signature", Value: itl}, {Name: "StatusCode", Value: "3"}}},
			"%UC_CALLMANAGER-6-DeviceTLInfo: %[ITLStatus=MisMatch][DeviceName=SEP64A0E71502CC][ITL_Signature=" + itl + "][StatusCode=3]: Alarm of a phone"},
		"another's name": {sip.Alarm{Name: "CertRegenerated", Parameters: params{{Name: "CertName", Value: "TVS"}}},
			`%UC_CALLMANAGER-6-PhoneAlarm: Alarm of a phone "CertRegenerated", also "CertName=TVS"`},
		"the computed value": {sip.Alarm{Name: "DeviceTLInfo", Parameters: params{{Name: "ITLStatus", Value: "Match"}, {Name: "ITL_Signature", Value: itl}}},
			"%UC_CALLMANAGER-6-DeviceTLInfo: %[ITLStatus=MisMatch][ITL_Signature=" + itl + `]: Alarm of a phone, also "ITLStatus=Match"`},
		"a tag twice": {sip.Alarm{Name: "DeviceTLInfo", Parameters: params{{Name: "DeviceName", Value: "SEP1"}, {Name: "DeviceName", Value: "SEP2"}}},
			`%UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=SEP1]: Alarm of a phone, also "DeviceName=SEP2"`},
		"a tag with =": {sip.Alarm{Name: "DeviceTLInfo", Parameters: params{{Name: "ITLStatus=Match", Value: "x"}}},
			`%UC_CALLMANAGER-6-DeviceTLInfo: Alarm of a phone, also "ITLStatus=Match=x"`},
		"controls": {sip.Alarm{Name: "DeviceTLInfo", Parameters: params{{Name: "DeviceName", Value: "a\u009b31m\u202eb]c\n"}}},
			`%UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=a\u009b31m\u202eb)c ]: Alarm of a phone`},
	} {
		e := alarmEvent(n, &test.alarm)
		_, line, _ := strings.Cut(e.String(), " UTC: ")
		if line != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, line, test.want)
		}
		log := new(events.Log)
		if err := log.Add(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := sip.Alarm{Name: "DeviceTLInfo", Parameters: params{{Name: "DeviceName", Value: strings.Repeat("x", 2000)}, {Name: "ITL_Signature", Value: "Not Installed"}}}
	e := alarmEvent(n, &many)
	if back, err := events.Parse(e.String()); err != nil || back.Tag("ITLStatus") != "Not Installed" {
		t.Errorf("a long alarm: %v, %v", back, err)
	}
}

// What becomes of an alarm is said: one that is not an alarm is refused, one that cannot
// be written is to be sent again. ACK is answered by nothing at all.
func TestAlarmAnswers(t *testing.T) {
	s := state.New(profile.Note(), time.Time{})
	const good = "<x-cisco-alarm><Alarm Name=\"DeviceTLInfo\"><ParameterList></ParameterList></Alarm></x-cisco-alarm>"
	for name, test := range map[string]struct {
		method, body string
		report       error
		want         string
	}{
		"an alarm":       {"REFER", good, nil, "SIP/2.0 202 Accepted\r\n"},
		"a full disk":    {"REFER", good, &fs.PathError{Op: "write", Path: "events.log", Err: syscall.ENOSPC}, "SIP/2.0 503 Service Unavailable\r\n"},
		"not an event":   {"REFER", good, events.ErrLine, "SIP/2.0 400 Bad Request\r\n"},
		"not an alarm":   {"REFER", "<nonsense/>", nil, "SIP/2.0 400 Bad Request\r\n"},
		"another method": {"INVITE", "", nil, "SIP/2.0 405 Method Not Allowed\r\n"},
		"ACK":            {"ACK", "", nil, ""},
	} {
		n := New(Config{Node: func() *state.Node { return s.Nodes[0] }, Report: func(events.Event) error { return test.report }, Logf: t.Logf})
		answer := n.answerSIP(&running{}, &sip.Request{Method: test.method, Body: []byte(test.body)}, &flow{transport: "UDP"})
		if !strings.HasPrefix(string(answer), test.want) || test.want == "" && answer != nil {
			t.Errorf("%s: %q, want %q", name, answer, test.want)
		}
	}
}
