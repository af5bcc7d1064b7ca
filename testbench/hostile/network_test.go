package hostile_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// Limits of the handsets here, and what they come to for a whole cycle: five files of
// one server, three questions to TVS.
const (
	perFile    = 2 * time.Second
	tvsServer  = time.Second
	tvsTotal   = 2 * time.Second
	cycleLimit = 5*perFile + 3*tvsTotal
)

// phoneOf makes a handset of a cluster, with what the network does to it.
func phoneOf(t *testing.T, c *cluster.Cluster, model string, store holdings.Store, dial func(ctx context.Context, network, address string) (net.Conn, error),
	tftp func(ctx context.Context, address, name string, limit int) ([]byte, error)) *agent.Agent {
	t.Helper()
	a, err := agent.New(agent.Config{
		MAC: c.State().Phones[0].MAC, Model: model, Servers: []string{c.Publisher().Address()}, Store: store, Dial: dial, TFTP: tftp, Rand: random{rand.New(rand.NewPCG(3, 3))},
		PerFile: perFile, TVSPerServer: tvsServer, TVSTotal: tvsTotal, Now: c.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// attack is a cluster whose CallManager certificate has changed, and a phone that has
// not followed yet: it needs everything, TVS too.
type attack struct {
	c      *cluster.Cluster
	kept   *holdings.MemStore
	before map[string][]byte
}

func newAttack(t *testing.T, release string) *attack {
	t.Helper()
	p, err := profile.Builtin(release)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	a := &attack{c: c, kept: new(holdings.MemStore), before: make(map[string][]byte)}
	first := a.phone(t, "CP-8861", a.kept, new(net.Dialer).DialContext, fetch.PlainTFTP)
	for tries := 0; first.Cycle(t.Context()).Reason() != trust.Accepted && tries < 5; tries++ { // a busy machine
	}
	pub := c.Publisher().Name()
	if err := errors.Join(c.Apply(operation.Regenerate(pub, profile.CallManager)), c.Apply(operation.RestartTFTP(pub)), c.Apply(operation.Set(c.State().Phones[0].MAC, "webAccess", "0"))); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"itl", "config"} {
		if a.before[key], err = a.kept.Get(key); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *attack) phone(t *testing.T, model string, store holdings.Store, dial func(ctx context.Context, network, address string) (net.Conn, error),
	tftp func(ctx context.Context, address, name string, limit int) ([]byte, error)) *agent.Agent {
	return phoneOf(t, a.c, model, store, dial, tftp)
}

// store is a copy of what the phone holds.
func (a *attack) store(t *testing.T) *holdings.MemStore {
	t.Helper()
	s := new(holdings.MemStore)
	for key, value := range a.before {
		if err := s.Put(key, value); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run runs cycles of a handset, and checks that nothing is in force that the cluster
// has not made, and that each ends within its limits.
func (a *attack) run(t *testing.T, phone *agent.Agent, store *holdings.MemStore, cycles int) (last *boot.Report) {
	t.Helper()
	genuine := [][]byte{a.before["itl"], a.before["config"]}
	for _, n := range a.c.Nodes() {
		config, err := n.State().File("SEP"+a.c.State().Phones[0].MAC+".cnf.xml", false)
		if err != nil {
			t.Fatal(err)
		}
		byDefault, err := n.State().File("XMLDefault.cnf.xml", false)
		if err != nil {
			t.Fatal(err)
		}
		genuine = append(genuine, n.ITL(), config, byDefault)
	}
	for range cycles {
		begin := time.Now()
		last = phone.Cycle(t.Context())
		const slack = 5 * time.Second // for a busy machine
		if took := time.Since(begin); took > cycleLimit+slack {
			t.Errorf("a cycle took %v, its limits are %v", took, cycleLimit)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		phone.DeliverAlarms(ctx)
		cancel()
		for _, key := range []string{"itl", "config"} {
			value, err := store.Get(key)
			if err != nil {
				t.Errorf("%s is gone: %v", key, err)
				continue
			}
			known := false
			for _, g := range genuine {
				known = known || bytes.Equal(g, value)
			}
			if !known {
				t.Errorf("in force is a %s of %d bytes that the cluster has not made", key, len(value))
			}
		}
	}
	return last
}

// spoil is what is done to what a server sends: it reads from the server and writes to
// the client.
type spoil func(r *rand.Rand, client io.Writer, server io.Reader)

var spoils = map[string]spoil{
	"garbage": func(r *rand.Rand, c io.Writer, _ io.Reader) {
		b := make([]byte, 1+r.IntN(5000))
		random{r}.Read(b)
		c.Write(b)
	},
	"no end": func(r *rand.Rand, c io.Writer, s io.Reader) {
		head := make([]byte, 40)
		n, _ := s.Read(head)
		c.Write(head[:n])
		for b := bytes.Repeat([]byte("A: b\r\n"), 1000); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	},
	"a byte at a time": func(r *rand.Rand, c io.Writer, s io.Reader) {
		b := make([]byte, 1)
		for {
			if _, err := s.Read(b); err != nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	},
	"half": func(r *rand.Rand, c io.Writer, s io.Reader) {
		b := make([]byte, 1500)
		n, _ := s.Read(b)
		c.Write(b[:n/2])
	},
	"twice": func(r *rand.Rand, c io.Writer, s io.Reader) {
		b := make([]byte, 64<<10)
		for {
			n, err := s.Read(b)
			if err != nil {
				return
			}
			c.Write(b[:n])
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	},
	"flipped bits": func(r *rand.Rand, c io.Writer, s io.Reader) {
		b := make([]byte, 2000)
		for {
			n, err := s.Read(b)
			if err != nil {
				return
			}
			b[r.IntN(n)] ^= 1 << r.IntN(8)
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	},
	"silence": func(_ *rand.Rand, _ io.Writer, s io.Reader) { io.Copy(io.Discard, s) },
	"the end": func(*rand.Rand, io.Writer, io.Reader) {},
}

// through returns a dialer whose connections to a port are spoilt on their remedy.
func through(r *rand.Rand, to string, how spoil) func(ctx context.Context, network, address string) (net.Conn, error) {
	var mu sync.Mutex
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		server, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil || address != to {
			return server, err
		}
		client, mine := net.Pipe()
		mu.Lock()
		own := rand.New(rand.NewPCG(r.Uint64(), 5))
		mu.Unlock()
		go func() { io.Copy(server, mine); server.Close() }()
		go func() {
			how(own, mine, server)
			mine.Close()
			server.Close()
		}()
		return client, nil
	}
}

// A handset whose servers answer nonsense, too much, too little or not at all trusts
// nothing that it should not, and its cycles end in time.
func TestHostileServers(t *testing.T) {
	cycles := 6
	if testing.Short() {
		cycles = 2
	}
	for _, port := range []string{"http", "https", "tvs", "sip"} {
		for name, how := range spoils {
			t.Run(port+" "+name, func(t *testing.T) {
				t.Parallel()
				a := newAttack(t, "11.5")
				store := a.store(t)
				r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 9))
				phone := a.phone(t, "CP-8861", store, through(r, a.c.Publisher().Endpoint(port), how), fetch.PlainTFTP)
				last := a.run(t, phone, store, cycles)
				t.Logf("%s %s: %d cycles, nothing wrong accepted, the last: %v", port, name, cycles, last.Reason())
			})
		}
	}
}

// Impostors have TVS certificates that are right but for one thing. They vouch for a
// list of their own, which they serve too.
func TestImpostors(t *testing.T) {
	a := newAttack(t, "11.5")
	pub := a.c.Publisher()
	genuine := pub.Identity(profile.TVS)
	lookalike, err := pki.Lookalike(genuine, 2048)
	if err != nil {
		t.Fatal(err)
	}
	expired := pkitest.Make(t, pki.Request{Subject: pki.Name{CN: pub.State().FQDN()}, Bits: 2048, Years: 1})
	selfSigned := pkitest.Make(t, pki.Request{Subject: pki.Name{CN: genuine.Certificate.Subject.CommonName, OU: "tac", O: "cisco", L: "rtp", ST: "nc", C: "US"}, Bits: 2048})
	evil := pkitest.Identity(t, "evil.example.lab", pki.Service)
	for _, c := range []struct {
		name  string
		shows *pki.Identity
		held  func([]byte) []byte // what is done to the list that the phone holds
		want  trust.Reason
	}{
		{"the genuine key, to see that the attack would work", genuine, nil, trust.Accepted},
		{"another key, same names and serial number", lookalike, nil, trust.TVSUntrusted},
		{"same names, self-signed", selfSigned, nil, trust.TVSUntrusted},
		{"an older certificate of the same name, long expired", expired, nil, trust.TVSUntrusted},
		{"a certificate of the list without the role", pub.Identity(profile.CAPF), nil, trust.TVSUntrusted},
		{"the certificate that HTTPS has", pub.Identity(profile.CallManagerEC), nil, trust.TVSUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.shows.TLS()}, MinVersion: tls.VersionTLS12})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						req, err := tvs.Read(conn)
						if err != nil {
							return
						}
						res := tvs.Respond(req, vouchFor{evil}, 86400)
						if b, err := res.Append(nil); err == nil {
							conn.Write(b)
						}
					}()
				}
			}()
			list := pkitest.ITL(t, evil, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: evil.Certificate}, trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: evil.Certificate},
				trustlist.RecordSpec{Role: trustlist.TVS, Certificate: evil.Certificate}).Bytes()
			store := a.store(t)
			phone := a.phone(t, "CP-7965G", store, func(ctx context.Context, network, address string) (net.Conn, error) {
				for _, n := range a.c.Nodes() {
					if address == n.TVSAddress() {
						return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
					}
				}
				return nil, errors.New("the attacker has TFTP alone")
			}, func(_ context.Context, _, name string, limit int) ([]byte, error) {
				if name == "ITLSEP"+a.c.State().Phones[0].MAC+".tlv" {
					return list, nil
				}
				return nil, fetch.ErrNotFound
			})
			report := phone.Cycle(t.Context())
			if got := report.ITL.Verdict.Reason; got != c.want {
				t.Errorf("the list is %v, want %v", got, c.want)
			}
			held, err := store.Get("itl")
			if err != nil || bytes.Equal(held, list) != (c.want == trust.Accepted) {
				t.Errorf("the attacker's list in force: %v, %v", bytes.Equal(held, list), err)
			}
		})
	}
}

