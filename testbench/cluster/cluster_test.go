package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
	"itlagent/testbench/pki/pkitest"
)

const mac = "64A0E71502CC"

func start(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.New(profile.Note(), cluster.Options{Logf: t.Logf})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func itl(t *testing.T, n *cluster.Node) *trustlist.File {
	t.Helper()
	return pkitest.Parse(t, trustlist.ITL, n.ITL())
}

// The note's list has the note's lengths on the publisher, before and after the
// reset, and each node's has its own checksum.
func TestNoteLengths(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, length, header int, signer string) {
		t.Helper()
		for _, n := range c.Nodes() {
			f := itl(t, n)
			if len(f.Bytes()) != length || f.Length != header || !strings.HasPrefix(string(f.Signer.Name), "CN="+signer) && n == c.Publisher() {
				t.Errorf("%s, %s: %d bytes, header %d, signer %s; want %d, %d, %s", when, n.Name(), len(f.Bytes()), f.Length, f.Signer.Name, length, header, signer)
			}
			if _, err := f.CheckOwn(); err != nil {
				t.Errorf("%s, %s: %v", when, n.Name(), err)
			}
		}
	}
	check("installed", 5302, 324, "test10pub.joemar2.lab")
	if bytes.Equal(c.Nodes()[0].ITL(), c.Nodes()[1].ITL()) {
		t.Error("both nodes serve the same list")
	}
	if err := c.Apply(operation.ResetITL(nil)); err != nil {
		t.Error(err)
	}
	check("reset", 5322, 344, "ITLRECOVERY_")
	for _, n := range c.Nodes() {
		if err := c.Apply(operation.RestartTFTP(n.Name())); err != nil {
			t.Fatal(err)
		}
	}
	check("restarted", 5302, 324, "test10pub.joemar2.lab")
}

func TestHold(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	regen := func(node string, u profile.Unit, text string) {
		t.Helper()
		err := c.Apply(operation.Regenerate(node, u))
		if text == "" && err != nil || text != "" && (err == nil || err.Error() != text) {
			t.Errorf("regenerate %s on %s: %v, want %q", u, node, err, text)
		}
	}
	held := "CallManager certificate was modified in the last 5 minutes. Please re-try regenerating TVS certificate at a later time"
	regen("test10pub", profile.CallManager, "")
	regen("test10pub", profile.TVS, held)
	regen("test10sub", profile.TVS, "") // the hold is the node's own
	regen("test10pub", profile.CallManager, "")
	c.Apply(operation.Advance(operation.HoldTime - time.Second))
	regen("test10pub", profile.TVS, held)
	c.Apply(operation.Advance(time.Second))
	regen("test10pub", profile.TVS, "")
	regen("nobody", profile.TVS, `no node "nobody" in the cluster; there are: test10pub, test10sub`)
	regen("test10pub", "Presence", `test10pub has no certificate "Presence"`)
}

// What is regenerated takes effect when its service starts again.
func TestRestartTakesEffect(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pub := c.Publisher()
	before := pub.ITL()
	if err := c.Apply(operation.Regenerate(pub.Name(), profile.CallManager)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pub.ITL(), before) {
		t.Error("the list changed before TFTP was restarted")
	}
	if err := c.Apply(operation.RestartTFTP(pub.Name())); err != nil {
		t.Fatal(err)
	}
	if got := itl(t, pub).Signer.Serial; !trustlist.SameSerial(got, pub.Identity(profile.CallManager).Certificate.SerialNumber.Bytes()) {
		t.Errorf("signer's serial %x after the restart", got)
	}
}

