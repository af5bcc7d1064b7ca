package cluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"itlagent/testbench/cluster/registrar"
)

// maxPhones bounds what is read of a node's phones from another process, in bytes: some
// 400 for each.
const maxPhones = 64 << 20

// endOfPhones is the line behind the last phone.
const endOfPhones = "."

// Phones returns every phone that is registered with a node, or was since the node's
// start, in the order of their names. Of one that several nodes know, the registration
// counts, and the latest one. Nodes that are down know nobody.
func (c *Cluster) Phones() ([]registrar.Phone, error) {
	last := make(map[string]registrar.Phone)
	for _, n := range c.nodes {
		phones, err := n.phones()
		if err != nil && !errors.Is(err, errDown) {
			return nil, fmt.Errorf("node %s: %w", n.Name(), err)
		}
		for _, p := range phones {
			old, ok := last[p.Device]
			if !ok || p.Registered && !old.Registered || p.Registered == old.Registered && p.Since.After(old.Since) {
				last[p.Device] = p
			}
		}
	}
	all := make([]registrar.Phone, 0, len(last))
	for _, p := range last {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b registrar.Phone) int { return strings.Compare(a.Device, b.Device) })
	return all, nil
}

// phones returns the phones of a node, of this process or another one.
func (n *Node) phones() ([]registrar.Phone, error) {
	c := n.cluster
	c.serving.Lock()
	here := c.up && (c.opts.Dir == "" || n.hosts != nil)
	c.serving.Unlock()
	if here {
		return n.services.Phones(), nil
	}
	if c.opts.Dir == "" {
		return nil, errDown
	}
	var phones []registrar.Phone
	err := c.inDir(controlPath(n.index), func(path string) error {
		conn, err := net.DialTimeout("unix", path, controlTime)
		if err != nil {
			return errDown
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(controlTime))
		if _, err := fmt.Fprintln(conn, "phones"); err != nil {
			return errDown
		}
		phones, err = readPhones(conn)
		return err
	})
	return phones, err
}

func readPhones(r io.Reader) (phones []registrar.Phone, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxPhones))
	for lines.Scan() {
		if lines.Text() == endOfPhones {
			return phones, nil
		}
		var p registrar.Phone
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return nil, fmt.Errorf("phones: %w", err)
		}
		phones = append(phones, p)
	}
	return nil, errors.Join(lines.Err(), errDown)
}

func writePhones(w io.Writer, phones []registrar.Phone) error {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	for i := range phones {
		if err := lines.Encode(&phones[i]); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, endOfPhones)
	return out.Flush()
}
