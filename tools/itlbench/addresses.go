package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"itlagent/testbench/cluster"
)

// portOrder is the order of a node's ports in lines for people.
var portOrder = []string{"tftp", "tvs", "https", "sip", "tomcat", "ssh", "sips", "sccp", "sccps"}

func addressLine(st cluster.NodeStatus) string {
	line := st.Name + " " + st.Role
	for _, name := range portOrder {
		if at := st.Addresses[name]; at != "" {
			line += " " + name + " " + at
		}
	}
	return line
}

// addresses are files in the directory of a cluster with the addresses of the nodes that
// this process runs, for scripts.
type addresses struct {
	dir     string
	cluster *cluster.Cluster
	nodes   []int       // their places: names change
	written [][2]string // names and contents
}

// addressesOf are the files of the nodes of some names, of all where there are none. Those
// of an earlier start are removed: whoever sees one finds the services up.
func addressesOf(dir string, c *cluster.Cluster, only []string) *addresses {
	a := &addresses{dir: dir, cluster: c}
	for i, st := range c.Status() {
		if len(only) == 0 || slices.Contains(only, st.Name) {
			a.nodes = append(a.nodes, i)
		}
	}
	a.remove(a.files())
	return a
}

// status returns the nodes that this process runs.
func (a *addresses) status() (nodes []cluster.NodeStatus) {
	all := a.cluster.Status()
	for _, i := range a.nodes {
		nodes = append(nodes, all[i])
	}
	return nodes
}

// print prints a line a node.
func (a *addresses) print(w io.Writer) {
	for _, st := range a.status() {
		fmt.Fprintln(w, addressLine(st))
	}
}

// follow writes the files where addresses or names are others than before, and removes
// those of former names. The file of the publisher's TFTP service comes last, so that
// whoever sees it finds the others too.
func (a *addresses) follow() error {
	now := a.files()
	if slices.Equal(now, a.written) {
		return nil
	}
	var gone [][2]string
	for _, file := range a.written {
		if !slices.ContainsFunc(now, func(other [2]string) bool { return other[0] == file[0] }) {
			gone = append(gone, file)
		}
	}
	a.remove(gone)
	for _, file := range now {
		if err := writeFile(filepath.Join(a.dir, file[0]), []byte(file[1]+"\n"), 0o600); err != nil {
			return err
		}
	}
	a.written = now
	return nil
}

func (a *addresses) remove(files [][2]string) {
	for _, file := range files {
		os.Remove(filepath.Join(a.dir, file[0]))
	}
}

// files returns names and contents of the files.
func (a *addresses) files() (files [][2]string) {
	nodes := a.status()
	slices.Reverse(nodes)
	slices.SortStableFunc(nodes, func(a, b cluster.NodeStatus) int { return strings.Compare(b.Role, a.Role) })
	for _, st := range nodes {
		for i := len(portOrder) - 1; i >= 0; i-- {
			if at := st.Addresses[portOrder[i]]; at != "" {
				files = append(files, [2]string{st.Name + "." + portOrder[i], at})
			}
		}
	}
	return files
}
