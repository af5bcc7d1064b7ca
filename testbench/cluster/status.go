package cluster

import (
	"fmt"
	"os"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
)

// NodeStatus describes a node.
type NodeStatus struct {
	Name      string            `json:"name"`
	Domain    string            `json:"domain"`
	Role      string            `json:"role"` // "publisher" or "subscriber"
	Up        bool              `json:"up"`
	PID       int               `json:"pid"` // 0 where it is not up
	Addresses map[string]string `json:"addresses"`
	Services  map[string]string `json:"services"` // "started", "stopped", or "absent"
	Faults    map[string]string `json:"faults"`
	ITLSigner string            `json:"itlSigner"`
}

// Status describes every node.
func (c *Cluster) Status() []NodeStatus {
	s := c.State()
	c.serving.Lock()
	up := c.up
	c.serving.Unlock()
	var out []NodeStatus
	for i, n := range c.nodes {
		node := s.Nodes[i]
		st := NodeStatus{Name: node.Name, Domain: node.Domain, Role: "subscriber",
			Addresses: make(map[string]string), Services: make(map[string]string), Faults: make(map[string]string)}
		if node.IsPublisher() {
			st.Role = "publisher"
		}
		if c.opts.Dir != "" {
			if answer, err := c.ask(n, "pid"); err == nil {
				fmt.Sscan(answer, &st.PID)
				st.Up = true
			}
		} else {
			st.Up, st.PID = up, os.Getpid()
		}
		for name := range node.Ports {
			st.Addresses[name] = node.Address(name)
		}
		for _, service := range profile.Services() {
			name := profile.ShortName(service)
			switch {
			case node.Spec().Absent[service]:
				st.Services[name] = "absent"
			case node.Stopped[service]:
				st.Services[name] = "stopped"
			default:
				st.Services[name] = "started"
			}
			if kind := node.Faults[service]; kind != "" {
				st.Faults[name] = kind
			}
		}
		if list, err := trustlist.Parse(trustlist.ITL, node.ITL); err == nil {
			st.ITLSigner = string(list.Signer.Name)
		}
		out = append(out, st)
	}
	return out
}
