package tftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	library "github.com/pin/tftp/v3"

	"itlagent/agent/tftp"
)

// sizes around the bounds of blocks, windows and what the options below ask for.
var sizes = []int{0, 1, 511, 512, 513, 1023, 1024, 1025, 4096, 4*1024 - 1, 65535, 1 << 20}

// asks are requests with each option, and with none.
var asks = []tftp.Options{
	{},
	{Size: true},
	{BlockSize: 1024},
	{BlockSize: 1428, Size: true, Timeout: 2},
	{BlockSize: 1024, Window: 4, Size: true},
	{Window: 16},
}

// folder makes a directory of files of the sizes, which any user can read.
func folder(t *testing.T) (dir string, files map[string][]byte) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tftp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	files = map[string][]byte{}
	for _, size := range sizes {
		name := fmt.Sprintf("file-%d", size)
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i ^ i>>8 ^ i>>16)
		}
		files[name] = b
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, files
}

// fetchAll gets every file with every request.
func fetchAll(t *testing.T, address string, files map[string][]byte) {
	t.Helper()
	for _, ask := range asks {
		client := &tftp.Client{Ask: ask}
		for name, want := range files {
			got, err := client.Get(t.Context(), address, name, len(want))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%+v, %s: %d bytes, %v; want %d", ask, name, len(got), err, len(want))
			}
			if len(want) == 0 {
				continue
			}
			if _, err := client.Get(t.Context(), address, name, len(want)-1); !errors.Is(err, tftp.ErrTooLarge) {
				t.Errorf("%+v, %s: limit %d: %v, want %v", ask, name, len(want)-1, err, tftp.ErrTooLarge)
			}
		}
		if _, err := client.Get(t.Context(), address, "no-such-file", 10); !errors.Is(err, tftp.ErrNotFound) {
			t.Errorf("%+v: a file that is not there: %v, want %v", ask, err, tftp.ErrNotFound)
		}
	}
}

// The library's server, which is the cluster's.
func TestLibrary(t *testing.T) {
	_, files := folder(t)
	for _, onePort := range []bool{false, true} {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		server := library.NewServer(func(name string, rf io.ReaderFrom) error {
			b, found := files[name]
			if !found {
				return errors.New("File not found")
			}
			_, err := rf.ReadFrom(bytes.NewReader(b))
			return err
		}, nil)
		if onePort {
			server.EnableSinglePort()
		}
		done := make(chan struct{})
		go func() { defer close(done); server.Serve(conn) }()
		fetchAll(t, conn.LocalAddr().String(), files)
		server.Shutdown()
		conn.Close()
		<-done
	}
}

// program finds a server of Debian's, or skips the test and says which package has it.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/lib/itlagent-tests"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	t.Skipf("SKIPPED: %s is not installed (package %s; `make deps`): the TFTP client is not tested against it", name, pkg)
	return ""
}

// serve runs a server in the foreground until the test ends, once it answers.
func serve(t *testing.T, address string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cancel()
		if <-ended; t.Failed() {
			t.Logf("%s said: %s", args[0], &said)
		}
	})
	client := new(tftp.Client)
	for try := 1; ; try++ {
		_, err := client.Get(t.Context(), address, "no-such-file", 1)
		if errors.Is(err, tftp.ErrNotFound) {
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", args[0], &said)
		default:
		}
		if try == 10 || !errors.Is(err, tftp.ErrNoAnswer) {
			t.Fatalf("%s: %v", args[0], err)
		}
	}
}

// freePort returns a UDP port of the address that was free a moment ago.
func freePort(t *testing.T, ip string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
}

func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skipf("SKIPPED: not root: %s", why)
	}
}

func TestTFTPDHPA(t *testing.T) {
	bin := program(t, "in.tftpd", "tftpd-hpa")
	needRoot(t, "in.tftpd changes its user and its root")
	dir, files := folder(t)
	address := "127.0.0.1:" + freePort(t, "127.0.0.1")
	serve(t, address, bin, "--foreground", "--address", address, "--secure", dir)
	fetchAll(t, address, files)
}

func TestATFTPD(t *testing.T) {
	bin := program(t, "atftpd", "atftpd")
	dir, files := folder(t)
	port := freePort(t, "127.0.0.1")
	args := []string{bin, "--daemon", "--no-fork", "--logfile", "-", "--bind-address", "127.0.0.1", "--port", port}
	if os.Getuid() == 0 {
		args = append(args, "--user", "nobody", "--group", "nogroup")
	}
	serve(t, "127.0.0.1:"+port, append(args, dir)...)
	fetchAll(t, "127.0.0.1:"+port, files)
}

// dnsmasq has no other port than 69; the address is nobody else's.
func TestDnsmasq(t *testing.T) {
	bin := program(t, "dnsmasq", "dnsmasq-base")
	needRoot(t, "dnsmasq serves TFTP on port 69 alone")
	dir, files := folder(t)
	const host = "127.0.69.1"
	serve(t, host+":69", bin, "--no-daemon", "--conf-file=/dev/null", "--port=0", "--enable-tftp", "--tftp-root="+dir,
		"--listen-address="+host, "--bind-interfaces", "--user=nobody", "--pid-file=")
	fetchAll(t, host+":69", files)
}

// 1,000 transfers from hostile servers leave descriptors and goroutines as they were.
func TestNothingIsLeft(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var served sync.WaitGroup
	defer served.Wait()
	defer conn.Close()
	answers := []string{oack("blksize", "512"), data(1, list[:512]), data(2, list[:512]), fail(0, "no"), fail(1, "no"), "", "x", data(1, list[:600]), ack(1)}
	served.Go(func() {
		b := make([]byte, 2048)
		for i := 0; ; i++ {
			_, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			for range 1 + i%4 {
				conn.WriteTo([]byte(answers[i%len(answers)]), from)
			}
		}
	})
	descriptors := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("SKIPPED: descriptors cannot be counted: %v", err)
		}
		return len(d)
	}
	open, goroutines := descriptors(), runtime.NumGoroutine()
	client := new(tftp.Client)
	var transfers sync.WaitGroup
	got := make([]error, 1000)
	for i := range got {
		transfers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
			defer cancel()
			_, got[i] = client.Get(ctx, conn.LocalAddr().String(), listName, 1<<20)
		})
	}
	transfers.Wait()
	kinds := map[string]int{}
	for _, err := range got {
		if err == nil {
			t.Error("a file from a server that has none")
			continue
		}
		kinds[strings.SplitN(err.Error(), ":", 2)[0]]++
	}
	if d, g := descriptors(), runtime.NumGoroutine(); d > open || g > goroutines {
		t.Errorf("%d descriptors and %d goroutines, were %d and %d", d, g, open, goroutines)
	}
	t.Logf("%d transfers: %v", len(got), kinds)
}
