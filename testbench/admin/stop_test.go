package admin_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
)

var stops = flag.Int("stops", 5, "how often TestStopUnderSessions starts and stops a cluster")

// A cluster stops while administrators run commands by SSH and in the same process, and
// starts again; nothing hangs (run it with -race).
func TestStopUnderSessions(t *testing.T) {
	p := profile.Note()
	p.AdminPassword, p.SecurityPassword = adminPassword, securityPassword
	for i := range p.Nodes { // whose ports nobody else takes while they are stopped
		p.Nodes[i].Host = fmt.Sprintf("127.78.%d.%d", os.Getpid()%250+1, i+1)
	}
	c, err := cluster.New(p, cluster.Options{Dir: t.TempDir(), SSH: admin.ServeSSH})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done, ran := make(chan bool), 0
	var callers sync.WaitGroup
	var mu sync.Mutex
	end := sync.OnceFunc(func() { close(done); callers.Wait() })
	defer end()
	until := func(f func() bool) {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if f() {
					mu.Lock()
					ran++
					mu.Unlock()
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	bySSH := func(n *cluster.Node, line string) func() bool {
		return func() bool {
			conf := &ssh.ClientConfig{User: admin.User, Auth: []ssh.AuthMethod{ssh.Password(adminPassword)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second}
			client, err := ssh.Dial("tcp", n.Endpoint("ssh"), conf)
			if err != nil {
				return false
			}
			defer client.Close()
			session, err := client.NewSession()
			if err != nil {
				return false
			}
			_, err = session.CombinedOutput(line)
			return err == nil
		}
	}
	until(bySSH(c.Publisher(), "utils service restart Cisco Tftp"))
	until(bySSH(c.Nodes()[1], "utils service restart Cisco Trust Verification Service"))
	until(bySSH(c.Publisher(), "show itl"))
	until(func() bool {
		return admin.New(c.Publisher(), console.NewPlain(io.LimitReader(nil, 0), io.Discard)).Run("utils service restart Cisco Tftp") == 0
	})
	for i := range *stops {
		if err := c.Start(); err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		for begun := time.Now(); ; time.Sleep(time.Millisecond) { // until sessions are under way
			mu.Lock()
			n := ran
			mu.Unlock()
			if n > i || time.Since(begun) > time.Minute {
				break
			}
		}
		stopped := make(chan bool)
		go func() { c.Stop(); close(stopped) }()
		select {
		case <-stopped:
		case <-time.After(2 * time.Minute):
			t.Fatalf("stop %d hangs", i)
		}
	}
	end()
	t.Logf("%d commands ran while a cluster stopped %d times", ran, *stops)
	if ran < *stops {
		t.Errorf("only %d commands ran in %d starts", ran, *stops)
	}
}