// vouchFor is a directory that vouches for one certificate in every role.
type vouchFor struct{ id *pki.Identity }

func (v vouchFor) Find(trust.Question) ([]byte, []trustlist.Role, bool) {
	return v.id.Certificate.Raw, []trustlist.Role{trustlist.SAST, trustlist.TFTP, trustlist.CCMTFTP}, true
}
func (v vouchFor) Vouch([]byte) ([]trustlist.Role, bool) {
	return []trustlist.Role{trustlist.TFTP}, true
}

// A hash in a record that is too short, or of another kind, matches nothing.
func TestShortHashes(t *testing.T) {
	id := pkitest.Identity(t, "tvs.example.lab", pki.Service)
	list := pkitest.ITL(t, id, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate}, trustlist.RecordSpec{Role: trustlist.TVS, Certificate: id.Certificate, Form: trustlist.Hashed})
	rec := &list.Records[1]
	if !rec.MatchesCertificate(id.Certificate) {
		t.Fatal("the whole hash does not match")
	}
	at := bytes.Index(list.Bytes(), rec.Value(trustlist.CertHash))
	size := len(rec.Value(trustlist.CertHash))
	for n := range size {
		data := append(bytes.Clone(list.Bytes()[:at-2]), byte(n>>8), byte(n))
		data = append(append(data, list.Bytes()[at:at+n]...), list.Bytes()[at+size:]...)
		total := rec.Length() - size + n
		data[rec.Offset()+3], data[rec.Offset()+4] = byte(total>>8), byte(total)
		short, err := trustlist.Parse(trustlist.ITL, data)
		if err != nil {
			t.Fatalf("%d bytes of hash: %v", n, err)
		}
		if short.Records[1].MatchesCertificate(id.Certificate) {
			t.Errorf("%d bytes of a hash match", n)
		}
	}
}

