package evidence_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// note is the cluster of the note on paper.
func note(t *testing.T) *cluster.Cluster {
	t.Helper()
	p := profile.Note()
	for i := range p.Nodes {
		p.Nodes[i].Host = fmt.Sprintf("127.0.50.%d", i+1)
	}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// hashes are the names by which phones and tools know a list.
func hashes(list []byte) map[string]string {
	spaced := func(sum []byte) string { return fmt.Sprintf("% X ", sum) }
	m, s, l := md5.Sum(list), sha1.Sum(list), sha512.Sum512(list)
	return map[string]string{"MD5": spaced(m[:]), "SHA-1": spaced(s[:]), "SHA-512": fmt.Sprintf("%x", l)}
}

// A list is found by its MD5, SHA-1 and SHA-512, given or on the phone's pages.
func TestHashes(t *testing.T) {
	c := note(t)
	w := lockout.World{c}
	list := c.Publisher().ITL()
	for name, hash := range hashes(list) {
		pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			row := func(label, value string) {
				fmt.Fprintf(w, "<TR><TD><B>%s</B></TD><TD><B>%s</B></TD></TR>\n", label, strings.ReplaceAll(html.EscapeString(value), "-", "&#x2D;"))
			}
			row(" MAC address", "64A0E71502CC")
			row(" Model number", "CP-8861")
			row(" CTL signature", "Not Installed")
			row(" ITL signature", hash)
		}))
		defer pages.Close()
		for how, s := range map[string]evidence.Source{"given": {Hash: hash}, "page": {Page: pages.URL}} {
			p, err := s.Phone(t.Context(), w, w)
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if string(p.Stored["itl"]) != string(list) || p.Stored["ctl"] != nil || !p.Recalled {
				t.Errorf("%s, %s: a list of %d bytes, want %d; CTL %d bytes", name, how, len(p.Stored["itl"]), len(list), len(p.Stored["ctl"]))
			}
			if how == "page" && p.Model != "CP-8861" {
				t.Errorf("model %q of the page", p.Model)
			}
		}
	}
	for _, bad := range []string{strings.Repeat("1", 31), strings.Repeat("1", 33), strings.Repeat("1", 39), strings.Repeat("1", 41), strings.Repeat("1", 64), strings.Repeat("1", 127),
		strings.Repeat("1", 129), strings.Repeat("g", 40)} {
		if hash, err := evidence.ParseHash(bad); err == nil {
			t.Errorf("%q is read as %q", bad, hash)
		}
	}
	for _, unknown := range []string{strings.Repeat("1", 32), strings.Repeat("1", 40), strings.Repeat("1", 128)} {
		if _, err := (evidence.Source{Hash: unknown}).Phone(t.Context(), w, w); !errors.Is(err, evidence.ErrUnknownList) {
			t.Errorf("%s: %v, want ErrUnknownList", unknown, err)
		}
	}
}

// restartAll restarts TVS and TFTP everywhere.
func restartAll(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, n := range c.Nodes() {
		if err := errors.Join(c.Apply(operation.Service(n.Name(), profile.TVSService, operation.Restart)), c.Apply(operation.Service(n.Name(), profile.TFTPService, operation.Restart))); err != nil {
			t.Fatal(err)
		}
	}
}

// write writes a file of a test.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A phone of which the lists alone are given gets the cause that it gets with its
// configuration: what is served names its TVS servers. That is said.
func TestPresumedConfiguration(t *testing.T) {
	c := note(t)
	w := lockout.World{c}
	list := write(t, "ITLFile.tlv", c.Publisher().ITL())
	config, err := c.Publisher().State().File("SEP64A0E71502CC.cnf.xml", false)
	if err != nil {
		t.Fatal(err)
	}
	given := write(t, "config.xml", config)
	for _, u := range []profile.Unit{profile.CallManager, profile.TVS} {
		if err := c.Apply(operation.Advance(2 * operation.HoldTime)); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes() {
			if err := c.Apply(operation.Regenerate(n.Name(), u)); err != nil {
				t.Fatal(err)
			}
		}
	}
	restartAll(t, c)
	signed, err := c.Publisher().State().File("SEP64A0E71502CC.cnf.xml.sgn", false)
	if err != nil {
		t.Fatal(err)
	}
	other := note(t) // whose list no known cluster has served
	serves := func(config []byte) lockout.Surroundings {
		return lockout.Files{At: c.Now(), ITL: c.Publisher().ITL(), Config: config}
	}
	for _, test := range []struct {
		name     string
		source   evidence.Source
		world    lockout.World
		around   lockout.Surroundings
		presumes string
		want     trust.Reason
	}{
		{"directory, given", evidence.Source{Installed: []string{list}, Config: given}, w, w, "", trust.TVSUntrusted},
		{"directory, left out", evidence.Source{Installed: []string{list}}, w, w, "note serves now is presumed", trust.TVSUntrusted},
		{"directory, a list of another cluster", evidence.Source{Installed: []string{write(t, "other.tlv", other.Publisher().ITL())}}, w, w, "is served now is presumed", trust.TVSUntrusted},
		{"files, a signed one served", evidence.Source{Installed: []string{list}}, nil, serves(signed), "is served now is presumed", trust.TVSUnreachable},
		{"files, a plain one served", evidence.Source{Installed: []string{list}}, nil, serves(config), "is served now is presumed", trust.TVSUnreachable},
		{"files, none served", evidence.Source{Installed: []string{list}}, nil, serves(nil), "taken to name no TVS; give --config", trust.UnknownSigner},
	} {
		p, err := test.source.Phone(t.Context(), test.world, test.around)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		_, report, err := p.Boot(t.Context(), test.around)
		if err != nil || report.Reason() != test.want {
			t.Errorf("%s: %v, %v; want %v", test.name, report.Reason(), err, test.want)
		}
		if notes := strings.Join(p.Notes, "; "); !strings.Contains(notes, test.presumes) || test.presumes == "" && notes != "" {
			t.Errorf("%s: notes %q, want %q in them", test.name, notes, test.presumes)
		}
	}
}

