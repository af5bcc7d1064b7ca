package settings_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"itlagent/agent/settings"
)

// realDevice is a configuration in the form of those that occur: names in any
// case, settings in three places, empty elements, comments.
const realDevice = `<?xml version="1.0" encoding="UTF-8"?>
<device>
  <!-- hand-made -->
  <fullConfig>FALSE</fullConfig>
  <deviceProtocol>SIP</deviceProtocol>
  <sshUserid>admin</sshUserid>
  <sshPassword>a secret</sshPassword>
  <devicePool>
    <callManagerGroup><members>
      <member priority="1"><callManager><ports><sipPort/></ports><processNodeName>sub.example.lab</processNodeName></callManager></member>
      <Member Priority=""><callManager><ports><ethernetPhonePort>2001</ethernetPhonePort><sipPort>5070</sipPort><securedSipPort>5071</securedSipPort></ports>
        <processNodeName>pub.example.lab</processNodeName></callManager></Member>
    </members></callManagerGroup>
  </devicePool>
  <tvs><members><member  priority="0"><port></port><address>[2001:db8::1]</address></member></members></tvs>
  <enterpriseConfig><webAccess>1</webAccess><sshAccess>1</sshAccess><settingsAccess>1</settingsAccess></enterpriseConfig>
  <vendorConfig><spanToPcPort>1</spanToPcPort><settingsAccess>0</settingsAccess></vendorConfig>
  <commonConfig><webAccess>0</webAccess><settingsAccess>2</settingsAccess><spanToPCPort>0</spanToPCPort></commonConfig>
  <loadInformation></loadInformation>
  <directoryUrl>http://pub/dir</directoryUrl>
  <transportLayerProtocol>2</transportLayerProtocol>
  <deviceSecurityMode>0</deviceSecurityMode>
  <encrConfig>True</encrConfig>
</device>
`

const realDefault = `<Default>
  <callManagerGroup><members><member priority="0"><callManager><ports><sipPort>5060</sipPort></ports><processNodeName>pub</processNodeName></callManager></member></members></callManagerGroup>
  <TVS><members><member priority="0"><address>pub</address></member></members></TVS>
  <loadInformation8 model="IP Phone 7940">P0S3-8-12-00</loadInformation8>
  <loadInformation436 model="Cisco 7965">SIP45.9-4-2SR3-1S</loadInformation436>
  <loadInformation30006 model="IP Phone
7970">SIP70.8-0-3S</loadInformation30006>
  <loadInformation115 model="Cisco 7941G-GE">SIP41.9-4-2</loadInformation115>
  <loadInformation999 model="Cisco 7942"></loadInformation999>
  <directoryURL>http://pub/dir</directoryURL>
  <servicesURL>http://pub/services</servicesURL>
  <sshUserId>admin</sshUserId>
  <sshPassword>a secret</sshPassword>
  <deviceSecurityMode>2</deviceSecurityMode>
  <name>SEP64A0E71502CC</name>
</Default>
`

