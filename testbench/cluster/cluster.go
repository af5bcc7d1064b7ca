package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// Options are what varies between runs of one cluster.
type Options struct {
	Dir string // of the cluster; "" leaves it in memory
	// Tick lets the bench clock of a cluster that is installed run with the
	// machine's. It stands still otherwise, and only operation.Advance moves it.
	Tick bool
	// Only hosts the nodes of these names; all where empty.
	Only []string
	// SSH serves a connection to a node's command line, until it returns; nil
	// opens no port for it.
	SSH  func(net.Conn, *Node)
	Logf func(format string, args ...any)
	// Expires is for how many seconds a phone registers; 120 where 0.
	Expires int
	// Mute leaves registered phones alone when they are to reset: who runs the cluster
	// resets them.
	Mute bool
}

// Cluster is a running or stopped cluster.
type Cluster struct {
	opts   Options
	nodes  []*Node
	log    *events.Log
	dir    *store.Dir
	origin *Cluster // that this one is a fork of

	mu sync.Mutex
	s  *state.State

	serving  sync.Mutex // held while listeners open and close
	up       bool
	control  []*control    // sockets for other processes
	down     chan struct{} // closed when another process wants this one to end
	downOnce sync.Once
}

// New makes a cluster: it installs the profile, making every key and
// certificate, or, where the directory of the options holds a cluster already,
// goes on with that one. Nothing listens yet. A directory that holds what cannot
// be read gives state.ErrDamaged and is left as it is.
func New(p profile.Profile, o Options) (*Cluster, error) {
	c, err := open(o)
	if err != nil {
		return nil, err
	}
	if err := c.load(p); err != nil {
		c.Close()
		return nil, err
	}
	for i := range c.s.Nodes {
		c.nodes = append(c.nodes, c.newNode(i))
	}
	for _, name := range o.Only {
		if _, err := c.Node(name); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// FromState makes a cluster of a state, in memory or in a directory that has none yet.
func FromState(s *state.State, o Options) (*Cluster, error) {
	c, err := open(o)
	if err != nil {
		return nil, err
	}
	unlock, err := c.dir.Lock()
	if err == nil {
		defer unlock()
		if _, err = c.dir.Load(); err == nil {
			err = fmt.Errorf("%s: %w", o.Dir, fs.ErrExist)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = c.dir.Save(s)
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.s = s
	for i := range s.Nodes {
		c.nodes = append(c.nodes, c.newNode(i))
	}
	return c, nil
}

// Open goes on with the cluster of a directory. Without one the error is
// fs.ErrNotExist.
func Open(o Options) (*Cluster, error) {
	if err := store.Exists(o.Dir); err != nil {
		return nil, err
	}
	return New(profile.Profile{}, o)
}

func open(o Options) (*Cluster, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	c := &Cluster{opts: o, log: new(events.Log), dir: new(store.Dir), down: make(chan struct{})}
	if o.Dir == "" {
		return c, nil
	}
	var err error
	if c.dir, err = store.Open(o.Dir); err != nil {
		return nil, err
	}
	if c.log, err = events.Open(filepath.Join(o.Dir, "events.log")); err != nil {
		c.dir.Close()
		return nil, err
	}
	return c, nil
}

// load reads the state of the directory, or installs the profile.
func (c *Cluster) load(p profile.Profile) error {
	unlock, err := c.dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if c.s, err = c.dir.Load(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := p.Check(); err != nil {
		return err
	}
	if err := serve.Probe(&p, c.opts.Only); err != nil {
		return err
	}
	s, err := operation.Install(p, c.opts.Tick)
	if err != nil {
		return err
	}
	return c.commit(s)
}

// State returns the state in force. What another process made of it is read
// again; where that fails, the state as it was known stays.
func (c *Cluster) State() *state.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		c.opts.Logf("%v", err)
	}
	return c.s
}

// refresh reads the state file where it is another one. The caller holds mu.
func (c *Cluster) refresh() error {
	changed, err := c.dir.Changed()
	if err != nil || !changed {
		return err
	}
	s, err := c.dir.Load()
	if err == nil {
		c.s = s
	}
	return err
}

// Apply runs an operation on a copy of the state, saves the copy, and puts it in
// force: services follow it, here and in other processes. Where the operation or the
// saving fails, nothing has changed. What cannot be written gives store.ErrWrite.
func (c *Cluster) Apply(op operation.Operation) error {
	if err := c.change(op); err != nil {
		return err
	}
	return c.follow()
}

func (c *Cluster) change(op operation.Operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	unlock, err := c.dir.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.refresh(); err != nil {
		return err
	}
	next := c.s.Clone()
	if err := op(next); err != nil {
		return err
	}
	if err := c.commit(next); err != nil {
		return err
	}
	for _, e := range next.Effects.Events {
		if err := c.log.Add(e); err != nil {
			return fmt.Errorf("done, but not in the event log: %w", err)
		}
	}
	return nil
}

// commit saves a state and puts it in force.
func (c *Cluster) commit(next *state.State) error {
	next.Record(c.s)
	if err := c.dir.Save(next); err != nil {
		return err
	}
	c.s = next
	return nil
}

// Fork returns a copy of the cluster in memory, whose changes the cluster itself
// never sees: what would be if. Nothing of it listens unless it is started. It
// reads the lists and backups of the original. Its bench clock stands still.
// keys, if not nil, are where its new certificates have their keys from.
func (c *Cluster) Fork(keys *pki.Keys) *Cluster {
	next := c.State().Clone()
	next.Freeze(keys)
	f := &Cluster{opts: Options{Logf: c.opts.Logf}, log: new(events.Log), dir: new(store.Dir), down: make(chan struct{}), origin: c, s: next}
	for i := range next.Nodes {
		f.nodes = append(f.nodes, f.newNode(i))
	}
	return f
}

// Dir returns the directory of the cluster, or "".
func (c *Cluster) Dir() string { return c.opts.Dir }

// Muted reports whether registered phones do not hear that they are to reset.
func (c *Cluster) Muted() bool { return c.opts.Mute }

// Events returns the event log.
func (c *Cluster) Events() *events.Log { return c.log }

// Now returns the bench clock.
func (c *Cluster) Now() time.Time { return c.State().Now() }

// List returns the bytes of a list that was served, by its SHA-1 in lower-case
// hex. One that never was gives store.ErrNoList.
func (c *Cluster) List(hash string) ([]byte, error) {
	if !c.State().HasServed(hash) {
		return nil, fmt.Errorf("%.40s: %w", hash, store.ErrNoList)
	}
	data, err := c.dir.List(c.State().Own(hash))
	if errors.Is(err, store.ErrNoList) && c.origin != nil {
		return c.origin.List(hash)
	}
	return data, err
}

// Remind raises the daily alerts that are due where the bench clock runs by itself.
func (c *Cluster) Remind() error {
	if !operation.AlertDue(c.State()) {
		return nil
	}
	return c.Apply(operation.Remind())
}

// Backup writes what the cluster has, keys and lists, to a file of its directory,
// sealed with the security password. The daily alert about ITLRecovery goes on.
func (c *Cluster) Backup(name string) error {
	if c.origin != nil {
		return errors.New("a fork of a cluster writes no backups")
	}
	if err := c.dir.Backup(name, c.State()); err != nil {
		return err
	}
	return c.Apply(operation.BackedUp(name))
}

// Restore puts back what Backup wrote, as operation.Restore has it. Without the file
// the error is store.ErrNoBackup.
func (c *Cluster) Restore(name string) error {
	old, err := c.backups().ReadBackup(name, c.State().SecurityPassword)
	if err != nil {
		return err
	}
	return c.Apply(operation.Restore(name, old))
}

// Backups returns the names of the backups, the newest first.
func (c *Cluster) Backups() []string { return c.backups().Backups() }

func (c *Cluster) backups() *store.Dir {
	if c.origin != nil {
		return c.origin.backups()
	}
	return c.dir
}

// Close stops the cluster and lets go of its directory.
func (c *Cluster) Close() {
	c.Stop()
	c.dir.Close()
	c.log.Close()
}

// lockFile opens a file of the directory that only one process may lock.
func (c *Cluster) lockFile(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(c.opts.Dir, name), os.O_CREATE|os.O_RDWR, 0o600)
}