// Files are the same by HTTP and TFTP; unknown devices have none.
func TestFilesOverSockets(t *testing.T) {
	c := start(t)
	pub := c.Publisher()
	dial := new(net.Dialer).DialContext
	both := &fetch.Client{Dial: dial, TFTP: fetch.PlainTFTP}
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no HTTP") }
	viaTFTP := &fetch.Client{Dial: refuse, TFTP: fetch.PlainTFTP}
	for name, has := range map[string]bool{
		"ITLSEP" + mac + ".tlv": true, "ITLFile.tlv": true, "SEP" + mac + ".cnf.xml": true, "SEP" + mac + ".cnf.xml.sgn": true,
		"XMLDefault.cnf.xml": true, "XMLDefault.cnf.xml.sgn": true,
		"CTLSEP" + mac + ".tlv": false, "ITLSEP000000000000.tlv": false, "SEP000000000000.cnf.xml.sgn": false, "ITLRecovery.p12": false,
	} {
		f, err := both.Get(t.Context(), []string{pub.Address()}, name, 1<<20)
		g, err2 := viaTFTP.Get(t.Context(), []string{pub.Address()}, name, 1<<20)
		if has && (err != nil || err2 != nil || !bytes.Equal(f.Data, g.Data) || f.Transport != "HTTP" || g.Transport != "TFTP") {
			t.Errorf("%s: %d bytes by %s (%v), %d by %s (%v)", name, len(f.Data), f.Transport, err, len(g.Data), g.Transport, err2)
		}
		if !has && (!errors.Is(err, fetch.ErrNotFound) || !errors.Is(err2, fetch.ErrNotFound)) {
			t.Errorf("%s: %v and %v, want %v", name, err, err2, fetch.ErrNotFound)
		}
	}
	res, err := http.Get("http://" + pub.Address() + "/ITLFile.tlv")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "*/*" || len(body) != 5302 {
		t.Errorf("headers %v, %d bytes", res.Header, len(body))
	}
}

