package hostile_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/settings"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/agent/vault"
	"itlagent/platform/board"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
	"itlagent/testbench/p12"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
	"itlagent/testbench/scenario"
	"itlagent/testbench/sip"
	"itlagent/testbench/vaultimage"
)

var (
	mutations = flag.Int("mutations", 10_000, "mutations of each sample")
	onlySeed  = flag.Uint64("seed", 0, "try the mutation of this seed alone")
)

// reader is something that reads what others have written.
type reader struct {
	name    string
	samples [][]byte
	// read returns what is wrong with what was made of the data, "" where nothing is.
	read func(data []byte) string
	// most is how many bytes of memory an input may take, beside 64 for each of its
	// own.
	most uint64
}

// Whatever is done to a file or a message, nothing panics, nothing is accepted that
// should not be, and memory stays within its bounds.
func TestMutations(t *testing.T) {
	n := *mutations
	if testing.Short() {
		n = min(n, 300)
	}
	for _, r := range readers(t) {
		t.Run(r.name, func(t *testing.T) {
			count := n * len(r.samples)
			base := uint64(time.Now().UnixNano())
			if *onlySeed != 0 {
				base, count = *onlySeed, 1
			}
			var most uint64
			var longest time.Duration
			var before, after runtime.MemStats
			for i := range uint64(count) {
				rng := rand.New(rand.NewPCG(base+i, 7))
				data := mutate(rng, r.samples[rng.IntN(len(r.samples))])
				runtime.ReadMemStats(&before)
				begin := time.Now()
				problem := guarded(r.read, data)
				longest = max(longest, time.Since(begin))
				runtime.ReadMemStats(&after)
				took := after.TotalAlloc - before.TotalAlloc
				most = max(most, took)
				if !racing && took > r.most+64*uint64(len(data)) {
					problem = fmt.Sprintf("%d bytes of memory for an input of %d bytes", took, len(data))
				}
				if problem != "" {
					t.Fatalf("seed %d: %s\n%s", base+i, problem, hex.EncodeToString(data))
				}
			}
			t.Logf("%s: %d mutations of %d samples: 0 panics, 0 wrong accepts, at most %d bytes of memory and %v", r.name, count, len(r.samples), most, longest.Round(10*time.Microsecond))
		})
	}
}

func guarded(read func([]byte) string, data []byte) (problem string) {
	defer func() {
		if p := recover(); p != nil {
			buf := make([]byte, 8<<10)
			problem = fmt.Sprintf("panic: %v\n%s", p, buf[:runtime.Stack(buf, false)])
		}
	}()
	return read(data)
}

// store is an alarm.Store of one value.
type store []byte

func (s store) Get(string) ([]byte, error) {
	if s == nil {
		return nil, fs.ErrNotExist
	}
	return s, nil
}
func (s store) Put(string, []byte) error { return nil }

