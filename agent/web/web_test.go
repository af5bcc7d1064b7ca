//go:build !small

package web_test

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/alarm"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/web"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

const mac = "64A0E71502CC"

// page is a phone with pages, and the cluster that it booted from.
type page struct {
	t       *testing.T
	cluster *cluster.Cluster
	phone   *agent.Agent
	url     string
}

func start(t *testing.T, model string) *page {
	t.Helper()
	c, err := cluster.New(profile.Note(), cluster.Options{Logf: t.Logf})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	phone, err := agent.New(agent.Config{MAC: mac, Model: model, Servers: []string{c.Publisher().Address()}, Store: new(holdings.MemStore),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, l, phone.Snapshot) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &page{t, c, phone, "http://" + l.Addr().String()}
}

// curl fetches a page as scripts in the field do.
func (p *page) curl(path string) string {
	p.t.Helper()
	curl, err := exec.LookPath("curl")
	if err != nil {
		p.t.Skip("SKIPPED: curl is not installed")
	}
	out, err := exec.Command(curl, "-s", "-g", p.url+path).Output()
	if err != nil {
		p.t.Fatalf("curl %s: %v", path, err)
	}
	return string(out)
}

func (p *page) allow(value string) {
	p.t.Helper()
	if err := p.cluster.Apply(operation.Set(mac, "webAccess", value)); err != nil {
		p.t.Fatal(err)
	}
	p.phone.Cycle(p.t.Context())
}

const adapter = "/CGI/Java/Serviceability?adapter="

// The pages of a 79xx phone have the headings that the CUCM 10.0 note shows.
func TestHeadings79xx(t *testing.T) {
	p := start(t, "CP-7965G")
	p.allow("0")
	for path, headings := range map[string][]string{
		adapter + "device.settings.status.messages": {`size="6">Status Messages</FONT>`, "Cisco Unified IP Phone CP&#x2D;7965G ( SEP64A0E71502CC )</FONT>"},
		adapter + "device.statistics.device":        {`size="6">Device information</FONT>`, "<font color=\"#FFFFFF\">Status Messages</FONT></A>"},
	} {
		got := p.curl(path)
		for _, want := range headings {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q:\n%s", path, want, got)
			}
		}
	}
}

// A phone that is registered shows with whom, its back-up, and why it registered; one whose
// call managers are away shows none as active.
func TestRegistration(t *testing.T) {
	p := start(t, "CP-7965G")
	p.allow("0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.phone.Run(ctx, time.Hour, nil, nil)
	}()
	defer func() { cancel(); <-done }()
	until := func(what func(s agent.Snapshot) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !what(p.phone.Snapshot()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", p.phone.Snapshot().Registration)
			}
		}
	}
	until(func(s agent.Snapshot) bool { return s.Registration.Standby != "" })
	if got := p.curl("/NetworkConfiguration"); !strings.Contains(got, "<B> CUCM server1</B></TD><td width=20></TD><TD><B>127.0.0.1  Active</B>") || !strings.Contains(got, "<B> CUCM server2</B></TD><td width=20></TD><TD><B>127.0.0.1  Standby</B>") {
		t.Errorf("%s", got)
	}
	if got := p.curl("/DeviceLogX?1"); !strings.Contains(got, "25: Name=SEP64A0E71502CC Load= Last=Initialized (registered with 127.0.0.1:") {
		t.Errorf("%s", got)
	}
	for _, n := range p.cluster.Nodes() {
		if err := p.cluster.Apply(operation.Service(n.Name(), profile.CallManagerService, operation.Stop)); err != nil {
			t.Fatal(err)
		}
	}
	until(func(s agent.Snapshot) bool { return s.Registration.Failure != nil })
	if got := p.curl("/NetworkConfiguration"); strings.Contains(got, "Active") || strings.Contains(got, "Standby") {
		t.Errorf("%s", got)
	}
}

