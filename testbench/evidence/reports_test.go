package evidence_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
)

// line is a line of an application log about the list of phone 000000000001.
func line(head, list string) string {
	return head + ": %UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=SEP000000000001][ITL_Signature=" + strings.Repeat(list+" ", 20) + "]: x\n"
}

// Which of two reports of a phone counts: the later stamp, then the sequence numbers of one
// node, then the order in one log; of two logs that say different things, none.
func TestLaterReport(t *testing.T) {
	const second = "Feb 26 2014 18:00:02 UTC"
	for _, test := range []struct {
		name string
		logs []string
		want string // the first byte of the hash that counts; "disputed"
	}{
		{"later stamps", []string{line("1: pub: Feb 26 2014 18:00:02 UTC", "11") + line("2: pub: Feb 26 2014 18:00:03 UTC", "22")}, "22"},
		{"out of order", []string{line("1: pub: Feb 26 2014 18:00:02 UTC", "11") + line("2: pub: Feb 26 2014 18:00:01 UTC", "22")}, "11"},
		{"one stamp, numbered", []string{line("7: pub: "+second, "11") + line("8: pub: "+second, "22")}, "22"},
		{"one stamp, numbers the other way round", []string{line("8: pub: "+second, "11") + line("7: pub: "+second, "22")}, "11"},
		{"one stamp, the syslog form", []string{line("31 pub local7 6 : 41680: pub.lab "+second+" ", "11") + line("31 pub local7 6 : 41679: pub.lab "+second+" ", "22")}, "11"},
		{"one stamp, no numbers", []string{line(second, "11") + line(second, "22")}, "22"},
		{"one stamp, one number", []string{line("7: pub: "+second, "11") + line("7: pub: "+second, "22")}, "22"},
		{"one stamp, numbers of two nodes in one log", []string{line("8: pub: "+second, "11") + line("7: sub: "+second, "22")}, "22"},
		{"one stamp in two logs of a node", []string{line("8: pub: "+second, "11"), line("7: pub: "+second, "22")}, "11"},
		{"one stamp in logs of two nodes", []string{line("8: pub: "+second, "11"), line("7: sub: "+second, "22")}, "disputed"},
		{"one stamp and one list in logs of two nodes", []string{line("8: pub: "+second, "11"), line("7: sub: "+second, "11")}, "11"},
		{"whole seconds beside milliseconds", []string{line("7: pub: Feb 26 2014 18:00:02.250 UTC", "11") + line("8: pub: "+second, "22")}, "22"},
		{"11 ms apart", []string{line("8: pub: Feb 26 2014 18:00:02.261 UTC", "22") + line("7: pub: Feb 26 2014 18:00:02.250 UTC", "11")}, "22"},
		{"a later one ends the dispute", []string{line("8: pub: "+second, "11"), line("7: sub: "+second, "22"), line("9: pub: Feb 26 2014 18:01:00 UTC", "33")}, "33"},
		{"the dispute stays", []string{line("8: pub: "+second, "11"), line("7: sub: "+second, "22") + line("8: sub: "+second, "33")}, "disputed"},
		{"no year", []string{line("Feb 26 18:00:03", "11") + line("Feb 26 18:00:02", "22")}, "22"},
	} {
		r := evidence.New()
		for _, log := range test.logs {
			if err := r.Read(strings.NewReader(log), nil); err != nil {
				t.Fatal(err)
			}
		}
		m, _ := evidence.ParseMAC("SEP000000000001")
		last, ok, err := r.Last(m)
		got := fmt.Sprintf("%.2s", last.ITL)
		if errors.Is(err, evidence.ErrDisputed) {
			got = "disputed"
		}
		if !ok || got != test.want {
			t.Errorf("%s: %s, %v, want %s", test.name, got, ok, test.want)
		}
	}
}

// Events of a cluster's own log are ordered by their numbers.
func TestLaterEvent(t *testing.T) {
	r := evidence.New()
	at := time.Date(2014, 2, 26, 18, 0, 2, 0, time.UTC)
	for _, e := range []struct {
		seq  uint64
		list string
	}{{8, "11"}, {7, "22"}} {
		err := r.AddEvent(&events.Event{Seq: e.seq, Time: at, Node: "pub", Name: evidence.AlarmName,
			Tags: []events.Tag{{Key: "DeviceName", Value: "SEP000000000001"}, {Key: "ITL_Signature", Value: strings.Repeat(e.list, 20)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	m, _ := evidence.ParseMAC("SEP000000000001")
	if last, _, err := r.Last(m); err != nil || fmt.Sprintf("%.2s", last.ITL) != "11" || last.Seq != 8 {
		t.Errorf("%v, %d, %v", last.ITL, last.Seq, err)
	}
}

// What is odd in logs is counted, and never taken for more than it is.
func TestOddLogs(t *testing.T) {
	entry := func(device, hash string) string {
		return fmt.Sprintf("1: pub: Feb 26 2014 18:00:02 UTC: %%UC_CALLMANAGER-6-DeviceTLInfo: %%[DeviceName=%s][ITL_Signature=%s]: x\n", device, hash)
	}
	one := strings.Repeat("11 ", 20)
	log := entry("SEP000000000001", one) + entry("SEP000000000002", strings.Repeat("22 ", 16)) + // a MD5, which no alarm has
		entry("SEP000000000003", "rubbish") +
		strings.Repeat("x", 3*evidence.MaxLine) + "DeviceTLInfo\n" +
		strings.TrimSuffix(entry("SEP000000000004", one), "\n") // the last line does not end
	r := evidence.New()
	if err := r.Read(strings.NewReader(log), nil); err != nil {
		t.Fatal(err)
	}
	if r.Lines != 5 || r.Count != 2 || r.Unusable != 2 || r.Long != 1 || r.Len() != 2 || len(r.Faults) != 2 || !strings.HasPrefix(r.Faults[0], "line 2: ") {
		t.Errorf("%d lines, %d reports, %d unusable, %d long, %d phones, faults %q", r.Lines, r.Count, r.Unusable, r.Long, r.Len(), r.Faults)
	}
}