// readers lists everything that reads, with samples.
func readers(t *testing.T) []reader {
	call, tvsID, recovery, other := pkitest.Identity(t, "pub.example.lab", pki.Service), pkitest.Identity(t, "pub.example.lab", pki.Service),
		pkitest.Identity(t, "ITLRECOVERY_pub", pki.Recovery), pkitest.Identity(t, "pub.example.lab", pki.Service)
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: call.Certificate}, {Role: trustlist.TFTP, Certificate: call.Certificate},
		{Role: trustlist.TVS, Certificate: tvsID.Certificate, Form: trustlist.Hashed}, {Role: trustlist.SAST, Certificate: recovery.Certificate},
		{Role: trustlist.CCMTFTP, Certificate: call.Certificate, Form: trustlist.Blank, DNSName: "pub"},
	}
	list := func(kind trustlist.Kind, signer *pki.Identity, digest trustlist.Digest) []byte {
		return pkitest.List(t, trustlist.ListSpec{Kind: kind, Digest: digest, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Records: records}, signer).Bytes()
	}
	held := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Records: records}, call)
	state := trust.State{ITL: held, Servers: 1, Now: pkitest.Time}
	// decided reads a signed file as a phone does that holds the list. Only the samples
	// themselves may be accepted.
	decided := func(kind trustlist.Kind, samples [][]byte, then func(*trustlist.File) string) func([]byte) string {
		return func(data []byte) string {
			for _, k := range []trustlist.Kind{trustlist.ITL, trustlist.CTL, trustlist.SGN, trustlist.ENC} {
				if problem := disagree(k, data); problem != "" {
					return fmt.Sprintf("as %v: %s", k, problem)
				}
				if k == kind {
					continue
				}
				if v := trust.Decide(state, trust.Candidate{Kind: k, Data: data}); v.Accepted {
					return fmt.Sprintf("accepted as %v via %v", k, v.Via)
				}
			}
			v := trust.Decide(state, trust.Candidate{Kind: kind, Data: data})
			switch {
			case !v.Accepted:
				return ""
			case !slices.ContainsFunc(samples, func(s []byte) bool { return bytes.Equal(s, data) }):
				return fmt.Sprintf("accepted via %v", v.Via)
			case then != nil:
				return then(v.File)
			}
			return ""
		}
	}
	signed := func(kind trustlist.Kind, name string, then func(*trustlist.File) string, samples ...[]byte) reader {
		return reader{name: name, samples: samples, read: decided(kind, samples, then), most: 256 << 10}
	}
	const config = "SEP64A0E71502CC.cnf.xml"
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	xml, err := c.Publisher().State().File(config, false)
	if err != nil {
		t.Fatal(err)
	}
	boardFile, err := os.ReadFile("../../firmware/boards/qemu-arm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := other.PEM(true)
	if err != nil {
		t.Fatal(err)
	}
	phone := pkitest.Make(t, pki.Request{Subject: pkitest.Name("CP-8861-SEP64A0E71502CC"), Bits: 2048})
	encrypted, err := trustlist.EncryptFile(trustlist.EncryptSpec{Name: config + ".enc.sgn", Content: xml, To: phone.Certificate.PublicKey.(*rsa.PublicKey), Time: pkitest.Time},
		random{rand.New(rand.NewPCG(1, 1))}, call.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	all := []reader{
		signed(trustlist.ITL, "ITL", nil, list(trustlist.ITL, call, trustlist.SHA1), list(trustlist.ITL, recovery, trustlist.SHA512), list(trustlist.ITL, other, trustlist.SHA256)),
		signed(trustlist.CTL, "CTL", nil, list(trustlist.CTL, call, trustlist.SHA1)),
		signed(trustlist.SGN, "signed file", nil, pkitest.Signed(t, config+".sgn", string(xml), call, trustlist.SHA1)),
		signed(trustlist.ENC, "encrypted file", func(f *trustlist.File) string {
			plain, err := f.Decrypt(phone.Key.(*rsa.PrivateKey))
			if err != nil || !bytes.Equal(plain, xml) {
				return fmt.Sprintf("decrypted to %d bytes, %v", len(plain), err)
			}
			return ""
		}, encrypted),
	}
	// The encrypted part alone, behind a signature that nobody looks at.
	all = append(all, reader{name: "decryption", samples: [][]byte{encrypted}, most: 512 << 10, read: func(data []byte) string {
		f, err := trustlist.Parse(trustlist.ENC, data)
		if err != nil {
			return ""
		}
		plain, err := f.Decrypt(phone.Key.(*rsa.PrivateKey))
		if err == nil && !bytes.Equal(plain, xml) {
			return fmt.Sprintf("decrypted to another text of %d bytes", len(plain))
		}
		return ""
	}})
	all = append(all,
		reader{name: "p12", samples: [][]byte{c.Publisher().State().RecoveryP12()}, most: 4 << 20, read: func(data []byte) string {
			id, err := p12.Open(data, c.State().SecurityPassword)
			if err == nil && !id.Certificate.Equal(c.State().Recovery().Certificate) {
				return "another key"
			}
			return ""
		}},
		reader{name: "configuration", samples: [][]byte{xml, []byte("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Default><TVS><members><member priority=\"1\"><address>a</address></member></members></TVS></Default>")},
			most: 1 << 20, read: func(data []byte) string {
				s, err := settings.Parse(data)
				if err == nil && len(s.TVS) > 5 {
					return fmt.Sprintf("%d TVS servers", len(s.TVS))
				}
				return ""
			}},
		reader{name: "profile", samples: [][]byte{[]byte(siteProfile)}, most: 8 << 20, read: func(data []byte) string {
			if p, err := profile.Parse(data); err == nil && len(p.Nodes) == 0 {
				return "a cluster of no node"
			}
			return ""
		}},
		reader{name: "board", samples: [][]byte{boardFile}, most: 8 << 20, read: func(data []byte) string {
			board.Parse(data)
			return ""
		}},
		reader{name: "scenario", samples: [][]byte{[]byte(scenarioFile)}, most: 8 << 20, read: func(data []byte) string {
			if s, err := scenario.Parse(data); err == nil && len(s.Steps) == 0 {
				return "a scenario without steps"
			}
			return ""
		}},
		vaultReader(t),
		tvsReader(t, state, other),
	)
	var alarms []byte
	a := alarm.Info{Device: "SEP64A0E71502CC", Address: "127.0.0.1", ITL: make([]byte, 20), ITLServer: "pub", Status: 3}
	alarms = fmt.Appendf(nil, "REFER sip:192.168.7.200 SIP/2.0\r\nVia: SIP/2.0/TCP 192.168.7.104:51778;branch=z9\r\nTo: <sip:192.168.7.200>\r\nContent-Length: %d\r\nContent-Type: application/x-cisco-alarm+xml\r\n\r\n%s", len(a.Body()), a.Body())
	line := []byte(events.Event{Seq: 7, Time: pkitest.Time, Node: "pub", App: "UC_CALLMANAGER", Severity: 6, Name: "DeviceTLInfo",
		Tags: []events.Tag{{Key: "DeviceName", Value: "SEP64A0E71502CC"}, {Key: "ITL_Signature", Value: alarm.Signature(make([]byte, 20))}}, Text: "Alarm of a phone"}.String())
	return append(all,
		reader{name: "SIP request", samples: [][]byte{alarms}, most: 256 << 10, read: func(data []byte) string {
			req, err := sip.NewReader(bytes.NewReader(data)).Next()
			if err != nil {
				return ""
			}
			if alarm, err := req.Alarm(); err == nil {
				evidence.FromAlarm(alarm, time.Time{})
			}
			if len(req.Body) > sip.MaxBody {
				return fmt.Sprintf("a body of %d bytes", len(req.Body))
			}
			return ""
		}},
		reader{name: "log line", samples: [][]byte{line}, most: 64 << 10, read: func(data []byte) string {
			if e, err := events.Parse(string(data)); err == nil {
				if again, err := events.Parse(e.String()); err != nil && len(e.String()) < events.MaxLine {
					return fmt.Sprintf("%q is not read again: %v", again, err)
				}
			}
			evidence.ParseLine(data)
			return ""
		}},
		reader{name: "queue of alarms", samples: [][]byte{[]byte("0\n\"SEP64A0E71502CC\" \"127.0.0.1\" \"\" \"\" \"N/A\" \"0102030405060708090a0b0c0d0e0f1011121314\" \"pub\" \"3\"\n"),
			[]byte("\x93\x00\x00\x91\x98\xafSEP64A0E71502CC\xa9127.0.0.1\xa0\xc4\x00\xa3N/A\xc4\x04\x01\x02\x03\x04\xa3pub\x03")}, most: 64 << 10,
			read: func(data []byte) string {
				q, _ := alarm.Open(store(data), "alarms")
				if waiting, _ := q.Waiting(); len(waiting) > alarm.MaxQueued {
					return fmt.Sprintf("%d alarms", len(waiting))
				}
				return ""
			}},
		reader{name: "status messages", samples: [][]byte{[]byte("1393445761 1393445821 3 \"Trust List Update Failed\"\n"), []byte("\x91\x91\x94\x01\x02\x03\xadITL installed")}, most: 256 << 10,
			read: func(data []byte) string {
				kept, _ := status.NewKept(store(data), "messages")
				if n := len(kept.Messages()); n > 64 {
					return fmt.Sprintf("%d messages", n)
				}
				return ""
			}},
		reader{name: "certificate in PEM", samples: [][]byte{pem}, most: 1 << 20, read: func(data []byte) string {
			pki.Load(data)
			return ""
		}},
	)
}

// random is a source of bytes that are the same each time.
type random struct{ *rand.Rand }

func (r random) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

// vaultReader reads a phone's flash, with the phone's own code and with the bench's:
// no value is ever read that was not stored.
func vaultReader(t *testing.T) reader {
	g := flash.Geometry{Size: 12 << 10, EraseSize: 4 << 10, ProgramSize: 1}
	d := flashtest.New(t, g)
	opts := vault.Options{Rand: random{rand.New(rand.NewPCG(2, 2))}, Format: vault.FormatErased}
	v, err := vault.Open(d, opts)
	if err != nil {
		t.Fatal(err)
	}
	stored := make(map[string]bool)
	for i := range 9 {
		value := bytes.Repeat([]byte{byte('a' + i)}, 100+i)
		stored[string(value)] = true
		if err := v.Put([]string{"itl", "ctl", "config"}[i%3], value); err != nil {
			t.Fatal(err)
		}
	}
	return reader{name: "flash", samples: [][]byte{slices.Clone(d.Bytes())}, most: 2 << 20, read: func(image []byte) string {
		d := flashtest.New(t, g)
		d.Load(image[:min(len(image), g.Size)])
		if v, err := vault.Open(d, vault.Options{Rand: opts.Rand}); err == nil {
			for _, key := range []string{"itl", "ctl", "config"} {
				if value, err := v.Get(key); err == nil && !stored[string(value)] {
					return fmt.Sprintf("the vault gives %s a value of %d bytes that was never stored", key, len(value))
				}
			}
		}
		if img, err := vaultimage.Read(image, g.EraseSize); err == nil {
			for i := range img.Keys {
				if k := &img.Keys[i]; k.Revision != 0 && !k.Deleted && len(k.Value) > 0 && !stored[string(k.Value)] {
					return fmt.Sprintf("the image gives %s a value that was never stored", k.Name)
				}
			}
		}
		return ""
	}}
}

// tvsReader reads TVS messages, and decides with what they say: a signer is trusted
// only with its own certificate.
func tvsReader(t *testing.T, state trust.State, signer *pki.Identity) reader {
	cert := signer.Certificate
	q := trust.Question{Subject: trustlist.FormatName(cert.Subject), Issuer: trustlist.FormatName(cert.Issuer), Serial: cert.SerialNumber.Bytes()}
	var samples [][]byte
	for _, m := range []tvs.Message{
		{Type: tvs.QueryCertReq, Session: 1001, Device: "CP-8861-SEPB000B4BA0AEE", Subject: q.Subject, Issuer: q.Issuer, Serial: q.Serial},
		{Type: tvs.QueryCertRes, Session: 1001, Certificate: cert.Raw, Roles: []trustlist.Role{trustlist.SAST, trustlist.TFTP}, TTL: 86400},
		{Type: tvs.CertVerificationReq, Session: 1002, Device: "CP-8861-SEPB000B4BA0AEE", Certificate: cert.Raw},
		{Type: tvs.CertVerificationRes, Session: 1002, Roles: []trustlist.Role{trustlist.AppServer}, TTL: 86400},
	} {
		b, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, b)
	}
	list := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: cert}}}, signer).Bytes()
	return reader{name: "TVS message", samples: samples, most: 256 << 10, read: func(data []byte) string {
		m, err := tvs.Read(bytes.NewReader(data))
		if err != nil {
			return ""
		}
		tvs.Respond(m, nobody{}, 1)
		if m.Type != tvs.QueryCertRes {
			return ""
		}
		answer := trust.Answer{Question: q, Server: "tvs", Valid: m.Status == 0, Cert: m.Certificate, Roles: m.Roles}
		v := trust.Decide(state, trust.Candidate{Kind: trustlist.ITL, Data: list}).Answered(state, answer)
		if !v.Accepted {
			return ""
		}
		got, err := x509.ParseCertificate(m.Certificate)
		if err != nil || !got.PublicKey.(*rsa.PublicKey).Equal(cert.PublicKey) {
			return "a signer is trusted with another key"
		}
		return ""
	}}
}

// nobody is a directory without certificates.
type nobody struct{}

func (nobody) Find(trust.Question) ([]byte, []trustlist.Role, bool) { return nil, nil, false }
func (nobody) Vouch([]byte) ([]trustlist.Role, bool)                { return nil, false }

const siteProfile = `name: site
release: "11.5"
address: 127.0.0.1
clock: 2014-02-26T18:00:00Z
organisation: {ou: voice, o: example, l: rtp, st: nc, c: US}
keySizes: {CallManager: 2048}
nodes:
  - {name: pub, domain: example.lab, role: publisher, port: 17000}
  - {name: sub, domain: example.lab, services: [tftp, tvs]}
phones:
  - {mac: 64A0E71502CC, model: CP-7965G, settings: {webAccess: "0"}}
`

const scenarioFile = `name: stranger
about: a phone is pointed at a stranger's cluster
clusters:
  - {name: own, profile: "10.5"}
steps:
  - reset: phone
    expect: {trusted: true, via: first-use, message: ITL installed}
  - admin: set cert regen CallManager
    answers: ["yes"]
  - clock: +6m
  - fault: {node: test10pub, service: tftp, kind: busy}
`