// A directory tells all that a phone holds: where it has no configuration, there is none.
func TestDirectoryWithoutConfiguration(t *testing.T) {
	id := pkitest.Identity(t, "pub", pki.Service)
	list := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Digest: trustlist.SHA1, Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: id.Certificate}}}, id)
	dir := filepath.Join(t.TempDir(), "phone")
	store, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Put("itl", list.Bytes()), store.Close()); err != nil {
		t.Fatal(err)
	}
	c := note(t)
	w := lockout.World{c}
	p, err := evidence.Source{State: dir}.Phone(t.Context(), w, w)
	if err != nil {
		t.Fatal(err)
	}
	if p.Stored["config"] != nil || len(p.Notes) != 0 {
		t.Errorf("configuration of %d bytes, notes %q", len(p.Stored["config"]), p.Notes)
	}
}

// Phones in dispute are counted as up to date where that is asked for, and are not
// otherwise.
func TestAssumeCurrent(t *testing.T) {
	c := note(t)
	w := lockout.World{c}
	reports := func() *evidence.Reports {
		r := evidence.New()
		for i, node := range []string{"pub", "sub"} {
			log := line(fmt.Sprintf("7: %s: Feb 26 2014 18:00:02 UTC", node), fmt.Sprint(11*(i+1)))
			if err := r.Read(strings.NewReader(log), nil); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	for _, test := range []struct {
		current          bool
		counted, not     int
		disputed, silent int
	}{{false, 0, 2, 1, 1}, {true, 2, 0, 0, 0}} {
		f, err := evidence.Phones(w, reports(), test.current)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Phones) != test.counted || f.Uncounted() != test.not || len(f.Disputed) != test.disputed || len(f.Silent) != test.silent {
			t.Errorf("assume current %v: %d counted, %d not; %v disputed, %v silent", test.current, len(f.Phones), f.Uncounted(), f.Disputed, f.Silent)
		}
		for _, p := range f.Phones {
			if string(p.Stored["itl"]) != string(c.Publisher().ITL()) {
				t.Errorf("%s does not hold what is served now", p.MAC)
			}
		}
		if notes := strings.Join(f.Notes, "; "); test.current && !strings.Contains(notes, "1 phone with reports that contradict each other, and counted as holding what is served now") {
			t.Errorf("notes %q", notes)
		}
	}
}

// What `audit --json` prints of a phone in dispute is read as such.
func TestAuditOutput(t *testing.T) {
	one, two := strings.Repeat("11", 20), strings.Repeat("22", 20)
	path := write(t, "audit.json", []byte(`{"phones":3}
{"device":"SEP000000000001","status":"foreign","itl":"`+one+`","ctl":"","reported":1393437602}
{"device":"SEP000000000002","status":"unknown","itl":"`+two+`","ctl":"","disputed":true,"reported":1393437602}
{"device":"SEP000000000003","status":"unknown","itl":"","ctl":"","disputed":false}
`))
	r, err := evidence.AuditOutput(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Len() != 2 {
		t.Errorf("%d phones, want 2", r.Len())
	}
	for mac, want := range map[string]error{"SEP000000000001": nil, "SEP000000000002": evidence.ErrDisputed} {
		m, _ := evidence.ParseMAC(mac)
		last, ok, err := r.Last(m)
		if !ok || !errors.Is(err, want) || !last.Time.Equal(time.Unix(1393437602, 0)) {
			t.Errorf("%s: %v, %v, %v; want %v", mac, ok, last.Time, err, want)
		}
	}
}
