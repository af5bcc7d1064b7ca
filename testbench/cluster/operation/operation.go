// Package operation is what an administrator and the bench can do to a cluster. An
// operation is a function of a state: it changes the copy that it is given, or returns
// an error, after which the copy is thrown away.
//
//	err := c.Apply(operation.Regenerate("test10pub", profile.CallManager))
//	err = c.Apply(operation.RestartTFTP("test10pub"))
//
// An operation opens no file and no connection. Random numbers for keys are the only
// thing that it does not find in the state. It may be used more than once, also at the
// same time. What each changes, and when phones see it, follows Cisco's note on ITL
// enhancements in release 10.0(1), and the security guides of later releases.
package operation

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip"
)

// Operation changes a copy of a state.
type Operation func(*state.State) error

// ErrNoNode says that the cluster has no node of a name.
var ErrNoNode = errors.New("no node")

// NodeIndex returns the place of the node of a name, or ErrNoNode.
func NodeIndex(s *state.State, name string) (int, error) {
	var names []string
	for i, n := range s.Nodes {
		if n.Name == name {
			return i, nil
		}
		names = append(names, n.Name)
	}
	return -1, fmt.Errorf("%w %q in the cluster; there are: %s", ErrNoNode, name, strings.Join(names, ", "))
}

// onNode is an operation on one node.
func onNode(name string, operation func(*state.State, *state.Node) error) Operation {
	return func(s *state.State) error {
		i, err := NodeIndex(s, name)
		if err != nil {
			return err
		}
		return operation(s, s.Nodes[i])
	}
}

// Applications that events come from.
const (
	appCert    = "UC_CERT"
	appTFTP    = "UC_TFTP"
	appCCM     = "UC_CALLMANAGER"
	appDRS     = "UC_DRS"
	appService = "UC_SERVICE"
	appInstall = "UC_INSTALL"
)

// ResetPhones tells every phone to reset.
func ResetPhones(why string) Operation {
	return func(s *state.State) error { resetPhones(s, why); return nil }
}

// Reset gives an order to registered phones: to all, to one, or to those of a node.
func Reset(o state.Order, why string) Operation {
	return func(s *state.State) error {
		if !slices.Contains(sip.Actions(), sip.Action(o.Action)) {
			return fmt.Errorf("%q is nothing that phones are told; there are: %v", o.Action, sip.Actions())
		}
		if o.Rate < 0 || o.Rate > state.MaxRate {
			return fmt.Errorf("a rate of %d phones a second; at most %d", o.Rate, state.MaxRate)
		}
		whom, n := "Every phone", s.Publisher()
		switch {
		case o.Device != "":
			if s.Phone(strings.TrimPrefix(o.Device, "SEP")) == nil {
				return fmt.Errorf("no phone %s", o.Device)
			}
			whom = o.Device
		case o.Node != "":
			i, err := NodeIndex(s, o.Node)
			if err != nil {
				return err
			}
			whom, n = "Every phone of "+o.Node, s.Nodes[i]
		}
		s.AddOrder(o)
		s.Event(n, appCCM, 6, "DeviceReset", whom+" was told to "+o.Action+": "+why)
		return nil
	}
}

func resetPhones(s *state.State, why string) {
	s.AddOrder(state.Order{Action: string(sip.Reset)})
	s.Event(s.Publisher(), appCCM, 6, "DeviceReset", "Every phone was told to reset: "+why)
}

// SetPort notes the number of a port, of profile.AllPorts, that a node was given.
func SetPort(node int, name string, port int) Operation {
	return func(s *state.State) error { s.Nodes[node].Ports[name] = port; return nil }
}

// Unbind makes every node listen on free ports from its next start on, on the
// addresses that it has.
func Unbind() Operation {
	return func(s *state.State) error {
		s.Profile.Nodes = slices.Clone(s.Profile.Nodes)
		for i, n := range s.Nodes {
			s.Profile.Nodes[i].Port, s.Profile.Nodes[i].Ports = 0, nil
			clear(n.Ports)
		}
		return nil
	}
}
