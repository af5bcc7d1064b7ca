package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pin/tftp/v3"

	"itlagent/agent/fetch"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// load is what came of asking a server for a while.
type load struct {
	perSecond float64
	p50, p99  time.Duration
	errors    int
}

// drive runs an operation from so many clients at once for a while.
func drive(clients int, span time.Duration, op func() error) load {
	var mu sync.Mutex
	var took []time.Duration
	var failed atomic.Int64
	begin := time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			var own []time.Duration
			for time.Since(begin) < span || len(own) == 0 {
				t := time.Now()
				if err := op(); err != nil {
					if failed.Add(1); failed.Load() > int64(clients) {
						break
					}
					own = append(own, time.Since(t))
					continue
				}
				own = append(own, time.Since(t))
			}
			mu.Lock()
			took = append(took, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	all := time.Since(begin)
	slices.Sort(took)
	return load{perSecond: float64(len(took)) / all.Seconds(), p50: took[len(took)/2], p99: took[len(took)*99/100], errors: int(failed.Load())}
}

// contest compares two servers under the same load, by turns. A goal of 0 is none.
func (b *bench) contest(what, peerName string, clients int, goal float64, ours, peer func() error) {
	var a, p []load
	for range rounds {
		a = append(a, drive(clients, b.span, ours))
		p = append(p, drive(clients, b.span, peer))
	}
	mid := func(loads []load) (l load) {
		var rate, p50, p99 []float64
		for _, one := range loads {
			rate, p50, p99 = append(rate, one.perSecond), append(p50, float64(one.p50)), append(p99, float64(one.p99))
			l.errors += one.errors
		}
		l.perSecond, l.p50, l.p99 = median(rate), time.Duration(median(p50)), time.Duration(median(p99))
		return l
	}
	mine, theirs := mid(a), mid(p)
	for i := range a {
		b.raw(what+"/ours", a[i].perSecond)
		b.raw(what+"/"+peerName, p[i].perSecond)
	}
	ratio := mine.perSecond / theirs.perSecond
	mark, wanted := "", "-"
	if goal > 0 {
		wanted = fmt.Sprintf("%.2f", goal)
	}
	if ratio < goal || mine.errors > 0 {
		mark = "  missed"
	}
	fmt.Fprintf(b.out, "%-44s %10.0f %10.0f %7.2f %5s %9s %9s %6d%s\n", what+", "+peerName, mine.perSecond, theirs.perSecond, ratio, wanted,
		mine.p50.Round(10*time.Microsecond), mine.p99.Round(10*time.Microsecond), mine.errors, mark)
}

func (b *bench) contestHead(title string) {
	fmt.Fprintf(b.out, "\n%-44s %10s %10s %7s %5s %9s %9s %6s\n", title, "ours /s", "peer /s", "ratio", "goal", "median", "99 %", "errors")
}

// tvsLoads compares the TVS service with a bare TLS server that reads as much and
// writes as much.
func (b *bench) tvsLoads() error {
	b.contestHead("TVS answers, against a bare TLS echo")
	for _, ec := range []bool{false, true} {
		p := profile.Note()
		p.Release, p.Name, p.TVSWithEC = "10.5", "bench", ec
		c, err := cluster.New(p, cluster.Options{})
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Start(); err != nil {
			return err
		}
		pub := c.Publisher()
		question, answer, err := exampleOf(pub)
		if err != nil {
			return err
		}
		echo, err := echoServer(pub.Identity(profile.TVS), len(question), answer)
		if err != nil {
			return err
		}
		defer echo.Close()
		name := "RSA-2048"
		if ec {
			name = "P-256"
		}
		conf := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
		for _, clients := range []int{1, 16, 64, 1000} {
			b.contest(fmt.Sprintf("%s, %d clients", name, clients), "echo", clients, 0.9,
				func() error { return ask(pub.TVSAddress(), conf, question, len(answer)) },
				func() error { return ask(echo.Addr().String(), conf, question, len(answer)) })
		}
		if err := b.keptConnection(name, pub.TVSAddress(), echo.Addr().String(), conf, question, len(answer)); err != nil {
			return err
		}
	}
	fmt.Fprintln(b.out, "Sessions are not resumed: CUCM's phones do not, and the service issues no tickets.")
	return nil
}

// keptConnection asks again and again over one connection.
func (b *bench) keptConnection(name, ours, echo string, conf *tls.Config, question []byte, size int) error {
	var ops [2]func() error
	for i, address := range []string{ours, echo} {
		conn, err := tls.Dial("tcp", address, conf)
		if err != nil {
			return err
		}
		defer conn.Close()
		buf := make([]byte, size)
		ops[i] = func() error {
			if _, err := conn.Write(question); err != nil {
				return err
			}
			_, err := io.ReadFull(conn, buf)
			return err
		}
	}
	b.contest(name+", one kept connection", "echo", 1, 0, ops[0], ops[1])
	return nil
}

// ask asks one question over a connection of its own.
func ask(address string, conf *tls.Config, question []byte, size int) error {
	raw, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn := tls.Client(raw, conf)
	if _, err := conn.Write(question); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, size))
	return err
}

