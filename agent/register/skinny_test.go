package register_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/register"
	"itlagent/agent/sccp"
	"itlagent/agent/sip"
)

// skinny is a call manager that speaks SCCP over pipes.
type skinny struct {
	answers map[sccp.ID]sccp.Message
	got     chan sccp.Message

	mu   sync.Mutex
	down bool
	conn net.Conn // the last one
}

func newSkinny() *skinny {
	ack := make([]byte, 20)
	binary.LittleEndian.PutUint32(ack, 30) // seconds between keep-alives
	return &skinny{got: make(chan sccp.Message, 256), answers: map[sccp.ID]sccp.Message{
		sccp.RegisterPhone: {ID: sccp.RegisterAck, Body: ack}, sccp.KeepAlive: {ID: sccp.KeepAliveAck}, sccp.UnregisterMe: {ID: sccp.UnregisterAck, Body: make([]byte, 4)}}}
}

func (s *skinny) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, net.ErrClosed
	}
	phone, mine := net.Pipe()
	s.conn = mine
	go func() {
		defer mine.Close()
		for {
			m, err := sccp.Read(mine)
			if err != nil {
				return
			}
			s.got <- m
			if a, ok := s.answers[m.ID]; ok {
				if _, err := mine.Write(a.Bytes()); err != nil {
					return
				}
			}
		}
	}()
	return phone, nil
}

// send sends a message, or any bytes, on the last connection.
func (s *skinny) send(b []byte) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	conn.Write(b)
}

func (s *skinny) shut(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	if s.conn != nil {
		s.conn.Close()
	}
}

func (s *skinny) next(id sccp.ID) sccp.Message {
	for {
		if m := <-s.got; m.ID == id {
			return m
		}
	}
}

func reset(n byte) []byte {
	return sccp.Message{ID: sccp.ResetPhone, Body: []byte{n, 0, 0, 0}}.Bytes()
}

func bySCCP(n int) sip.Server {
	return sip.Server{Address: strings.Replace(server(n).Address, "5060", "2000", 1), Transport: register.SCCP}
}

func skinnyClient(t *testing.T, managers ...*skinny) *register.Client {
	conf := config(t)
	conf.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		for i, m := range managers {
			if address == bySCCP(i+1).Address {
				return m.dial(ctx, network, address)
			}
		}
		return nil, net.ErrClosed
	}
	conf.Alarms = func(_ net.Addr, send func([]byte) error) {
		if err := send([]byte("<x-cisco-alarm>")); err != nil {
			t.Error(err)
		}
	}
	return register.New(conf)
}

// By SCCP a phone sends its alarm, registers, keeps itself alive, hears resets, and
// unregisters.
func TestSkinny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSkinny()
		c := skinnyClient(t, m)
		c.Register([]sip.Server{bySCCP(1)}, "SCCP45.9-4-2", register.Initialized)
		if alarm := <-m.got; alarm.ID != sccp.XMLAlarm || string(alarm.Body) != "<x-cisco-alarm>" {
			t.Errorf("first %#x %q", alarm.ID, alarm.Body)
		}
		if r, ok := (<-m.got).Restarted(); !ok || r != (sccp.Restarted{Device: device, Load: "SCCP45.9-4-2", Last: "Initialized"}) {
			t.Errorf("how it has reset: %+v, %v", r, ok)
		}
		if first := <-m.got; first.ID != sccp.RegisterPhone || !bytes.HasPrefix(first.Body, []byte(device+"\x00")) || !bytes.Contains(first.Body, []byte("SCCP45.9-4-2")) {
			t.Errorf("then %#x %q", first.ID, first.Body)
		}
		synctest.Wait()
		if s := c.State(); s.Server != bySCCP(1).Address || s.Transport != register.SCCP || s.Granted != 30*time.Second {
			t.Errorf("%+v", s)
		}
		for n, want := range map[byte]register.Action{1: register.Reset, 2: register.Restart, 3: register.ApplyConfig} {
			m.send(reset(n))
			if o := <-c.Orders(); o.Action != want {
				t.Errorf("%d: %v", n, o.Action)
			}
		}
		m.send(reset(4))
		m.send(sccp.Message{ID: 0x9a, Body: []byte("passed over")}.Bytes())
		for range 1000 {
			m.send(reset(1))
		}
		synctest.Wait()
		if s := c.State(); s.Refused != 1001-7 || !strings.Contains(s.Refusal, "more than 10 orders") {
			t.Errorf("%+v", s)
		}
		began := time.Now()
		m.next(sccp.KeepAlive)
		m.next(sccp.KeepAlive)
		if took := time.Since(began); took > time.Minute {
			t.Errorf("two keep-alives in %v", took)
		}
		c.Leave()
		m.next(sccp.UnregisterMe)
	})
}

// What a call manager says instead of accepting the phone is told, its resets do not count,
// and the next one has the phone; the phone goes back when the first accepts it.
func TestSkinnyRefuses(t *testing.T) {
	for name, answer := range map[string]*sccp.Message{"reject": {ID: sccp.RegisterReject, Body: []byte("No \x1b[2Jdevice\x00rest")}, "silence": nil, "another's answer": {ID: sccp.UnregisterAck}} {
		synctest.Test(t, func(t *testing.T) {
			bad, good := newSkinny(), newSkinny()
			sound := bad.answers[sccp.RegisterPhone]
			if delete(bad.answers, sccp.RegisterPhone); answer != nil {
				bad.answers[sccp.RegisterPhone] = *answer
			}
			delete(bad.answers, sccp.KeepAlive)
			c := skinnyClient(t, bad, good)
			c.Register([]sip.Server{bySCCP(1), bySCCP(2)}, "", register.Initialized)
			bad.next(sccp.RegisterPhone)
			go bad.send(reset(1))
			good.next(sccp.RegisterPhone)
			synctest.Wait()
			if s := c.State(); s.Server != bySCCP(2).Address || len(c.Orders()) != 0 {
				t.Errorf("%s: %+v, %d orders", name, s, len(c.Orders()))
			}
			bad.shut(true)
			bad.answers[sccp.RegisterPhone], bad.answers[sccp.KeepAlive] = sound, sccp.Message{ID: sccp.KeepAliveAck}
			bad.shut(false)
			bad.next(sccp.RegisterPhone)
			synctest.Wait()
			if s := c.State(); s.Server != bySCCP(1).Address || s.Cause != register.Failback {
				t.Errorf("%s: %+v", name, s)
			}
			c.Leave()
		})
	}
}

// A back-up cannot reset the phone, nor a server that says it has accepted it unasked.
func TestSkinnyBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSkinny(), newSkinny()
		c := skinnyClient(t, a, b)
		c.Register([]sip.Server{bySCCP(1), bySCCP(2)}, "", register.Initialized)
		b.next(sccp.KeepAlive)
		synctest.Wait()
		b.send(b.answers[sccp.RegisterPhone].Bytes())
		b.send(reset(1))
		synctest.Wait()
		if s := c.State(); len(c.Orders()) != 0 || s.Refused != 1 || s.Standby != bySCCP(2).Address {
			t.Errorf("%d orders, %+v", len(c.Orders()), s)
		}
		a.send([]byte("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00")) // no message: the connection ends
		a.next(sccp.RegisterPhone)
		c.Leave()
	})
}
