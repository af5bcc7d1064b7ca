package hostile_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/sys/unix"

	"itlagent/agent/fetch"
)

// crowdFile is what the crowd's server has under a name: no two are alike. Those of lists
// fit in one block, so that a single wrong packet is a whole wrong file.
func crowdFile(name string) string {
	if strings.HasSuffix(name, ".tlv") {
		return name
	}
	return strings.Repeat(name+"\n", 50)
}

// crowdAddress is the server's. It is no other test's: their late packets come from other
// addresses.
var crowdAddress = &net.UDPAddr{IP: net.IPv4(127, 0, 77, 1)}

// TestCrowdServer is the server of TestTFTPCrowd, in a process of its own: the sockets of
// both would be more than one process may have.
func TestCrowdServer(t *testing.T) {
	if os.Getenv("ITLAGENT_CROWD_SERVER") == "" {
		return // the server of TestTFTPCrowd, which starts it
	}
	conn, err := net.ListenUDP("udp", crowdAddress)
	if err != nil {
		t.Fatal(err)
	}
	server := tftp.NewServer(func(name string, rf io.ReaderFrom) error {
		_, err := rf.ReadFrom(strings.NewReader(crowdFile(name)))
		return err
	}, nil)
	server.SetTimeout(500 * time.Millisecond) // as the cluster's
	server.SetBackoff(func(int) time.Duration { return 0 })
	fmt.Println("serving", conn.LocalAddr())
	go func() { io.Copy(io.Discard, os.Stdin); server.Shutdown() }()
	server.Serve(conn)
}

// 10,000 handsets that fetch their lists at once, from one address against one server,
// each get their own, and none is told that it has none. Requests are lost by the thousand
// then, and answers come late, to ports that other transfers have by now. A client that
// takes the first answer from whichever port gives dozens of handsets the file of another.
func TestTFTPCrowd(t *testing.T) {
	crowd := 10000
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(files.Cur) - 500; most < crowd {
		t.Logf("LESS THAN IT SHOULD BE: %d handsets at once, because a process may have %d files here", most, files.Cur)
		crowd = most
	}
	if testing.Short() {
		crowd = min(crowd, 2000)
	}
	address := startCrowdServer(t)
	names := []string{"ITLSEP%012X.tlv", "SEP%012X.cnf.xml"}
	var wrong, again, got atomic.Int64
	begin := time.Now()
	var handsets sync.WaitGroup
	for i := range crowd {
		handsets.Go(func() {
			for _, form := range names {
				name := fmt.Sprintf(form, i)
				for try := 1; ; try++ {
					file, err := fetch.PlainTFTP(t.Context(), address, name, 64<<10)
					if err == nil && string(file) != crowdFile(name) || errors.Is(err, fetch.ErrNotFound) {
						if wrong.Add(1) <= 5 {
							t.Errorf("%s: got %.60q, %v", name, file, err)
						}
						return
					}
					if err == nil {
						got.Add(1)
						break
					}
					again.Add(1)
					if try == 10 || errors.Is(err, context.Canceled) {
						t.Errorf("%s: %v, in try %d", name, err, try)
						return
					}
				}
			}
		})
	}
	handsets.Wait()
	t.Logf("%d handsets, %d files, %d wrong, %d tries without effect, %v", crowd, got.Load(), wrong.Load(), again.Load(), time.Since(begin).Round(time.Millisecond))
	if wrong.Load() != 0 || got.Load() != int64(crowd*len(names)) {
		t.Errorf("%d files of %d, %d of them wrong", got.Load(), crowd*len(names), wrong.Load())
	}
}

func startCrowdServer(t *testing.T) (address string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrowdServer$")
	cmd.Env = append(os.Environ(), "ITLAGENT_CROWD_SERVER=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at, found := strings.CutPrefix(lines.Text(), "serving "); found {
			go io.Copy(io.Discard, out)
			return at
		}
	}
	t.Fatal("the crowd's server does not serve")
	return ""
}
