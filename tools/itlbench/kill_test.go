package main

import (
	"bytes"
	"crypto/rand"
	"flag"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/image"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
	"itlagent/testbench/vaultimage"
)

var (
	kills    = flag.Int("kills", 20, "how often the phone is killed")
	killSeed = flag.Uint64("killseed", 0, "seed of the moments; 0 takes the time")
)

// toKill builds the program and chooses the moments at which it is killed.
func toKill(t *testing.T) (dir, program string, moments *mrand.Rand) {
	t.Helper()
	dir = t.TempDir()
	program = filepath.Join(dir, "itlbench")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("the moments are those of -killseed %d", seed)
	return dir, program, mrand.New(mrand.NewPCG(seed, 1))
}

// A phone whose lists and configuration change at every cycle is killed at random
// moments. Each time the vault mounts, holds one of the lists, and the independent
// reader agrees.
func TestKilledPhone(t *testing.T) {
	call := pkitest.Identity(t, "pub.example.lab", pki.Service)
	other := pkitest.Identity(t, "sub.example.lab", pki.Service)
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: call.Certificate}, {Role: trustlist.TFTP, Certificate: call.Certificate},
		{Role: trustlist.TVS, Certificate: other.Certificate}, {Role: trustlist.CAPF, Certificate: other.Certificate},
	}
	lists := [][]byte{pkitest.ITL(t, call, records...).Bytes(), pkitest.ITL(t, call, records[:2]...).Bytes()}
	configs := [][]byte{
		pkitest.Signed(t, "SEP64A0E71502CC.cnf.xml.sgn", "<device><vendorConfig><webAccess>0</webAccess></vendorConfig></device>", call, trustlist.SHA1),
		pkitest.Signed(t, "SEP64A0E71502CC.cnf.xml.sgn", "<device>"+strings.Repeat(" ", 3000)+"</device>", call, trustlist.SHA1),
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body []byte
		switch {
		case strings.HasPrefix(r.URL.Path, "/ITLSEP"):
			body = lists[asked.Add(1)%2]
		case strings.HasPrefix(r.URL.Path, "/SEP"):
			body = configs[asked.Load()%2]
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}))
	defer server.Close()
	// TFTP is asked for what HTTP lacks: a port where nothing answers would cost
	// the phone seconds.
	udp, err := net.ListenPacket("udp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		buf := make([]byte, 600)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			udp.WriteTo([]byte("\x00\x05\x00\x01File not found\x00"), from)
		}
	}()

	dir, program, r := toKill(t)
	path := filepath.Join(dir, "phone.img")
	g := flash.Geometry{Size: 128 << 10, EraseSize: 4 << 10, ProgramSize: 1}
	updates, sequence := 0, uint64(0)
	for i := range *kills {
		phone := exec.Command(program, "phone", "--interval", "1ms", "--flash", path, "--flash-size", "128KiB", "--erase-size", "4KiB",
			"--tftp", server.Listener.Addr().String())
		var stderr bytes.Buffer
		phone.Stderr = &stderr
		begin := asked.Load()
		if err := phone.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); phone.Wait() }()
		for asked.Load() < begin+3 { // it is at work
			time.Sleep(time.Millisecond)
			select {
			case <-ended:
				t.Fatalf("kill %d: the phone ended: %s", i, &stderr)
			default:
			}
		}
		time.Sleep(time.Duration(r.Int64N(int64(40 * time.Millisecond))))
		phone.Process.Kill()
		<-ended
		if stderr.Len() > 0 {
			t.Fatalf("kill %d: the phone said %s", i, &stderr)
		}

		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := vaultimage.Read(data, 0)
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		dev, err := image.Open(path, g)
		if err != nil {
			t.Fatal(err)
		}
		v, err := vault.Open(dev, vault.Options{Rand: rand.Reader})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		list, err := v.Get("itl")
		if err != nil || !bytes.Equal(list, lists[0]) && !bytes.Equal(list, lists[1]) {
			t.Errorf("kill %d: list of %d bytes, %v", i, len(list), err)
		}
		for _, k := range img.Keys {
			if got, err := v.Get(k.Name); err != nil || !bytes.Equal(got, k.Value) || k.Degraded() {
				t.Errorf("kill %d: %s: vault %d bytes (%v), reader %d, degraded %v", i, k.Name, len(got), err, len(k.Value), k.Degraded())
			}
		}
		h := v.Health()
		if len(h.Degraded) > 0 || h.ReadOnly != nil || h.Sequence < sequence {
			t.Errorf("kill %d: health %+v, sequence was %d", i, h, sequence)
		}
		updates += int(h.Sequence - sequence)
		sequence = h.Sequence
		if err := dev.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if updates < *kills {
		t.Errorf("only %d updates between %d kills", updates, *kills)
	}
	if !t.Failed() {
		t.Logf("%d kills among %d updates: 0 lost", *kills, updates)
	}
}