// relay stands between a TFTP client and a server. The other end of each transfer has
// sockets of its own, as TFTP has it.
type relay struct {
	front  *net.UDPConn
	server *net.UDPAddr
	how    func(r *rand.Rand, packet []byte, send func(from *net.UDPConn, b []byte), own, other *net.UDPConn)
	r      *rand.Rand
	mu     sync.Mutex
}

func (l *relay) serve() {
	buf := make([]byte, 64<<10)
	for {
		n, client, err := l.front.ReadFromUDP(buf)
		if err != nil {
			return
		}
		l.transfer(client, bytes.Clone(buf[:n]))
	}
}

func (l *relay) transfer(client *net.UDPAddr, request []byte) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	own, err1 := net.ListenUDP("udp", local)
	other, err2 := net.ListenUDP("udp", local)
	back, err3 := net.ListenUDP("udp", local)
	if errors.Join(err1, err2, err3) != nil {
		return
	}
	deadline := time.Now().Add(perFile)
	for _, c := range []*net.UDPConn{own, other, back} {
		c.SetDeadline(deadline)
	}
	back.WriteToUDP(request, l.server)
	var peer *net.UDPAddr
	var mu sync.Mutex
	go func() { // what the client sends on
		defer own.Close()
		b := make([]byte, 64<<10)
		for {
			n, _, err := own.ReadFromUDP(b)
			if err != nil {
				return
			}
			mu.Lock()
			to := peer
			mu.Unlock()
			if to != nil {
				back.WriteToUDP(b[:n], to)
			}
		}
	}()
	go func() { // what the server sends
		defer back.Close()
		defer other.Close()
		b := make([]byte, 64<<10)
		for {
			n, from, err := back.ReadFromUDP(b)
			if err != nil {
				return
			}
			mu.Lock()
			peer = from
			mu.Unlock()
			l.mu.Lock()
			l.how(l.r, bytes.Clone(b[:n]), func(c *net.UDPConn, b []byte) { c.WriteToUDP(b, client) }, own, other)
			l.mu.Unlock()
		}
	}()
}

