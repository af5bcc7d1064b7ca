package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"itlagent/agent/accept"
)

// The control socket of a node, in the cluster's directory, takes one line and
// answers with one: "follow" makes the process act on a state that another one
// wrote, "pid" is its process, "phones" answers with a line for each phone and a full stop,
// "down" ends it.
const (
	controlTime    = 10 * time.Second
	controlConns   = 512
	controlRequest = 256      // bytes
	controlLine    = 64 << 10 // bytes of an answer
)

func controlPath(index int) string { return fmt.Sprintf("node-%d.sock", index) }

// inDir runs a function with a short path of a file in the directory: the
// address of a socket is at most 108 bytes long.
func (c *Cluster) inDir(name string, f func(path string) error) error {
	d, err := os.Open(c.opts.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name))
}

// control is the socket of one node.
type control struct {
	path   string
	server *accept.Server
}

func (c *control) close() {
	c.server.Close()
	os.Remove(c.path)
}

func (c *Cluster) listenControl() error {
	if c.opts.Dir == "" {
		return nil
	}
	c.serving.Lock()
	defer c.serving.Unlock()
	for _, n := range c.hosted() {
		name := controlPath(n.index)
		os.Remove(filepath.Join(c.opts.Dir, name)) // of a process that was killed: the lock is ours
		err := c.inDir(name, func(path string) error {
			l, err := net.Listen("unix", path)
			if err != nil {
				return err
			}
			if err := os.Chmod(path, 0o600); err != nil {
				l.Close()
				return err
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false) // its path is gone by then
			c.control = append(c.control, &control{filepath.Join(c.opts.Dir, name),
				accept.Serve(l, accept.Limits{Conns: controlConns, PerAddress: controlConns, First: controlTime}, n.serveControl)})
			return nil
		})
		if err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
	}
	return nil
}

func (n *Node) serveControl(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(controlTime))
	line, err := bufio.NewReader(io.LimitReader(conn, controlRequest)).ReadString('\n')
	if err != nil {
		return
	}
	answer := "ok"
	switch strings.TrimSpace(line) {
	case "follow":
		if err := n.cluster.followHere(); err != nil {
			answer = "error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	case "pid":
		answer = fmt.Sprint(os.Getpid())
	case "phones":
		writePhones(conn, n.services.Phones()) // where that fails, the end is missing
		return
	case "down":
		n.cluster.downOnce.Do(func() { close(n.cluster.down) })
	default:
		answer = "error: follow, pid, phones or down"
	}
	fmt.Fprintln(conn, answer)
}

// Down returns a channel that is closed when another process wants this one to
// end.
func (c *Cluster) Down() <-chan struct{} { return c.down }

// errDown says that no process runs the node.
var errDown = errors.New("the node is down")

// ask sends a line to the process that runs a node.
func (c *Cluster) ask(n *Node, line string) (answer string, err error) {
	err = c.inDir(controlPath(n.index), func(path string) error {
		conn, err := net.DialTimeout("unix", path, controlTime)
		if err != nil {
			return errDown
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(controlTime))
		if _, err := fmt.Fprintln(conn, line); err != nil {
			return errDown
		}
		answer, err = bufio.NewReader(io.LimitReader(conn, controlLine)).ReadString('\n')
		if err != nil {
			return errDown
		}
		answer = strings.TrimSpace(answer)
		if text, bad := strings.CutPrefix(answer, "error: "); bad {
			return errors.New(text)
		}
		return nil
	})
	return answer, err
}

// tellOthers makes the processes that run the other nodes follow.
func (c *Cluster) tellOthers() error {
	if c.opts.Dir == "" {
		return nil
	}
	c.serving.Lock()
	others := slices.DeleteFunc(slices.Clone(c.nodes), func(n *Node) bool { return n.hosts != nil })
	c.serving.Unlock()
	for _, n := range others {
		if _, err := c.ask(n, "follow"); err != nil && !errors.Is(err, errDown) {
			return fmt.Errorf("node %s: %w", n.Name(), err)
		}
	}
	return nil
}

// TakeDown ends the processes that run nodes of the cluster, and returns the
// names of those nodes once they are down.
func (c *Cluster) TakeDown() ([]string, error) {
	var names []string
	for _, n := range c.nodes {
		if _, err := c.ask(n, "pid"); err == nil {
			names = append(names, n.Name())
		}
	}
	for _, n := range c.nodes {
		c.ask(n, "down") // a node of a process that has ended with another one gives errDown
	}
	for _, n := range c.nodes {
		for deadline := time.Now().Add(controlTime); ; time.Sleep(10 * time.Millisecond) {
			if _, err := c.ask(n, "pid"); errors.Is(err, errDown) {
				break
			}
			if time.Now().After(deadline) {
				return names, fmt.Errorf("node %s does not go down", n.Name())
			}
		}
	}
	return names, nil
}
