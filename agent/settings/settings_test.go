package settings_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"itlagent/agent/settings"
)

func TestParse(t *testing.T) {
	const doc = `<?xml version="1.0" encoding="iso-8859-1"?>
<device>
 <name>SEP64A0E71502CC</name><loadInformation> SCCP45.9-4-2SR3-1S </loadInformation>
 <deviceSecurityMode>1</deviceSecurityMode><unknown><vendorConfig/></unknown>
 <TVS><members>
  <member  priority="1"><port>2446</port><address>192.0.2.2</address></member>
  <member  priority="0"><address>pub.example.lab</address></member>
  <member  priority="2"><port>2445</port><address>2001:db8::1</address></member>
  <member  priority="3"><port>2445</port></member>
 </members></TVS>
 <vendorConfig><webAccess>0</webAccess><settingsAccess>1</settingsAccess><sshAccess>1</sshAccess><spanToPCPort>0</spanToPCPort></vendorConfig>
 <webAccess>9</webAccess>
</device>`
	got, err := settings.Parse([]byte(doc))
	want := settings.Settings{
		TVS: []string{"pub.example.lab:2445", "192.0.2.2:2446", "[2001:db8::1]:2445"},
		Web: "0", Settings: "1", SSH: "1", SPANToPCPort: "0",
		Name: "SEP64A0E71502CC", Load: "SCCP45.9-4-2SR3-1S", Secure: "1",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := settings.Parse([]byte("<Default></Default>")); err != nil || !reflect.DeepEqual(got, settings.Settings{}) {
		t.Errorf("empty default: %+v, %v", got, err)
	}
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<member priority="%d"><address>tvs%d</address></member>`, i, i)
	}
	return "<device><TVS><members>" + b.String() + "</members></TVS></device>"
}

func TestServers(t *testing.T) {
	for _, c := range []struct{ in, want int }{{0, 0}, {5, 5}, {6, 5}, {20, 5}} {
		got, err := settings.Parse([]byte(members(c.in)))
		if err != nil || len(got.TVS) != c.want {
			t.Errorf("%d members: %d servers, %v; want %d", c.in, len(got.TVS), err, c.want)
		}
	}
	if _, err := settings.Parse([]byte(members(21))); err == nil {
		t.Error("21 members: accepted")
	}
}

func nested(n int) string {
	return "<device>" + strings.Repeat("<a>", n-1) + strings.Repeat("</a>", n-1) + "</device>"
}

func TestRefuses(t *testing.T) {
	member := func(attr, inside string) string {
		return "<device><TVS><members><member" + attr + ">" + inside + "</member></members></TVS></device>"
	}
	for name, doc := range map[string]string{
		"empty": "", "text": "hello", "open": "<device>", "crossed": "<device><a></device></a>", "root": "<html/>",
		"two roots": "<device/><device/>", "entity": "<device>&x;</device>", "charset": `<?xml version="1.0" encoding="koi8-r"?><device/>`,
		"priority": member(` priority="x"`, ""), "negative priority": member(` priority="-1"`, ""), "priority 100": member(` priority="100"`, ""),
		"port 0": member("", "<port>0</port>"), "port 65536": member("", "<port>65536</port>"), "port text": member("", "<port>a</port>"),
		"address with a space": member("", "<address>a b</address>"), "address of 51": member("", "<address>"+strings.Repeat("a", 51)+"</address>"),
	} {
		if _, err := settings.Parse([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, c := range []struct {
		name string
		doc  string
		want error
	}{
		{"depth 64", nested(64), nil},
		{"depth 65", nested(65), settings.ErrTooLarge},
		{"2 MiB", "<device>" + strings.Repeat(" ", settings.MaxSize-17) + "</device>", nil},
		{"2 MiB and a byte", "<device>" + strings.Repeat(" ", settings.MaxSize-16) + "</device>", settings.ErrTooLarge},
		{"5 MiB", "<device>" + strings.Repeat("a", 5<<20) + "</device>", settings.ErrTooLarge},
	} {
		if _, err := settings.Parse([]byte(c.doc)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(members(3)))
	f.Add([]byte("<device><vendorConfig><webAccess>0</webAccess></vendorConfig></device>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if s, err := settings.Parse(doc); err == nil && len(s.TVS) > 5 {
			t.Errorf("%d servers", len(s.TVS))
		}
	})
}