// Transfers by TFTP through a network that loses, doubles, turns round and forges
// datagrams.
func TestHostileTFTP(t *testing.T) {
	type send = func(from *net.UDPConn, b []byte)
	var held []byte
	empties := 0
	hows := map[string]func(r *rand.Rand, p []byte, send send, own, other *net.UDPConn){
		"10 % lost": func(r *rand.Rand, p []byte, send send, own, _ *net.UDPConn) {
			if r.IntN(10) > 0 {
				send(own, p)
			}
		},
		"doubled": func(_ *rand.Rand, p []byte, send send, own, _ *net.UDPConn) { send(own, p); send(own, p) },
		"turned round": func(r *rand.Rand, p []byte, send send, own, _ *net.UDPConn) {
			if held == nil && r.IntN(4) == 0 {
				held = p
				return
			}
			send(own, p)
			if held != nil {
				send(own, held)
				held = nil
			}
		},
		"an empty datagram now and then": func(_ *rand.Rand, p []byte, send send, own, other *net.UDPConn) {
			if empties++; empties%25 == 1 {
				send(own, nil)
				send(other, nil)
			}
			send(own, p)
		},
		"empty datagrams": func(_ *rand.Rand, p []byte, send send, own, _ *net.UDPConn) { send(own, nil); send(own, p) },
		"another port": func(_ *rand.Rand, p []byte, send send, own, other *net.UDPConn) {
			forged := bytes.Clone(p)
			for i := 4; i < len(forged); i++ {
				forged[i] ^= 0x55
			}
			send(other, forged)
			send(own, p)
		},
		"only another port": func(_ *rand.Rand, p []byte, send send, _, other *net.UDPConn) { send(other, p) },
		"another transfer": func(r *rand.Rand, p []byte, send send, own, _ *net.UDPConn) {
			stray := append([]byte{0, 3, byte(r.IntN(256)), byte(r.IntN(256))}, make([]byte, 512)...)
			send(own, stray)
			send(own, p)
		},
		"garbage": func(r *rand.Rand, p []byte, send send, own, _ *net.UDPConn) {
			b := make([]byte, 1+r.IntN(600))
			random{r}.Read(b)
			send(own, b)
		},
		"no end": func(_ *rand.Rand, p []byte, send send, own, _ *net.UDPConn) {
			if len(p) >= 4 && p[1] == 3 && len(p) < 516 {
				p = append(p, make([]byte, 516-len(p))...)
			}
			send(own, p)
		},
		"flipped bits": func(r *rand.Rand, p []byte, send send, own, _ *net.UDPConn) {
			if len(p) > 4 {
				p[4+r.IntN(len(p)-4)] ^= 1 << r.IntN(8)
			}
			send(own, p)
		},
	}
	cycles := 3
	if testing.Short() {
		cycles = 1
	}
	for name, how := range hows {
		t.Run(name, func(t *testing.T) {
			if name != "turned round" { // which has a datagram in hand; empties belongs to one test
				t.Parallel()
			}
			a := newAttack(t, "note")
			server, err := net.ResolveUDPAddr("udp", a.c.Publisher().Endpoint("tftp"))
			if err != nil {
				t.Fatal(err)
			}
			front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { front.Close() })
			l := &relay{front: front, server: server, how: how, r: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 11))}
			go l.serve()
			store := a.store(t)
			phone := a.phone(t, "CP-7965G", store, func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == a.c.Publisher().Address() {
					return nil, errors.New("no HTTP here")
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}, func(ctx context.Context, _, name string, limit int) ([]byte, error) {
				return fetch.PlainTFTP(ctx, front.LocalAddr().String(), name, limit)
			})
			last := a.run(t, phone, store, cycles)
			t.Logf("TFTP, %s: %d cycles, nothing wrong accepted, the last: %v", name, cycles, last.Reason())
			through := []string{"doubled", "another transfer", "empty datagrams", "an empty datagram now and then"}
			if slices.Contains(through, name) && last.ITL.Transport != "TFTP" {
				t.Errorf("the phone did not get through: %v", fmt.Sprint(last.ITL.Verdict.Detail))
			}
		})
	}
}
