package cluster

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"itlagent/testbench/cluster/serve"
)

// ErrUp says that another process runs the node.
var ErrUp = errors.New("the node is up already")

// ErrTwin says that a cluster is the copy of a real one, without its keys: no phone is served by
// it.
var ErrTwin = errors.New("it is the copy of a real cluster, with stand-ins for its keys: it serves no phones")

// Host takes the hosted nodes for this process, so that no other runs them. A node
// that another one runs gives ErrUp.
func (c *Cluster) Host() error {
	if c.State().Twin() {
		return ErrTwin
	}
	c.serving.Lock()
	defer c.serving.Unlock()
	for _, n := range c.hosted() {
		if err := n.host(); err != nil {
			return err
		}
	}
	return nil
}

// Start hosts the nodes, opens their listeners and serves until Stop.
func (c *Cluster) Start() error {
	err := c.Host()
	if err == nil {
		c.serving.Lock()
		c.up = true
		c.serving.Unlock()
		err = c.follow()
	}
	if err == nil {
		err = c.listenControl()
	}
	if err != nil {
		c.Stop()
	}
	return err
}

// hosted returns the nodes that this process is for. The caller holds serving.
func (c *Cluster) hosted() []*Node {
	s := c.State()
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *Node) bool {
		return len(c.opts.Only) > 0 && !slices.Contains(c.opts.Only, s.Nodes[n.index].Name) && n.hosts == nil
	})
}

// host takes the lock of the node. The caller holds serving.
func (n *Node) host() error {
	if n.cluster.opts.Dir == "" || n.hosts != nil {
		return nil
	}
	f, err := n.cluster.lockFile(fmt.Sprintf("node-%d.lock", n.index))
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("node %s: %w", n.Name(), ErrUp)
	}
	n.hosts = f
	return nil
}

// Stop closes every listener and waits for what is being served. Commands of SSH
// sessions and of other processes may be in the middle of an operation: they end
// while nothing is locked.
func (c *Cluster) Stop() {
	c.serving.Lock()
	c.up = false
	control := c.control
	c.control = nil
	var services []*serve.Node
	for _, n := range c.nodes {
		services = append(services, n.services.Take())
	}
	c.serving.Unlock()
	for _, s := range control {
		s.close()
	}
	for _, s := range services {
		s.Stop()
	}
	c.serving.Lock()
	defer c.serving.Unlock()
	if c.up { // it was started again meanwhile
		return
	}
	for _, n := range c.nodes {
		if n.hosts != nil {
			n.hosts.Close()
			n.hosts = nil
		}
	}
}

// follow opens and closes listeners as the state has it, here and in the other
// processes that run nodes of the cluster.
func (c *Cluster) follow() error {
	if err := c.followHere(); err != nil {
		return err
	}
	return c.tellOthers()
}

func (c *Cluster) followHere() error {
	c.serving.Lock()
	defer c.serving.Unlock()
	if !c.up {
		return nil
	}
	for _, n := range c.hosted() {
		if err := n.services.Follow(); err != nil {
			return err
		}
	}
	return nil
}
