package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
)

// crowd is how many handsets run at once in one process.
const crowd = 1000

// handsets measures one handset's cycle, and a crowd of them against two nodes.
func (b *bench) handsets() error {
	p := noteWith(crowd)
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return err
	}
	nodes := c.Nodes()
	phone := func(i int) (*agent.Agent, error) {
		servers := []string{nodes[i%2].Address(), nodes[1-i%2].Address()}
		return agent.New(agent.Config{MAC: p.Phones[i].MAC, Model: p.Phones[i].Model, Servers: servers, Store: new(holdings.MemStore),
			Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now})
	}
	one, err := phone(0)
	if err != nil {
		return err
	}
	single := drive(1, b.span, func() error {
		if r := one.Cycle(context.Background()); r.Reason() != trust.Accepted {
			return fmt.Errorf("%v", r.Reason())
		}
		return nil
	})
	b.raw("one handset", single.perSecond)
	before := heap()
	phones := make([]*agent.Agent, crowd)
	for i := range phones {
		if phones[i], err = phone(i); err != nil {
			return err
		}
	}
	var failed atomic.Int64
	cycle := func() time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for _, a := range phones {
			wg.Go(func() {
				if r := a.Cycle(context.Background()); r.Reason() != trust.Accepted {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		return time.Since(begin)
	}
	var rates []float64
	for range rounds {
		rates = append(rates, crowd/cycle().Seconds())
		b.raw(fmt.Sprintf("%d handsets", crowd), rates[len(rates)-1])
	}
	each := (heap() - before) / crowd
	runtime.KeepAlive(phones)
	fmt.Fprintf(b.out, "\nhandsets: one alone %.0f cycles a second; %d at once against two nodes in the same process %.0f cycles a second, %d of %d cycles failed, %d KiB of heap a handset\n",
		single.perSecond, crowd, median(rates), failed.Load(), crowd*rounds, each>>10)
	return nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// noisy measures how clients are served while a thousand others idle, dawdle and send
// too much: the 99th percentile against the quiet one.
func (b *bench) noisy() error {
	const goal = 3.0
	p, err := profile.Builtin("11.5")
	if err != nil {
		return err
	}
	c, err := cluster.New(p, cluster.Options{SSH: admin.ServeSSH})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return err
	}
	pub := c.Publisher()
	services, err := services(pub, p.Phones[0].MAC)
	if err != nil {
		return err
	}
	quiet := make(map[string][]float64)
	for range rounds {
		for _, s := range services {
			quiet[s.name] = append(quiet[s.name], float64(drive(4, b.span, s.op).p99))
		}
	}
	fmt.Fprintf(b.out, "\n%-34s %12s %12s %7s %6s %7s\n", "99 % among 1,000 hostile clients", "quiet", "with them", "ratio", "goal", "errors")
	for _, s := range services {
		stop := harass(pub.Endpoint(s.name), crowd)
		var loud []float64
		failed := 0
		for range rounds {
			l := drive(4, b.span, s.op)
			loud = append(loud, float64(l.p99))
			failed += l.errors
		}
		stop()
		ratio := median(loud) / median(quiet[s.name])
		mark := ""
		if ratio > goal || failed > 0 {
			mark = "  missed"
		}
		fmt.Fprintf(b.out, "%-34s %12v %12v %7.2f %6.2f %7d%s\n", s.name, time.Duration(median(quiet[s.name])).Round(10*time.Microsecond),
			time.Duration(median(loud)).Round(10*time.Microsecond), ratio, goal, failed, mark)
	}
	return nil
}

// harass holds connections that are idle, slow, or send too much, until it is stopped.
// Those that the server ends are opened again, after a pause.
func harass(address string, clients int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var opened sync.WaitGroup
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(i*131 + 7)
	}
	for i := range clients {
		opened.Add(1)
		wg.Go(func() {
			first := true
			for ctx.Err() == nil {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
				if first {
					first = false
					opened.Done()
				}
				if err == nil {
					end := context.AfterFunc(ctx, func() { conn.Close() })
					switch i % 3 {
					case 0: // idle
						conn.Read(make([]byte, 1))
					case 1: // slow
						for n := 0; ctx.Err() == nil; n++ {
							if _, err := conn.Write([]byte("GET /"[n%5 : n%5+1])); err != nil {
								break
							}
							pause(ctx, 500*time.Millisecond)
						}
					case 2: // too much
						conn.Write(noise)
						conn.Read(make([]byte, 1))
					}
					end()
					conn.Close()
				}
				pause(ctx, time.Second)
			}
		})
	}
	opened.Wait()
	return func() { cancel(); wg.Wait() }
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// service is one of a node, and what asks it once.
type service struct {
	name string
	op   func() error
}

// services returns those of a node that phones and administrators meet; mac is that of a
// phone that the cluster has.
func services(pub *cluster.Node, mac string) ([]service, error) {
	client := &fetch.Client{Dial: new(net.Dialer).DialContext}
	get := func() error {
		_, err := client.Get(context.Background(), []string{pub.Address()}, "ITLFile.tlv", 1<<20)
		return err
	}
	dial := func(port string) func() error {
		return func() error {
			conn, err := net.Dial("tcp", pub.Endpoint(port))
			if err != nil {
				return err
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if port == "sip" {
				if _, err := io.WriteString(conn, "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=1\r\nTo: <sip:a>\r\nContent-Length: 0\r\n\r\n"); err != nil {
					return err
				}
			}
			_, err = conn.Read(make([]byte, 1))
			return err
		}
	}
	secure := func() error {
		conn, err := tls.Dial("tcp", pub.Endpoint("https"), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "GET /SEP"+mac+".cnf.xml.sgn HTTP/1.1\r\nHost:a\r\n\r\n"); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	tvsAsk, err := questionTo(pub)
	if err != nil {
		return nil, err
	}
	return []service{{"http", get}, {"https", secure}, {"tvs", tvsAsk}, {"sip", dial("sip")}, {"ssh", dial("ssh")}}, nil
}

// noteWith returns the cluster of the note with so many phones.
func noteWith(phones int) profile.Profile {
	p := profile.Note()
	p.Phones = nil
	for i := range phones {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("0011223%05X", i), Model: "CP-7965G"})
	}
	return p
}
