package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"itlagent/platform/filestore"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/comeback"
)

// Files in the cluster's directory.
const (
	progressFile = "plan.json"
	lockFile     = "plan.lock"
)

const (
	progressFormat = 1
	maxProgress    = 16 << 20 // bytes; some 100 for a phone
)

// progress is what was done of a plan, and what is being done.
type progress struct {
	Format   int
	Asked    []string // the changes that were asked for
	Sequence []string // that are carried out
	Step     int      // that is being done, from 0 on
	Action   int      // of the step
	// Refuses are the steps, from 1 on, after which the plan predicts that a phone refuses
	// what it is served, and trusts its cluster later; by device.
	Refuses map[string][]int
	Phones  []string // that must trust their cluster
	All     []string // that were registered when it began: all of them are waited for
	// Fingerprint is that of the state before the action, where it was begun.
	Fingerprint string
	Resets      int                      // orders to reset before the step
	Waiting     map[string]comeback.Mark // phones, as they were registered before the step; nil before it began

	// Resumed is set by load: another process has begun it.
	Resumed bool `json:"-"`
}

// under reports whether a rollout of the same is under way. Names of nodes may have
// changed since; the sequence is the one of the beginning then.
func (p *progress) under(asked, sequence []string) bool {
	return p.Format != 0 && slices.Equal(p.Asked, asked) && slices.Equal(p.Sequence, sequence)
}

// ErrBusy says that another rollout of the cluster runs.
var ErrBusy = errors.New("another plan is being carried out on this cluster")

// ErrProgress says that the file of a rollout is not what was written.
var ErrProgress = errors.New("the progress of a plan cannot be read")

func lock(dir string) (unlock func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, ErrBusy
	}
	return func() { f.Close() }, nil
}

// Pending returns the changes of a rollout that did not end: what was asked for, and what
// is carried out of it; nil where there is none.
func Pending(dir string) (asked, sequence []string, err error) {
	p, err := load(dir)
	return p.Asked, p.Sequence, err
}

func load(dir string) (p progress, err error) {
	if dir == "" {
		return p, nil
	}
	f, err := os.Open(filepath.Join(dir, progressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProgress+1))
	if err != nil {
		return p, err
	}
	if err = json.Unmarshal(data, &p); err == nil && (p.Format != progressFormat || p.Step < 0 || p.Action < 0 || p.Step >= len(p.Sequence) || len(data) > maxProgress) {
		err = fmt.Errorf("format %d, step %d of %d", p.Format, p.Step, len(p.Sequence))
	}
	if err != nil {
		return progress{}, fmt.Errorf("%w: %s: %w", ErrProgress, progressFile, err)
	}
	p.Resumed = true
	return p, nil
}

// save writes the progress, or forgets it at the end.
func (r *Rollout) save() error {
	dir := r.c.Dir()
	if dir == "" {
		return nil
	}
	if r.done.Step >= len(r.changes) {
		return forget(dir)
	}
	data, err := json.Marshal(&r.done)
	if err != nil {
		return err
	}
	if err := filestore.WriteFile(filepath.Join(dir, progressFile), data); err != nil {
		return err
	}
	return r.killed()
}

// forget removes the progress of a rollout that ended.
func forget(dir string) error {
	if dir == "" {
		return nil
	}
	err := os.Remove(filepath.Join(dir, progressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Forget gives up a rollout that did not end: what was done stays.
func Forget(dir string) error { return forget(dir) }

// fingerprint changes with everything that an action of a plan changes, and with nothing
// else: the clock may move, and nodes may be started on other ports.
func fingerprint(s *state.State) string {
	h := sha256.New()
	put := func(values ...any) { fmt.Fprintln(h, values...) }
	put(s.Profile.Release, s.Mixed, s.Rollback, s.Digest, s.KeyBits, len(s.Imported))
	for _, t := range s.Imported {
		put(t.Store, t.Identity.Certificate.Raw)
	}
	h.Write(s.CTL)
	for _, n := range s.Nodes {
		put(n.Name, n.Domain, n.FIPS, n.Calls)
		for _, c := range n.Certificates() {
			put(c.Unit, c.Certificate.Raw)
		}
		put(len(n.Stores), n.Vouching.Certificate.Raw, n.Signer.Certificate.Raw, n.App.Certificate.Raw)
		h.Write(n.ITL)
		h.Write(n.CTL)
	}
	return hex.EncodeToString(h.Sum(nil))
}
