package evidence_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/evidence"
)

const itl = "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D "

func TestParseLine(t *testing.T) {
	at := time.Date(2019, 3, 9, 18, 32, 45, 0, time.UTC)
	const tags = "%[DeviceName=SEPC80084AA8743][IPv4Address=192.168.7.104][IPv6Address=][CTL_Signature=Not Installed][CTL_TFTP_Server=N/A][ITL_Signature=" +
		itl + "][ITL_TFTP_Server=cucm-115.home.lab][StatusCode=3]"
	for _, c := range []struct {
		name, line string
		at         time.Time
		err        error
	}{
		{"application log", "7: pub: Mar 09 2019 18:32:45 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: " + tags + ": text", at, nil},
		{"milliseconds", "7: pub: Mar  9 2019 18:32:45.250 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: " + tags + ": text", at.Add(250 * time.Millisecond), nil},
		{"syslog in front", "<190>Jan  1 00:00:00 host 31 local7 6 : 41679: pub.home.lab Mar 09 2019 18:32:45 UTC :   %UC_CALLMANAGER-6-DeviceTLInfo: " + tags + ": text", at, nil},
		{"no year", "Mar  9 18:32:45 pub %UC_CALLMANAGER-6-DeviceTLInfo: " + tags, time.Time{}, nil},
		{"another order", "DeviceTLInfo %[StatusCode=3][ITL_Signature=" + itl + "][AppID=Cisco CallManager][DeviceName=SEPC80084AA8743]", time.Time{}, nil},
		{"other letters", "DeviceTLInfo: %[devicename=sepc80084aa8743][itl_signature=1BA1C907E99E4D3C539DC81424AF6C9F7DCE4D6D]", time.Time{}, nil},
		{"another alarm", "7: pub: %UC_CALLMANAGER-3-EndPointUnregistered: %[DeviceName=SEPC80084AA8743]: text", time.Time{}, evidence.ErrOther},
		{"the name in a text", "an administrator asked what a DeviceTLInfo is", time.Time{}, evidence.ErrOther},
		{"nothing", "", time.Time{}, evidence.ErrOther},
		{"cut off", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743][ITL_Signature=1B A1", time.Time{}, evidence.ErrUnusable},
		{"no device", "DeviceTLInfo: %[ITL_Signature=" + itl + "]", time.Time{}, evidence.ErrUnusable},
		{"no list", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743]", time.Time{}, evidence.ErrUnusable},
		{"half a hash", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743][ITL_Signature=1B A1]", time.Time{}, evidence.ErrUnusable},
		{"two devices", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743][DeviceName=SEPC80084AA8744][ITL_Signature=" + itl + "]", time.Time{}, evidence.ErrUnusable},
	} {
		r, err := evidence.ParseLine([]byte(c.line))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if err != nil {
			continue
		}
		if r.MAC.String() != "C80084AA8743" || r.ITL.String() != "1ba1c907e99e4d3c539dc81424af6c9f7dce4d6d" || r.CTL.String() != "" || !r.Time.Equal(c.at) {
			t.Errorf("%s: read as %v %v %v %v", c.name, r.MAC, r.ITL, r.CTL, r.Time)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("7: pub: Mar 09 2019 18:32:45 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=SEPC80084AA8743][ITL_Signature=" + itl + "]: text"))
	f.Add([]byte("DeviceTLInfo [][=]]["))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := evidence.ParseLine(line)
		if err == nil && r.MAC == (evidence.MAC{}) && !strings.Contains(strings.ToUpper(string(line)), "SEP000000000000") {
			t.Fatal("a report of no phone")
		}
		if err != nil && !errors.Is(err, evidence.ErrOther) && !errors.Is(err, evidence.ErrUnusable) {
			t.Fatalf("error %v", err)
		}
	})
}
