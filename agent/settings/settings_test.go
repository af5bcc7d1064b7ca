package settings_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"

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
		Warnings: []string{"line 9: member: it has no address: left out"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := settings.Parse([]byte("<Default></Default>")); err != nil || !reflect.DeepEqual(got, settings.Settings{Default: true}) {
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

// Of a group at most five members are used, and of a sixth, as of a 21st, it is
// said that it is left out. The others count.
func TestServers(t *testing.T) {
	for _, c := range []struct{ in, want, warnings int }{{0, 0, 0}, {5, 5, 0}, {6, 5, 1}, {20, 5, 1}, {21, 5, 2}, {1000, 5, 2}} {
		got, err := settings.Parse([]byte(members(c.in)))
		if err != nil || len(got.TVS) != c.want || len(got.Warnings) != c.warnings {
			t.Errorf("%d members: %d servers, warnings %q, %v; want %d and %d", c.in, len(got.TVS), got.Warnings, err, c.want, c.warnings)
		}
		for i, address := range got.TVS {
			if want := fmt.Sprintf("tvs%d:2445", i); address != want {
				t.Errorf("%d members: server %d is %s, want %s", c.in, i, address, want)
			}
		}
	}
}

func nested(n int) string {
	return "<device>" + strings.Repeat("<a>", n-1) + strings.Repeat("</a>", n-1) + "</device>"
}

func TestRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"empty": "", "text": "hello", "open": "<device>", "crossed": "<device><a></device></a>", "root": "<html/>",
		"two roots": "<device/><device/>", "entity": "<device>&x;</device>", "charset": `<?xml version="1.0" encoding="koi8-r"?><device/>`,
		"name of an element": "<device><a\u202eb/></device>", "entity of a megabyte": "<device>&" + strings.Repeat("a", 1<<20) + ";</device>",
	} {
		_, err := settings.Parse([]byte(doc))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if text := err.Error(); len(text) > 300 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: the error is %d bytes, or not printable: %.300q", name, len(text), text)
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
	f.Add([]byte(members(21)))
	f.Add([]byte("<device><vendorConfig><webAccess>0</webAccess></vendorConfig></device>"))
	f.Add([]byte(realDefault))
	f.Add([]byte(realDevice))
	for _, u := range unusable {
		f.Add([]byte(u.doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := settings.Parse(doc)
		if err != nil {
			return
		}
		if len(s.TVS) > 5 || len(s.CallManagers) > 5 || len(s.Warnings) > settings.MaxWarnings+1 {
			t.Errorf("%d TVS, %d call managers, %d warnings", len(s.TVS), len(s.CallManagers), len(s.Warnings))
		}
		for _, w := range s.Warnings {
			if len(w) > 400 || strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("warning %.500q", w)
			}
		}
	})
}