func TestPages(t *testing.T) {
	p := start(t, "CP-8845")
	if got := p.curl("/"); !strings.Contains(got, "Web access is disabled") {
		t.Errorf("before a configuration allows it:\n%s", got)
	}
	p.phone.Cycle(t.Context())
	if got := p.curl("/"); !strings.Contains(got, "Web access is disabled") {
		t.Errorf("while the configuration forbids it:\n%s", got)
	}
	p.allow("0")
	list := p.cluster.Publisher().ITL()
	sum := sha1.Sum(list)
	signature := alarm.Signature(sum[:])
	for path, rows := range map[string][]string{
		adapter + "device.statistics.device": {"<TITLE>Cisco Systems, Inc.</TITLE>", "Cisco IP Phone CP&#x2D;8845 ( SEP64A0E71502CC )",
			"<TR><TD><B> Host name</B></TD><td width=20></TD><TD><B>SEP64A0E71502CC</B></TD></TR>"},
		adapter + "device.statistics.configuration": {
			"<TR><TD><B> ITL signature</B></TD><td width=20></TD><TD><B>" + signature + "</B></TD></TR>",
			"<TR><TD><B> CTL signature</B></TD><td width=20></TD><TD><B>Not Installed</B></TD></TR>",
			"<TR><TD><B> CUCM server1</B></TD><td width=20></TD><TD><B>127.0.0.1  Active</B></TD></TR>", "<B> TVS</B>", "<B> Web access</B></TD><td width=20></TD><TD><B>Enabled</B>"},
		adapter + "device.settings.status.messages":    {"<B>6:00:00pm 02&#x2F;26&#x2F;14 ITL installed</B>"},
		adapter + "device.trace.display.alarm":         {"Reason=accepted"},
		adapter + "device.settings.security.trustlist": {fmt.Sprintf("%x", md5.Sum(list)), fmt.Sprintf("%x", sum)},
		"/DeviceInformationX":                          {"<DeviceInformation>", "<HostName>SEP64A0E71502CC</HostName>", "<modelNumber>CP&#x2D;8845</modelNumber>"},
		"/NetworkConfigurationX":                       {"<NetworkConfiguration>", "<CallManager1>127.0.0.1</CallManager1>"},
		"/DeviceLogX?0":                                {"<DeviceLog>", "<status>&#x5B;6:00:00pm 02&#x2F;26&#x2F;14&#x5D; ITL installed</status>"},
		"/DeviceLogX?1":                                {"Reason=accepted"},
		"/DeviceInformation":                           {"Device information"},
		"/NetworkConfiguration":                        {"ITL signature"},
		"/DeviceLog?2":                                 {"ITL installed"},
		"/DeviceLog?0":                                 {"Debug display"},
	} {
		got := p.curl(path)
		for _, row := range rows {
			if !strings.Contains(got, row) {
				t.Errorf("%s lacks %q:\n%s", path, row, got)
			}
		}
	}
	for path, want := range map[string]int{"/nonsense": 404, adapter + "nonsense": 404, "/CGI/Execute": 404, "/../etc/passwd": 404} {
		res, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "HEAD /DeviceInformationX HTTP/1.1\r\nHost: phone\r\n\r\n")
	head, err := io.ReadAll(conn)
	if err != nil || !regexp.MustCompile(`(?s)^HTTP/1\.1 200 OK\r\n.*Content-Length: [1-9].*\r\n\r\n$`).Match(head) {
		t.Errorf("HEAD: %v %q", err, head)
	}
	res, err := http.Post(p.url+"/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

// settingsAccess says the opposite of the other three.
func TestAccessRows(t *testing.T) {
	p := start(t, "CP-8845")
	for _, test := range []struct{ name, value, label, want string }{
		{"settingsAccess", "0", "Settings access", "Disabled"}, {"settingsAccess", "1", "Settings access", "Enabled"}, {"settingsAccess", "2", "Settings access", "Restricted"},
		{"sshAccess", "0", "SSH access", "Enabled"}, {"sshAccess", "1", "SSH access", "Disabled"},
		{"spanToPCPort", "0", "SPAN to PC port", "Enabled"}, {"spanToPCPort", "1", "SPAN to PC port", "Disabled"},
	} {
		if err := p.cluster.Apply(operation.Set(mac, test.name, test.value)); err != nil {
			t.Fatal(err)
		}
		p.allow("0")
		row := "<TR><TD><B> " + test.label + "</B></TD><td width=20></TD><TD><B>" + test.want + "</B></TD></TR>"
		if got := p.curl(adapter + "device.statistics.configuration"); !strings.Contains(got, row) {
			t.Errorf("%s %s lacks %q:\n%s", test.name, test.value, row, got)
		}
	}
}

// While the phone is locked the words that scrapers look for stand at the end of a
// cell, and a setting that forbids the pages does not reach it.
func TestLockedPage(t *testing.T) {
	p := start(t, "CP-7965G")
	p.allow("0")
	for _, step := range []func() error{
		func() error { return p.cluster.Apply(operation.Regenerate("test10pub", profile.CallManager)) },
		func() error { return p.cluster.Apply(operation.Advance(time.Hour)) },
		func() error { return p.cluster.Apply(operation.Regenerate("test10pub", profile.TVS)) },
		func() error { return p.cluster.Apply(operation.Regenerate("test10sub", profile.TVS)) },
		func() error { return p.cluster.Apply(operation.RestartTVS("test10pub")) },
		func() error { return p.cluster.Apply(operation.RestartTVS("test10sub")) },
		func() error { return p.cluster.Apply(operation.RestartTFTP("test10pub")) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	p.allow("1")
	got := p.curl("/DeviceLog?2")
	cell := regexp.MustCompile(`(?i)<TD><B>([^<]*trust list update failed)</B></TD>`).FindStringSubmatch(got)
	if cell == nil || cell[1] != "19:00:00 Trust List Update Failed" {
		t.Errorf("cells %q:\n%s", cell, got)
	}
	if got := p.curl(adapter + "device.trace.display.alarm"); !strings.Contains(got, "Reason=tvs&#x2D;untrusted") {
		t.Errorf("debug display:\n%s", got)
	}
}

// A thousand clients, slow, silent or too loud, are bounded, and others are served
// when those have had their time.
func TestHostileClients(t *testing.T) {
	p := start(t, "CP-7965G")
	p.allow("0")
	address := strings.TrimPrefix(p.url, "http://")
	clients := 1000
	if testing.Short() {
		clients = 100
	}
	for i := range clients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		defer conn.Close()
		switch i % 4 {
		case 0: // silent
		case 1:
			io.WriteString(conn, "GET / HTTP/1.1\r\nX: ") // and no more
		case 2:
			io.WriteString(conn, "GET /"+strings.Repeat("A", 5000)+" HTTP/1.1\r\n\r\n")
			conn.Close()
		case 3:
			io.WriteString(conn, strings.Repeat("\x00\xff", 100))
			conn.Close()
		}
		if i%4 < 2 && i > 40 {
			conn.Close() // what waits behind the limit, and gives up
		}
	}
	client := &http.Client{Timeout: 30 * time.Second}
	res, err := client.Get(p.url + "/DeviceInformationX")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), "SEP"+mac) {
		t.Errorf("%v\n%s", err, body)
	}
}

// Among a thousand clients that begin a request and do not end it, of which 200 come back
// when they lose their place, a person's page is there within two seconds.
func TestSlowClients(t *testing.T) {
	p := start(t, "CP-7965G")
	p.allow("0")
	address := strings.TrimPrefix(p.url, "http://")
	ctx, stop := context.WithCancel(t.Context())
	var crowd, there sync.WaitGroup
	defer crowd.Wait()
	defer stop()
	clients := 1000
	if testing.Short() {
		clients = 200
	}
	there.Add(clients)
	for i := range clients {
		crowd.Go(func() {
			arrived := sync.OnceFunc(there.Done)
			defer arrived()
			for again := true; again && ctx.Err() == nil; again = i%5 == 0 {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
				if err != nil {
					continue
				}
				undo := context.AfterFunc(ctx, func() { conn.Close() })
				io.WriteString(conn, "GET / HTTP/1.1\r\nX: ")
				arrived()
				io.Copy(io.Discard, conn)
				undo()
				conn.Close()
			}
		})
	}
	there.Wait()
	for range 10 {
		began := time.Now()
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(p.url + "/DeviceInformationX")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(body), "SEP"+mac) {
			t.Errorf("%v\n%s", err, body)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("the page took %v among %d slow clients", d, clients)
		}
	}
}

// What has two lengths, or a head that can be read in two ways, is refused.
func TestOddRequests(t *testing.T) {
	p := start(t, "CP-7965G")
	p.allow("0")
	for head, want := range map[string]string{
		"":                         "200",
		"Content-Length: 0\r\n":    "200",
		"Content-Length : 0\r\n":   "400",
		"Content-Length: 1, 1\r\n": "400",
		"Content-Length: 3\r\nContent-Length: 4\r\n":           "400",
		"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n":  "400",
		"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n":  "400",
		"Transfer-Encoding: chunked, identity\r\n":             "400",
		"Transfer-Encoding : chunked\r\nContent-Length: 3\r\n": "400",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "GET /DeviceInformationX HTTP/1.1\r\nHost: x\r\n%s\r\n0\r\n\r\n", head)
		conn.(*net.TCPConn).CloseWrite()
		res, err := io.ReadAll(conn)
		if got := string(res); !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("%q: %.60q, %v, want %s", head, got, err, want)
		}
		conn.Close()
	}
}