// echoServer reads questions of one size and writes one answer to each.
func echoServer(id *pki.Identity, size int, answer []byte) (net.Listener, error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{id.TLS()}, SessionTicketsDisabled: true})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, size)
				for {
					if _, err := io.ReadFull(conn, buf); err != nil {
						return
					}
					if _, err := conn.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l, nil
}

// fileLoads compares TFTP with tftpd-hpa and HTTP with nginx, where Debian's packages
// are installed.
func (b *bench) fileLoads() error {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return err
	}
	pub := c.Publisher()
	dir, err := os.MkdirTemp("", "itlagent-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	const name = "ITLFile.tlv"
	if err := os.WriteFile(filepath.Join(dir, name), pub.ITL(), 0o644); err != nil {
		return err
	}
	b.contestHead("a list of 5,302 bytes")
	stop, address, err := tftpd(dir)
	if err != nil {
		fmt.Fprintf(b.out, "TFTP: not compared: %v\n", err)
	} else {
		for _, block := range []int{512, 1428, 8192} {
			for _, clients := range []int{1, 1000} {
				b.contest(fmt.Sprintf("TFTP, blocks of %d, %d at once", block, clients), "tftpd-hpa", clients, 1,
					func() error { return receive(pub.Endpoint("tftp"), name, block, pub.ITL()) },
					func() error { return receive(address, name, block, pub.ITL()) })
			}
		}
		stop()
	}
	stop, address, err = nginx(dir)
	if err != nil {
		fmt.Fprintf(b.out, "HTTP: not compared: %v\n", err)
		return nil
	}
	defer stop()
	client := &fetch.Client{Dial: new(net.Dialer).DialContext}
	get := func(server string) func() error {
		return func() error {
			f, err := client.Get(context.Background(), []string{server}, name, 1<<20)
			if err == nil && !bytes.Equal(f.Data, pub.ITL()) {
				err = errors.New("another file")
			}
			return err
		}
	}
	for _, clients := range []int{1, 16, 1000} {
		b.contest(fmt.Sprintf("HTTP, %d at once", clients), "nginx", clients, 1, get(pub.Address()), get(address))
	}
	return nil
}

func receive(address, name string, block int, want []byte) error {
	c, err := tftp.NewClient(address)
	if err != nil {
		return err
	}
	c.SetTimeout(500 * time.Millisecond)
	c.SetRetries(20)
	c.SetBackoff(func(int) time.Duration { return 0 })
	if block != 512 {
		c.SetBlockSize(block)
	}
	from, err := c.Receive(name, "octet")
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if _, err := from.WriteTo(&buf); err != nil {
		return err
	}
	if !bytes.Equal(buf.Bytes(), want) {
		return errors.New("another file")
	}
	return nil
}

// exampleOf returns a question to a TVS service about its own cluster, and the answer.
func exampleOf(n *cluster.Node) (question, answer []byte, err error) {
	cert := n.Identity(profile.CallManager).Certificate
	req := tvs.Message{Type: tvs.QueryCertReq, Session: 1001, Device: "CP-8861-SEPB000B4BA0AEE",
		Subject: trustlist.FormatName(cert.Subject), Issuer: trustlist.FormatName(cert.Issuer), Serial: cert.SerialNumber.Bytes()}
	if question, err = req.Append(nil); err != nil {
		return nil, nil, err
	}
	answer, err = n.State().AnswerTVS(&req).Append(nil)
	return question, answer, err
}

// questionTo returns an operation that asks a TVS service.
func questionTo(n *cluster.Node) (func() error, error) {
	question, answer, err := exampleOf(n)
	conf := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	return func() error { return ask(n.TVSAddress(), conf, question, len(answer)) }, err
}
