package scenario

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/agent/shell"
	"itlagent/platform/console"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// A scenario can be run on a copy of a cluster that is there. That of a real cluster, of which
// there are stand-ins for its keys, serves nobody: its phones are on paper.

// copied opens a copy of the cluster of Options.Copy, in a directory of the scenario's own.
func (r *runner) copied(dir string) (*cluster.Cluster, error) {
	original, err := cluster.Open(cluster.Options{Dir: r.opts.Copy})
	if err != nil {
		return nil, err
	}
	original.Close()
	if err := copyDir(dir, r.opts.Copy); err != nil {
		return nil, err
	}
	c, err := cluster.Open(cluster.Options{Dir: dir, Mute: !r.scenario.registers()})
	if err != nil {
		return nil, err
	}
	if c.State().Twin() {
		r.paper = true
		return c, nil
	}
	if err := c.Apply(operation.Unbind()); err != nil { // the original may be running
		c.Close()
		return nil, err
	}
	return c, nil
}

// copyDir copies the files of a cluster's directory, which hold keys; sockets are left out.
func copyDir(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(filepath.Join(to, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// paper is a phone on paper: what it would do is known, and no socket is opened.
type paper struct {
	phone lockout.Phone
	world func() lockout.World // that of its cluster first
}

// newPaper makes the phone of a scenario. It holds what it has reported to its cluster.
func (r *runner) newPaper(p Phone, c *cluster.Cluster, servers []string) (Handset, error) {
	if p.MIC {
		return nil, fmt.Errorf("%w: a certificate of its maker, on paper", ErrNotHere)
	}
	h := &paper{phone: lockout.Phone{MAC: p.MAC, Model: p.Model}}
	h.world = func() lockout.World {
		w := lockout.World{c}
		for _, name := range slices.Sorted(maps.Keys(r.clusters)) {
			if other := r.clusters[name]; other != c {
				w = append(w, other)
			}
		}
		return w
	}
	reports, err := evidence.EventLogs(lockout.World{c})
	if err != nil {
		return nil, err
	}
	mac, _ := evidence.ParseMAC("SEP" + p.MAC)
	if last, known, err := reports.Last(mac); known && err == nil {
		recalled, _, err := evidence.Recall(h.world(), p.MAC, last.ITL.String(), last.CTL.String())
		if err != nil {
			return nil, err
		}
		h.phone.Stored = recalled.Stored
		r.say("%s holds what it has reported", p.Name)
	}
	h.phone.Servers = servers
	return h, nil
}

// Cycle implements Handset.
func (h *paper) Cycle(ctx context.Context) (*Cycle, error) {
	next, report, err := h.phone.Boot(ctx, h.world())
	if err != nil {
		return nil, err
	}
	h.phone = next
	return cycleOf(report), nil
}

// errPaper says that a phone on paper reaches nothing but in its boot cycles.
var errPaper = errors.New("the phone is on paper: it has no network")

// Shell implements Handset: commands that need no network.
func (h *paper) Shell(ctx context.Context, line string, answers []string) (string, bool, error) {
	store := holdings.NewMemStore(h.phone.Stored)
	a, err := agent.New(agent.Config{
		MAC: h.phone.MAC, Model: h.phone.Model, Servers: h.phone.Servers, Store: store, Now: h.world().Now, Rand: rand.Reader, Address: "127.0.0.1",
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errPaper },
		TFTP: func(context.Context, string, string, int) ([]byte, error) { return nil, errPaper },
	})
	if err != nil {
		return "", false, err
	}
	a.Remember(h.phone.Answers)
	var out strings.Builder
	in := strings.NewReader(strings.Join(append(answers[:len(answers):len(answers)], ""), "\n"))
	ok := shell.New(a, console.NewPlain(in, &out), shell.Options{}).Run(ctx, line)
	h.phone.Answers = a.Snapshot().Answers
	h.phone.Stored, err = holdings.Read(store)
	return out.String(), ok, err
}

// Servers implements Handset.
func (h *paper) Servers(_ context.Context, servers []string) error {
	h.phone.Servers = servers
	return nil
}

// Certificate implements Handset: there is none.
func (h *paper) Certificate() (*x509.Certificate, error) {
	return nil, fmt.Errorf("%w: a certificate, on paper", ErrNotHere)
}

// Close implements Handset.
func (h *paper) Close() {}