func TestTVSOverSockets(t *testing.T) {
	c := start(t)
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	client := &tvs.Client{Dial: new(net.Dialer).DialContext, Device: "CP-7965-SEP" + mac}
	list := itl(t, pub)
	for _, n := range []*cluster.Node{pub, sub} {
		id := n.Identity(profile.CallManager).Certificate
		q := trust.Question{Subject: "", Issuer: trustlist.FormatName(id.Issuer), Serial: id.SerialNumber.Bytes()}
		client.Flush()
		a := client.Query(t.Context(), list, []string{n.TVSAddress()}, q)
		if !a.Valid || fmt.Sprint(a.Roles) != fmt.Sprint([]trustlist.Role{trustlist.SAST, trustlist.CCMTFTP}) || !bytes.Equal(a.Cert, id.Raw) {
			t.Errorf("%s: %+v", n.Name(), a)
		}
		if left := time.Until(a.Expires); left < 86390*time.Second || left > 86400*time.Second {
			t.Errorf("%s: answer expires in %v, want 86400 s", n.Name(), left)
		}
	}
	unknown := trust.Question{Issuer: "CN=nobody", Serial: []byte{1}}
	if a := client.Query(t.Context(), list, []string{pub.TVSAddress()}, unknown); a.Valid || a.Failure != trust.Answered {
		t.Errorf("unknown signer: %+v", a)
	}
	if err := c.Apply(operation.SetFault(pub.Name(), profile.TVSService, "close")); err != nil {
		t.Fatal(err)
	}
	if a := client.Query(t.Context(), list, []string{pub.TVSAddress()}, unknown); a.Failure != trust.Unreachable {
		t.Errorf("TVS that closes every connection: %+v", a)
	}
	stranger := pkitest.Identity(t, "elsewhere", 0)
	for _, store := range []profile.Store{profile.PhoneSASTTrust, profile.CallManagerTrust} {
		if err := c.Apply(operation.Import(store, stranger.Certificate)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Apply(operation.RestartTVS(sub.Name())); err != nil {
		t.Fatal(err)
	}
	q := trust.Question{Issuer: trustlist.FormatName(stranger.Certificate.Issuer), Serial: stranger.Certificate.SerialNumber.Bytes()}
	if a := client.Query(t.Context(), list, []string{sub.TVSAddress()}, q); !a.Valid || fmt.Sprint(a.Roles) != fmt.Sprint([]trustlist.Role{trustlist.SAST, trustlist.TFTP}) {
		t.Errorf("imported certificate: %+v", a)
	}
}

func TestSettings(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(operation.Set(mac, "webAccess", "0")); err != nil || c.State().Phone(mac).Settings["webAccess"] != "0" {
		t.Errorf("set: %v, %v", err, c.State().Phone(mac).Settings)
	}
	for _, bad := range [][3]string{{"000000000000", "webAccess", "0"}, {mac, "colour", "0"}, {mac, "webAccess", "<b>"}} {
		if err := c.Apply(operation.Set(bad[0], bad[1], bad[2])); err == nil {
			t.Errorf("Set(%v) succeeded", bad)
		}
	}
}

func TestPortsInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := profile.Note()
	p.FromPort(l.Addr().(*net.TCPAddr).Port)
	dir := t.TempDir()
	_, err = cluster.New(p, cluster.Options{Dir: dir})
	var port *serve.PortError
	if !errors.As(err, &port) || port.Node != "test10pub" || port.Port != "http" {
		t.Errorf("a port in use: %v", err)
	}
	if _, err := cluster.Open(cluster.Options{Dir: dir}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a cluster was installed all the same: %v", err)
	}
}

// ITLRecovery regenerated: phones are not reset, and lists follow when TFTP
// restarts. A subscriber's own one counts for nothing.
func TestRecoveryRegenerated(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	before, p12 := pub.ITL(), pub.State().RecoveryP12()
	if sub.State().RecoveryP12() != nil {
		t.Error("a subscriber has the recovery key")
	}
	if err := c.Apply(operation.Regenerate(sub.Name(), profile.ITLRecovery)); err != nil {
		t.Fatal(err)
	}
	if got := sub.Identity(profile.ITLRecovery).Certificate.Subject.CommonName; got != "ITLRECOVERY_test10sub.joemar2.lab" {
		t.Errorf("the subscriber's is %s", got)
	}
	if !bytes.Equal(pub.State().RecoveryP12(), p12) || c.State().Recovery() != pub.Identity(profile.ITLRecovery) {
		t.Error("the subscriber's certificate counts")
	}
	old := c.State().Recovery().Certificate
	if err := c.Apply(operation.Regenerate(pub.Name(), profile.ITLRecovery)); err != nil {
		t.Fatal(err)
	}
	if c.State().Resets != 0 || !bytes.Equal(pub.ITL(), before) || bytes.Equal(pub.State().RecoveryP12(), p12) {
		t.Errorf("%d resets, list changed %v, p12 changed %v", c.State().Resets, !bytes.Equal(pub.ITL(), before), !bytes.Equal(pub.State().RecoveryP12(), p12))
	}
	if got := c.State().Recovery().Certificate; got.Subject.CommonName != old.Subject.CommonName || got.SerialNumber.Cmp(old.SerialNumber) == 0 {
		t.Errorf("regenerated: %s, serial %x", got.Subject.CommonName, got.SerialNumber)
	}
	has := func(list *trustlist.File) bool {
		for _, r := range list.Records {
			if trustlist.SameSerial(r.Serial(), c.State().Recovery().Certificate.SerialNumber.Bytes()) {
				return true
			}
		}
		return false
	}
	if has(itl(t, pub)) {
		t.Error("the list has the new certificate before TFTP restarts")
	}
	if err := c.Apply(operation.RestartTFTP(pub.Name())); err != nil || !has(itl(t, pub)) {
		t.Errorf("the list does not have the new certificate: %v", err)
	}
	// Any other certificate resets the phones.
	for i, u := range []profile.Unit{profile.CallManager, profile.TVS, profile.CAPF} {
		if err := c.Apply(operation.Advance(operation.HoldTime)); err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(operation.Regenerate(pub.Name(), u)); err != nil || c.State().Resets != i+1 {
			t.Errorf("%s: %v, %d resets", u, err, c.State().Resets)
		}
	}
	if err := c.Apply(operation.Advance(-time.Second)); err == nil {
		t.Error("the bench clock went back")
	}
}