// A setting counts from vendorConfig, then commonConfig, then enterpriseConfig,
// whatever their order in the file; names and booleans are read in any case.
func TestRealDevice(t *testing.T) {
	got, err := settings.Parse([]byte(realDevice))
	want := settings.Settings{
		TVS: []string{"[2001:db8::1]:2445"}, CallManagers: []string{"pub.example.lab:5070", "sub.example.lab:5060"},
		SecureManagers: []string{"pub.example.lab:5071", "sub.example.lab:5061"}, SkinnyManagers: []string{"pub.example.lab:2001", "sub.example.lab:2000"}, Protocol: "SIP",
		Web: "0", Settings: "0", SSH: "1", SPANToPCPort: "1", Secure: "0", Transport: "2",
		Directory: "http://pub/dir", ShellUser: "admin", ShellPassword: "a secret", Reduced: true, Encrypt: true,
		Warnings: []string{
			`line 10: sipPort: "" is not a port from 1 to 65535: left out`,
			`line 11: priority of member: "" is not a number from 0 to 99: left out`,
			`line 15: port: "" is not a port from 1 to 65535: left out`,
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// The three places in every order, and each of them alone.
func TestContainers(t *testing.T) {
	part := func(name, value string) string {
		return "<" + name + "><webAccess>" + value + "</webAccess></" + name + ">"
	}
	vendor, common, enterprise := part("vendorConfig", "0"), part("commonConfig", "1"), part("enterpriseConfig", "2")
	for _, test := range []struct{ doc, want string }{
		{vendor + common + enterprise, "0"}, {enterprise + common + vendor, "0"}, {common + vendor + enterprise, "0"},
		{common + enterprise, "1"}, {enterprise + common, "1"}, {enterprise, "2"}, {part("otherConfig", "0"), ""},
		{part("vendorConfig", "x") + common, "1"}, // what cannot be used does not hide what can
		{common + part("vendorConfig", ""), "1"},
		{part("VENDORCONFIG", "0"), "0"},
	} {
		got, err := settings.Parse([]byte("<device>" + test.doc + "</device>"))
		if err != nil || got.Web != test.want {
			t.Errorf("%s: %q, %v; want %q", test.doc, got.Web, err, test.want)
		}
	}
}

func TestRealDefault(t *testing.T) {
	got, err := settings.Parse([]byte(realDefault))
	if err != nil || len(got.Warnings) > 0 {
		t.Fatalf("%v, warnings %q", err, got.Warnings)
	}
	if got.Name != "" || got.Directory != "http://pub/dir" || got.Services != "http://pub/services" || got.ShellUser != "admin" || got.ShellPassword != "a secret" ||
		got.SecurityMode() != settings.Authenticated || !slices.Equal(got.TVS, []string{"pub:2445"}) || !slices.Equal(got.CallManagers, []string{"pub:5060"}) {
		t.Errorf("%+v", got)
	}
	for model, want := range map[string]string{"CP-7965G": "SIP45.9-4-2SR3-1S", "CP-7970G": "SIP70.8-0-3S", "CP-7941G-GE": "SIP41.9-4-2", "CP-8861": "", "CP-7942G": "", "": "", "CP-": ""} {
		if load := got.LoadFor(model); load != want {
			t.Errorf("load for %q: %q, want %q", model, load, want)
		}
	}
	got, err = settings.Parse([]byte("<Default><loadInformation>SIP1</loadInformation></Default>"))
	if err != nil || got.LoadFor("CP-7965G") != "SIP1" {
		t.Errorf("for every model: %+v, %v", got, err)
	}
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "<loadInformation%d model=\"Cisco %d\">load%d</loadInformation%d>\n", i, i, i, i)
	}
	got, err = settings.Parse([]byte("<Default>" + many.String() + "</Default>"))
	if err != nil || got.LoadFor("255") != "load255" || got.LoadFor("256") != "" || len(got.Warnings) != settings.MaxWarnings+1 {
		t.Errorf("300 models: %q, %q, %v, %d warnings", got.LoadFor("255"), got.LoadFor("256"), err, len(got.Warnings))
	}
}

func oneTVS(attr, inside string) string {
	return "<device>\n<TVS><members><member" + attr + ">" + inside + "</member>\n<member><address>good</address></member></members></TVS></device>"
}

func oneManager(inside string) string {
	return "<device>\n<callManagerGroup><members><member><callManager>" + inside + "</callManager></member></members></callManagerGroup></device>"
}

var unusable = []struct {
	name, doc string
	tvs       []string // "host:port" that remain
	managers  []string
	warning   string
}{
	{"empty priority", oneTVS(` priority=""`, "<address>a</address>"), []string{"a:2445", "good:2445"}, nil, `line 2: priority of member: "" is not`},
	{"priority -1", oneTVS(` priority="-1"`, "<address>a</address>"), []string{"a:2445", "good:2445"}, nil, `line 2: priority of member: "-1" is not`},
	{"priority 100", oneTVS(` priority="100"`, "<address>a</address>"), []string{"a:2445", "good:2445"}, nil, `line 2: priority of member: "100" is not`},
	{"port 0", oneTVS("", "<address>a</address>\n<port>0</port>"), []string{"a:2445", "good:2445"}, nil, `line 3: port: "0" is not`},
	{"port 65536", oneTVS("", "<port>65536</port><address>a</address>"), []string{"a:2445", "good:2445"}, nil, `line 2: port: "65536" is not`},
	{"port text", oneTVS("", "<port>x&#10;y</port><address>a</address>"), []string{"a:2445", "good:2445"}, nil, `line 2: port: "x\ny" is not`},
	{"name of 50", oneTVS("", "<address>"+strings.Repeat("a", 50)+"</address>"), []string{strings.Repeat("a", 50) + ":2445", "good:2445"}, nil, ""},
	{"name of 51", oneTVS("", "<address>"+strings.Repeat("a", 51)+"</address>"), []string{"good:2445"}, nil, `line 2: address: "` + strings.Repeat("a", 51) + `" is longer than 50 characters`},
	{"name of 10,000", oneTVS("", "<address>"+strings.Repeat("a", 10_000)+"</address>"), []string{"good:2445"}, nil, "line 2: address: "},
	{"name with a space", oneTVS("", "<address>a b</address>"), []string{"good:2445"}, nil, `line 2: address: invalid host name "a b"`},
	{"name with a bidi control", oneTVS("", "<address>a\u202eb</address>"), []string{"good:2445"}, nil, `line 2: address: invalid host name "a\u202eb"`},
	{"name with a port", oneTVS("", "<address>a:5060</address>"), []string{"good:2445"}, nil, `line 2: address: invalid host name "a:5060"`},
	{"name in brackets", oneTVS("", "<address>[a]</address>"), []string{"good:2445"}, nil, `line 2: address: invalid host name "[a]"`},
	{"address in brackets", oneTVS("", "<address>[2001:db8::7]</address>"), []string{"[2001:db8::7]:2445", "good:2445"}, nil, ""},
	{"zone with a tag", oneTVS("", "<address>fe80::1%&lt;b&gt;</address>"), []string{"good:2445"}, nil, `line 2: address: invalid host name "fe80::1%<b>"`},
	{"no address", oneTVS("", "<address/>"), []string{"good:2445"}, nil, "line 2: member: it has no address"},
	{"empty SIP port", oneManager("<ports><sipPort/></ports><processNodeName>a</processNodeName>"), nil, []string{"a:5060"}, `line 2: sipPort: "" is not`},
	{"SIP port text", oneManager("<ports><sipPort>sip</sipPort></ports><processNodeName>a</processNodeName>"), nil, []string{"a:5060"}, `line 2: sipPort: "sip" is not`},
	{"long name of a call manager", oneManager("<processNodeName>" + strings.Repeat("b", 51) + "</processNodeName>"), nil, nil, `line 2: processNodeName: "`},
	{"settingsAccess", "<device>\n\n<vendorConfig>\n<settingsAccess>3</settingsAccess></vendorConfig></device>", nil, nil, `line 4: settingsAccess: "3" is not one of 0, 1, 2`},
	{"webAccess", "<device><vendorConfig><webAccess>on</webAccess></vendorConfig></device>", nil, nil, `line 1: webAccess: "on" is not one of 0, 1, 2`},
	{"sshAccess", "<device><commonConfig><sshAccess>2</sshAccess></commonConfig></device>", nil, nil, `line 1: sshAccess: "2" is not one of 0, 1`},
	{"deviceSecurityMode", "<device><deviceSecurityMode>4</deviceSecurityMode></device>", nil, nil, `line 1: deviceSecurityMode: "4" is not one of 0, 1, 2, 3`},
	{"transportLayerProtocol", "<device><transportLayerProtocol>tcp</transportLayerProtocol></device>", nil, nil, `line 1: transportLayerProtocol: "tcp" is not`},
	{"encrConfig", "<device><encrConfig>yes</encrConfig></device>", nil, nil, `line 1: encrConfig: "yes" is neither true nor false`},
	{"fullConfig", "<device><fullConfig/></device>", nil, nil, `line 1: fullConfig: "" is neither true nor false`},
	{"a long password", "<device><sshPassword>" + strings.Repeat("secret", 1000) + "</sshPassword></device>", nil, nil, "line 1: sshPassword: it is longer than 4096 bytes: left out"},
}

// One value that cannot be used is left out, with its element and its line; the
// rest of the file counts.
func TestUnusable(t *testing.T) {
	for _, u := range unusable {
		got, err := settings.Parse([]byte(u.doc))
		if err != nil {
			t.Errorf("%s: %v", u.name, err)
			continue
		}
		if !slices.Equal(got.TVS, u.tvs) || !slices.Equal(got.CallManagers, u.managers) {
			t.Errorf("%s: TVS %q, call managers %q", u.name, got.TVS, got.CallManagers)
		}
		switch {
		case u.warning == "" && len(got.Warnings) > 0:
			t.Errorf("%s: warnings %q", u.name, got.Warnings)
		case u.warning != "" && (len(got.Warnings) != 1 || !strings.HasPrefix(got.Warnings[0], u.warning) || !strings.HasSuffix(got.Warnings[0], ": left out")):
			t.Errorf("%s: warnings %q, want %q", u.name, got.Warnings, u.warning)
		}
		if strings.Contains(fmt.Sprint(got.Warnings), "secretsecret") {
			t.Errorf("%s: a warning shows a password", u.name)
		}
		if got.ShellPassword != "" || got.Web+got.Settings+got.SSH+got.Secure+got.Transport != "" || got.Encrypt || got.Reduced {
			t.Errorf("%s: something is left: %+v", u.name, got)
		}
	}
	many := "<device>" + strings.Repeat("<deviceSecurityMode>x</deviceSecurityMode>\n", 1000) + "</device>"
	got, err := settings.Parse([]byte(many))
	if n := len(got.Warnings); err != nil || n != settings.MaxWarnings+1 || got.Warnings[n-1] != "and 980 more" {
		t.Errorf("1000 unusable values: %v, warnings %q", err, got.Warnings)
	}
}

// settingsAccess says the opposite of the others.
func TestAccess(t *testing.T) {
	const enabled, disabled, restricted, unset = settings.AccessEnabled, settings.AccessDisabled, settings.AccessRestricted, settings.AccessUnset
	for _, test := range []struct {
		value                    string
		settings, web, ssh, span settings.Access
		mayChange, pages         bool
	}{
		{"", unset, unset, unset, unset, true, false},
		{"0", disabled, enabled, enabled, enabled, false, true},
		{"1", enabled, disabled, disabled, disabled, true, false},
		{"2", restricted, restricted, unset, unset, false, false},
		{"9", unset, unset, unset, unset, true, false},
	} {
		s, err := settings.Parse(fmt.Appendf(nil, "<device><vendorConfig><settingsAccess>%[1]s</settingsAccess><webAccess>%[1]s</webAccess><sshAccess>%[1]s</sshAccess><spanToPCPort>%[1]s</spanToPCPort></vendorConfig></device>", test.value))
		if err != nil {
			t.Fatal(err)
		}
		if s.SettingsAccess() != test.settings || s.WebAccess() != test.web || s.SSHAccess() != test.ssh || s.SPANAccess() != test.span || s.MayChangeSettings() != test.mayChange || s.ServesPages() != test.pages {
			t.Errorf("%q: settings %v, web %v, SSH %v, SPAN %v, may change %v, pages %v", test.value, s.SettingsAccess(), s.WebAccess(), s.SSHAccess(), s.SPANAccess(), s.MayChangeSettings(), s.ServesPages())
		}
	}
	for a, want := range map[settings.Access]string{unset: "", enabled: "Enabled", disabled: "Disabled", restricted: "Restricted"} {
		if a.String() != want {
			t.Errorf("access %d: %q, want %q", a, a, want)
		}
	}
}

// A phone whose deviceSecurityMode is 0 is non-secure, as with 1.
func TestSecurityMode(t *testing.T) {
	for value, want := range map[string]settings.SecurityMode{"": settings.NonSecure, "0": settings.NonSecure, "1": settings.NonSecure, "2": settings.Authenticated, "3": settings.Encrypted, "4": settings.NonSecure} {
		s, err := settings.Parse([]byte("<device><deviceSecurityMode>" + value + "</deviceSecurityMode></device>"))
		if err != nil || s.SecurityMode() != want {
			t.Errorf("deviceSecurityMode %q: %v, %v; want %v", value, s.SecurityMode(), err, want)
		}
	}
	if got := fmt.Sprint(settings.NonSecure, settings.Authenticated, settings.Encrypted); got != "Non Secure Authenticated Encrypted" {
		t.Error(got)
	}
}

func TestTransport(t *testing.T) {
	for value, want := range map[string]string{"": "tcp", "1": "tcp", "2": "udp", "3": "tcp", "4": "tcp", "17": "tcp"} {
		s, err := settings.Parse([]byte("<device><transportLayerProtocol>" + value + "</transportLayerProtocol></device>"))
		if err != nil || s.SIPNetwork() != want {
			t.Errorf("transportLayerProtocol %q: %s, %v; want %s", value, s.SIPNetwork(), err, want)
		}
	}
}

// Whether a phone speaks SCCP is said by deviceProtocol, else by the name of its firmware.
func TestProtocol(t *testing.T) {
	for xml, want := range map[string]bool{
		"<device/>": false, "<device><deviceProtocol>SCCP</deviceProtocol></device>": true, "<device><deviceProtocol>sccp</deviceProtocol></device>": true,
		"<device><deviceProtocol>SIP</deviceProtocol><loadInformation>SCCP45.9-4-2</loadInformation></device>": false,
		"<device><loadInformation>SCCP45.9-4-2</loadInformation></device>":                                     true,
		"<device><loadInformation>SIP45.9-4-2</loadInformation></device>":                                      false,
		"<device><loadInformation>S</loadInformation></device>":                                                false,
		`<Default><loadInformation436 model="Cisco 7965">SCCP45.9-4-2</loadInformation436></Default>`:          true,
	} {
		s, err := settings.Parse([]byte(xml))
		if got := s.SCCP("CP-7965G"); err != nil || got != want {
			t.Errorf("%s: %v, %v", xml, got, err)
		}
	}
}
