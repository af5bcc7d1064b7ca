package admin_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/sftpd"
)

var update = flag.Bool("update", false, "write the golden files again")

// sftpServer is OpenSSH's program.
const sftpServer = "/usr/lib/openssh/sftp-server"

const (
	adminPassword    = "administrator"
	securityPassword = "security-password"
)

func newCluster(t *testing.T, release string) *cluster.Cluster {
	t.Helper()
	p, err := profile.Builtin(release)
	if err != nil {
		t.Fatal(err)
	}
	p.AdminPassword, p.SecurityPassword = adminPassword, securityPassword
	c, err := cluster.New(p, cluster.Options{Dir: t.TempDir(), SSH: admin.ServeSSH, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// run runs one command, with what the administrator answers.
func run(n *cluster.Node, line string, answers ...string) (output string, code int) {
	var out bytes.Buffer
	in := strings.NewReader(strings.Join(append(answers, ""), "\n"))
	code = admin.New(n, console.NewPlain(in, &out)).Run(line)
	return out.String(), code
}

// state is what must not change where a command fails.
func state(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.Dir(), "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// sftp starts a server that logs users in one way, with OpenSSH's program behind
// it where that is installed.
func startSFTP(t *testing.T, o sftpd.Options) (s *sftpd.Server, host, port string) {
	t.Helper()
	if _, err := os.Stat(sftpServer); err != nil {
		t.Skipf("SKIPPED: %s is not installed (package openssh-sftp-server)", sftpServer)
	}
	o.User, o.Password, o.Program = "joemar2", "sftp-password", sftpServer
	s, err := sftpd.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	host, port, _ = net.SplitHostPort(s.Address())
	return s, host, port
}

// golden compares a transcript with a file: bytes, times, addresses and hashes
// aside, which each have a form to keep.
func golden(t *testing.T, name, transcript string) {
	t.Helper()
	for _, r := range [][2]string{
		{`(?m)^([0-9a-f]{1,2} ){7}[0-9a-f]{1,2}$`, "BYTES"},
		{`(BYTES\n)+`, "BYTES\n"},
		{`\b([0-9A-F]{2}:){15}[0-9A-F]{2}\b`, "SERIAL"},
		{`\b([0-9a-f]{2}:){15}[0-9a-f]{2}\b`, "FINGERPRINT"},
		{`(CERTHASH 20 )([0-9A-F]{2} ){19}[0-9A-F]{2}\b`, "${1}SHA1"},
		{`\b([0-9A-F]{2} ){19}[0-9A-F]{2}\b`, "SHA1"},
		{`\b[0-9a-f]{32}\(MD5\)`, "HASH(MD5)"},
		{`\b[0-9a-f]{40}\(SHA1\)`, "HASH(SHA1)"},
		{`modified on \w{3} \w{3} [ 0-9]\d \d\d:\d\d:\d\d PST \d{4}`, "modified on TIME"},
		{`127\.0\.0\.1`, "ADDRESS"},
		{`ADDRESS:[0-9]+`, "ADDRESS:PORT"},
		{`(port \[22\]: )[0-9]+`, "${1}PORT"},
		{`Total size in Bytes: \d{4}\n`, "Total size in Bytes: SIZE\n"},
		{`Total size in Kbytes: \d\.\d+\n`, "Total size in Kbytes: SIZE\n"},
		{regexp.QuoteMeta(os.TempDir()) + `[^ \n]*/joemar2`, "/FOLDER/joemar2"},
	} {
		transcript = regexp.MustCompile(r[0]).ReplaceAllString(transcript, r[1])
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(transcript), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if transcript != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, transcript, want)
	}
}

// The transcripts of the note, on one cluster and in its order.
func TestTranscripts(t *testing.T) {
	c := newCluster(t, "note")
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	dir := filepath.Join(t.TempDir(), "joemar2")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, host, port := startSFTP(t, sftpd.Options{Dir: dir})
	tell := func(n *cluster.Node, name string, lines ...string) {
		t.Helper()
		var out bytes.Buffer
		admin.New(n, console.NewPlain(strings.NewReader(strings.Join(append(lines, "exit", ""), "\n")), &out)).Loop()
		golden(t, name, strings.TrimSuffix(out.String(), admin.Prompt+"exit\n"))
	}
	tell(pub, "show-itl", "show itl")
	tell(pub, "file-get", "file get tftp ITLRecovery.p12", "y", host, port, "joemar2", "sftp-password", dir+"/", "yes")
	tell(sub, "file-get-subscriber", "file get tftp ITLRecovery.p12")
	tell(sub, "reset-subscriber", "utils itl reset localkey", "utils itl reset remotekey a b c")
	tell(pub, "reset-localkey", "utils itl reset localkey", adminPassword)
	tell(pub, "show-itl-reset", "show itl")
	tell(pub, "reset-remotekey", "utils itl reset remotekey "+net.JoinHostPort(host, port)+" joemar2 "+dir+"/ITLRecovery.p12", "sftp-password", adminPassword)
	tell(pub, "regen-twice", "set cert regen CallManager", "yes", "set cert regen TVS")

	// What the note's reset transcripts say, they say here but for the hosts.
	for name, lines := range map[string][]string{
		"reset-localkey": {"Locating active Tftp servers in the cluster.....", "['test10pub', 'test10sub']",
			"Restarting Cisco Tftp service on host test10pub\nCisco Tftp service restarted on host test10pub\nSuccessfully transferred reset ITL to node test10sub\n\nRestarting"},
		"show-itl":       {"Length of ITL file: 5302", "HeaderLength: 324 (BYTES)", "3 SIGNERID 2 139\n4 SIGNERNAME 57 CN=test10pub.joemar2.lab;OU=tac;O=cisco;L=rtp;ST=nc;C=US\n5 SERIALNUMBER 16 SERIAL"},
		"show-itl-reset": {"Length of ITL file: 5322", "HeaderLength: 344 (BYTES)", "3 SIGNERID 2 157\n4 SIGNERNAME 66 CN=ITLRECOVERY_"},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if !strings.Contains(string(data), line) {
				t.Errorf("%s.golden does not have %q", name, line)
			}
		}
	}

	// openssl opens the saved file with the security password, and no other.
	openssl := func(args ...string) (string, error) {
		out, err := exec.Command("openssl", args...).CombinedOutput()
		return string(out), err
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED: openssl is not installed")
	}
	p12 := filepath.Join(dir, "ITLRecovery.p12")
	if info, err := os.Stat(p12); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	out, err := openssl("pkcs12", "-in", p12, "-passin", "pass:"+securityPassword, "-nodes")
	if err != nil || !strings.Contains(out, "CN = ITLRECOVERY_test10pub.joe2.lab") || !strings.Contains(out, "BEGIN PRIVATE KEY") {
		t.Errorf("openssl pkcs12: %v\n%s", err, out)
	}
	if out, err := openssl("pkcs12", "-in", p12, "-passin", "pass:other", "-nodes"); err == nil {
		t.Errorf("openssl opens the file with another password:\n%s", out)
	}
	shown, _ := run(pub, "show cert own TVS")
	cert := filepath.Join(dir, "tvs.pem")
	if err := os.WriteFile(cert, []byte(shown[strings.Index(shown, "-----BEGIN"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := openssl("x509", "-in", cert, "-noout", "-subject", "-serial"); err != nil || !strings.Contains(out, "CN = test10pub.joemar2.lab") {
		t.Errorf("openssl x509: %v\n%s", err, out)
	}
}

// Whatever is wrong with the recovery key that is fetched, the message says it,
// and nothing changes.
func TestRemoteKeyRefused(t *testing.T) {
	c := newCluster(t, "note")
	pub := c.Publisher()
	shown, _ := run(pub, "show sftp key")
	own, _, _, _, err := ssh.ParseAuthorizedKey([]byte(shown))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good.p12", pub.State().RecoveryP12())
	write("rubbish.p12", []byte("rubbish"))
	write("large.p12", make([]byte, 2<<20))
	other := newCluster(t, "note")
	if err := other.Apply(operation.SetSecurityPassword("another-password")); err != nil {
		t.Fatal(err)
	}
	write("other.p12", other.Publisher().State().RecoveryP12())

	for _, login := range []struct {
		name string
		sftpd.Options
	}{
		{"password", sftpd.Options{Dir: dir, Login: sftpd.Password}},
		{"keyboard-interactive", sftpd.Options{Dir: dir, Login: sftpd.KeyboardInteractive}},
		{"public-key", sftpd.Options{Dir: dir, Login: sftpd.PublicKey, Keys: []ssh.PublicKey{own}}},
	} {
		t.Run(login.name, func(t *testing.T) {
			server, host, port := startSFTP(t, login.Options)
			at := net.JoinHostPort(host, port)
			before := state(t, c)
			try := func(want, user, file, password, confirm string) {
				t.Helper()
				out, code := run(pub, "utils itl reset remotekey "+at+" "+user+" "+file, password, confirm, adminPassword)
				if code != admin.Failed || !strings.Contains(out, want) || !strings.Contains(out, "Nothing was changed.") {
					t.Errorf("code %d, want %q in:\n%s", code, want, out)
				}
			}
			try("Host key verification failed.", "joemar2", "good.p12", "sftp-password", "no")
			if after := state(t, c); after != before {
				t.Error("the state has changed")
			}
			try("wrong password or key", "nobody", "good.p12", "sftp-password", "yes")
			before = state(t, c) // the host is known now
			if login.Login != sftpd.PublicKey {
				try("wrong password or key", "joemar2", "good.p12", "wrong", "")
			}
			try("no such file on the SFTP server", "joemar2", "none.p12", "sftp-password", "")
			try("the security password of this cluster does not open the file", "joemar2", "other.p12", "sftp-password", "")
			try("not a PKCS#12 file", "joemar2", "rubbish.p12", "sftp-password", "")
			try("larger than", "joemar2", "large.p12", "sftp-password", "")
			out, code := run(pub, "utils itl reset remotekey "+at+" joemar2 good.p12", "sftp-password", "wrong")
			if code != admin.Failed || !strings.Contains(out, "The CCM Administrator password is not correct.") {
				t.Errorf("wrong administrator: %d\n%s", code, out)
			}
			if after := state(t, c); after != before {
				t.Error("the state has changed")
			}
			if out, code := run(pub, "utils itl reset remotekey "+at+" joemar2 good.p12", "sftp-password", adminPassword); code != admin.Done {
				t.Errorf("the good file: %d\n%s", code, out)
			}
			server.Close()
			try("cannot be reached", "joemar2", "good.p12", "sftp-password", "")
		})
	}
	// Another server on a known address is refused.
	_, host, port := startSFTP(t, sftpd.Options{Dir: dir})
	if err := c.Apply(operation.RememberHost(net.JoinHostPort(host, port), []byte("the key of yesterday"))); err != nil {
		t.Fatal(err)
	}
	out, code := run(pub, "utils itl reset remotekey "+net.JoinHostPort(host, port)+" joemar2 good.p12", "sftp-password", adminPassword)
	if code != admin.Failed || !strings.Contains(out, "has changed") {
		t.Errorf("a changed host key: %d\n%s", code, out)
	}
	// It can be accepted on purpose.
	at := net.JoinHostPort(host, port)
	if out, _ := run(pub, "show sftp key"); !strings.Contains(out, "# known: "+at+" ") {
		t.Errorf("the known host is not shown:\n%s", out)
	}
	if out, code := run(pub, "unset sftp key 127.0.0.9"); code != admin.Failed || !strings.Contains(out, `no host key is known of "127.0.0.9:22". Nothing was changed.`) {
		t.Errorf("an unknown host: %d\n%s", code, out)
	}
	if out, code := run(pub, "unset sftp key "+at); code != admin.Done || !strings.Contains(out, "forgotten") {
		t.Errorf("unset sftp key: %d\n%s", code, out)
	}
	out, code = run(pub, "utils itl reset remotekey "+at+" joemar2 good.p12", "sftp-password", "yes", adminPassword)
	if code != admin.Done || !strings.Contains(out, "can't be established") {
		t.Errorf("the new host key, confirmed: %d\n%s", code, out)
	}
}

// What is wrong with a command is said, and nothing changes.
func TestRefused(t *testing.T) {
	c := newCluster(t, "note")
	before := state(t, c)
	for _, test := range []struct {
		node    int
		line    string
		answers []string
		code    int
		want    string
	}{
		{0, "nonsense", nil, admin.Usage, "No valid command entered"},
		{0, "utils", nil, admin.Usage, "No valid command entered"},
		{0, "show itl now", nil, admin.Usage, "Syntax: show itl"},
		{0, `utils service restart "Cisco Tftp`, nil, admin.Usage, "No valid command entered"},
		{0, "show \x01", nil, admin.Usage, "No valid command entered"},
		{0, "utils disaster_recovery restore nothing", nil, admin.Failed, "no backup nothing\nNothing was changed."},
		{0, "set cert regen tvs-trust", nil, admin.Usage, "not a valid certificate name. There are: CallManager, TVS, CAPF, tomcat, ITLRecovery, ipsec"},
		{0, "set cert regen", nil, admin.Usage, "Syntax: set cert regen UNIT"},
		{0, "set cert regen TVS", []string{"no"}, admin.Failed, "Nothing was changed."},
		{0, "set cert regen TVS", nil, admin.Failed, "Executed command unsuccessfully"},
		{0, "set cert import trust directory-trust", nil, admin.Usage, "not a trust store"},
		{0, "set cert import trust CallManager", []string{"rubbish"}, admin.Failed, "Nothing was changed."},
		{0, "set cert import trust CallManager", []string{"-----BEGIN CERTIFICATE-----", "cnVi", "-----END CERTIFICATE-----"}, admin.Failed, "Nothing was changed."},
		{0, "utils itl reset localkey", []string{"wrong"}, admin.Failed, "Nothing was changed."},
		{0, "utils itl reset localkey", nil, admin.Failed, "Executed command unsuccessfully"},
		{1, "utils itl reset localkey", nil, admin.Failed, "This is not a Publisher Node"},
		{1, "utils ctl set-cluster mixed-mode", nil, admin.Failed, "This is not a Publisher Node"},
		{0, "utils ctl set-cluster mixed-mode", []string{"n"}, admin.Failed, "Nothing was changed."},
		{0, "utils ctl update CTLFile", []string{"y"}, admin.Failed, "CTL File not found."},
		{0, "utils ctl reset localkey", []string{adminPassword}, admin.Failed, "CTL File not found."},
		{0, "utils service restart Cisco Nonsense", nil, admin.Usage, "not a service of this node"},
		{0, "file get tftp nonsense", nil, admin.Failed, "File not found: nonsense"},
		{0, "file get tftp ../state.json", nil, admin.Failed, "File not found: ../state.json"},
		{0, "file get tftp ITLRecovery.p12", []string{"n"}, admin.Failed, "Nothing was changed."},
		{0, "file get tftp ITLRecovery.p12", []string{"y", "127.0.0.1", "1", "u", "p", "/"}, admin.Failed, "cannot be reached"},
		{0, "file list tftp [", nil, admin.Usage, "not a file name"},
		{0, "show ctl", nil, admin.Failed, "Length of CTL file: 0"},
		{0, "show cert own nonsense", nil, admin.Failed, "There is no certificate nonsense"},
		{0, "show cert trust nonsense", nil, admin.Failed, "There is no certificate nonsense"},
		{0, "set password user security", []string{"y", "wrong", "another-password", "another-password"}, admin.Failed, "The old password is not correct"},
		{0, "set password user security", []string{"y", securityPassword, "another-password", "different"}, admin.Failed, "do not match"},
		{0, "set password user security", []string{"y", securityPassword, "short", "short"}, admin.Failed, "at least 6 characters"},
		{0, "set enterprise parameter Nonsense 1", nil, admin.Usage, "There is no parameter"},
		{0, `set enterprise parameter "TFTP File Signature Algorithm" MD5`, nil, admin.Usage, "SHA-1 or SHA-512"},
		{0, `set enterprise parameter "Certificate Key Length" 512`, nil, admin.Usage, "1024, 2048 or 4096"},
		{0, `set enterprise parameter "Prepare Cluster for Rollback to Pre 8.0" maybe`, nil, admin.Usage, "True or False"},
		{0, "utils network hostname test10sub", []string{"y"}, admin.Failed, "there is a node test10sub already"},
		{0, "utils network hostname under_score", []string{"y"}, admin.Failed, "invalid host name"},
		{0, "utils network domain a..b", []string{"y"}, admin.Failed, "invalid domain name"},
		{0, "utils network domain b.lab", []string{"n"}, admin.Failed, "Nothing was changed."},
		{0, "utils disaster_recovery backup ../x", nil, admin.Failed, "invalid backup name"},
		{0, "utils disaster_recovery restore none", []string{"y"}, admin.Failed, "no backup none"},
		{0, "help nonsense", nil, admin.Usage, "No valid command entered"},
	} {
		out, code := run(c.Nodes()[test.node], test.line, test.answers...)
		if code != test.code || !strings.Contains(out, test.want) {
			t.Errorf("%q: code %d, want %d with %q:\n%s", test.line, code, test.code, test.want, out)
		}
		if after := state(t, c); after != before {
			t.Fatalf("%q has changed the state", test.line)
		}
	}
}

// The commands that only show.
func TestShow(t *testing.T) {
	c := newCluster(t, "12.5")
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	for _, test := range []struct {
		node *cluster.Node
		line string
		want []string
	}{
		{pub, "show version active", []string{"Active Master Version: 12.5.1.10000-22"}},
		{pub, "show network cluster", []string{"test10pub.joemar2.lab test10pub Publisher", "test10sub.joemar2.lab test10sub Subscriber"}},
		{pub, "show cert list own", []string{"CallManager/CallManager.pem: Self-signed", "ITLRecovery/ITLRecovery.pem:", "CallManager-ECDSA/"}},
		{pub, "show cert list trust", []string{"CallManager-trust/test10pub.joemar2.lab.pem: ", "tomcat-trust/test10sub.joemar2.lab.pem: "}},
		{pub, "show cert own CallManager-ECDSA", []string{"Key: EC, P-256", "Subject Name: CN=test10pub.joemar2.lab-EC;"}},
		{pub, "show cert own tomcat/tomcat.pem", []string{"Key: RSA, 2048 bits"}},
		{pub, "show cert trust tomcat-trust/test10sub.joemar2.lab.pem", []string{"Subject Name: CN=test10sub.joemar2.lab;"}},
		{pub, "show enterprise parameters", []string{"Cluster Security Mode: 0", "TFTP File Signature Algorithm: SHA-1", "Prepare Cluster for Rollback to Pre 8.0: false"}},
		{pub, "show alerts", []string{"No alerts"}},
		{pub, "show sftp key", []string{"ssh-ed25519 "}},
		{pub, "file list tftp", []string{"ITLFile.tlv", "ITLRecovery.p12", "SEP64A0E71502CC.cnf.xml.sgn"}},
		{sub, "file list tftp *.p12", []string{"file count = 0"}},
		{pub, "utils service list", []string{"Cisco Tftp[STARTED]", "Cisco Trust Verification Service[STARTED]"}},
		{pub, "help utils itl", []string{"utils itl reset localkey", "utils itl reset remotekey HOST[:PORT] USER PATH"}},
		{pub, "?", []string{"show itl", "(of this bench alone)", "exit"}},
	} {
		out, code := run(test.node, test.line)
		if code != admin.Done {
			t.Errorf("%q: code %d\n%s", test.line, code, out)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q does not print %q:\n%s", test.line, want, out)
			}
		}
	}
	out, _ := run(pub, "utils service stop Cisco Tftp")
	list, _ := run(pub, "utils service list")
	if !strings.Contains(out, "Cisco Tftp[NOTRUNNING]") || !strings.Contains(list, "Cisco Tftp[STOPPED]  Commanded Out of Service") {
		t.Errorf("%s\n%s", out, list)
	}
	// A list is reset on active TFTP nodes alone.
	if out, code := run(pub, "utils itl reset localkey", adminPassword); code != admin.Done || !strings.Contains(out, "['test10sub']") {
		t.Errorf("%d\n%s", code, out)
	}
	if out, _ := run(pub, "utils service start tftp"); !strings.Contains(out, "Cisco Tftp[STARTED]") {
		t.Error(out)
	}
}

// A pasted certificate is in the trust store, once, and TVS knows it when it is
// restarted.
func TestImport(t *testing.T) {
	c, other := newCluster(t, "10.5"), newCluster(t, "10.5")
	shown, _ := run(other.Publisher(), "show cert own ITLRecovery")
	pasted := strings.Split(strings.TrimSpace(shown[strings.Index(shown, "-----BEGIN"):]), "\n")
	for range 2 {
		if out, code := run(c.Publisher(), "set cert import trust Phone-SAST", pasted...); code != admin.Done || !strings.Contains(out, "successful") {
			t.Fatalf("%d\n%s", code, out)
		}
	}
	if out, _ := run(c.Publisher(), "show cert list trust"); strings.Count(out, "Phone-SAST-trust/ITLRECOVERY_test10pub.joemar2.lab.pem") != 1 {
		t.Error(out)
	}
}

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		line, want string
		choices    string
	}{
		{"sh", "show ", "show"},
		{"show ", "show ", "alerts cert csr ctl enterprise itl network risdb sftp version"},
		{"show i", "show itl ", "itl"},
		{"utils itl reset ", "utils itl reset ", "localkey remotekey"},
		{"utils itl reset l", "utils itl reset localkey ", "localkey"},
		{"utils di", "utils disaster_recovery ", "disaster_recovery"},
		{"set cert regen Call", "set cert regen Call", ""},
		{"e", "exit ", "exit"},
		{"x", "x", ""},
	} {
		got, choices := admin.Complete(test.line)
		if got != test.want || strings.Join(choices, " ") != test.choices {
			t.Errorf("Complete(%q) = %q, %v", test.line, got, choices)
		}
	}
}

// A terminal edits, remembers and completes lines, and shows no password.
func TestTerminal(t *testing.T) {
	c := newCluster(t, "note")
	var screen bytes.Buffer
	keys := "show ver\tact\t\r" + // completion
		"\x1b[A\r" + // the line before once more
		"show vx\x7fersion active\r" + // backspace
		"show \t\x15" + // what there is; then the line is deleted
		"set password user security\ry\rsecret-one\rx\rx\r" +
		"\x1b[A\x03"
	term := console.NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader(keys), &screen}, admin.Prompt, admin.Complete)
	term.SetSize(100, 30)
	admin.New(c.Publisher(), term).Loop()
	out := screen.String()
	if n := strings.Count(out, "Active Master Version: 10.0.1.10000-24"); n != 3 {
		t.Errorf("the version was shown %d times, want 3:\n%q", n, out)
	}
	if strings.Contains(out, "secret-one") || !strings.Contains(out, "Please enter the old password: **********") || !strings.Contains(out, "The old password is not correct") {
		t.Errorf("a password on the screen:\n%q", out)
	}
	if !strings.Contains(out, "alerts  cert  csr  ctl  enterprise") {
		t.Errorf("the tab key does not show what there is:\n%q", out)
	}
}

// Times are those of the cluster's zone, and `utils ctl` has the words of the release.
func TestReleaseTexts(t *testing.T) {
	for release, want := range map[string][]string{
		"10.5": {"This operation sets the cluster to Mixed mode. Do you want to continue? (y/n):y\n\nMoving Cluster to Mixed Mode\nCluster set to Mixed Mode\nPlease Restart the TFTP and Cisco CallManager services on all nodes",
			"CTL file Updated\nPlease Restart", " UTC 20"},
		"14":   {"This operation will set the cluster to Mixed mode. Do you want to continue? (y/n):y\n", "You must restart Cisco CTIManager services on all the nodes in the cluster that have the service activated.", " UTC 20"},
		"note": {"Please Restart the TFTP", " PST 2014", "Validity From: Wed Feb 26 10:00:00 PST 2014"},
	} {
		c := newCluster(t, release)
		var all string
		for _, line := range []string{"utils ctl set-cluster mixed-mode", "utils ctl update CTLFile", "utils service restart Cisco Tftp", "show ctl", "show cert own CallManager"} {
			out, code := run(c.Publisher(), line, "y")
			if code != 0 {
				t.Errorf("%s: %s: exit code %d: %s", release, line, code, out)
			}
			all += out
		}
		for _, text := range append(want, "\n3       SIGNERID        2       ") {
			if !strings.Contains(all, text) {
				t.Errorf("%s: no %q in\n%s", release, text, all)
			}
		}
	}
}
