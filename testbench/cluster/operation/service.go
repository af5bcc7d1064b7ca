package operation

import (
	"fmt"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
)

// Action is what is done to a service.
type Action string

// The actions, by the words of events.
const (
	Start   Action = "started"
	Stop    Action = "stopped"
	Restart Action = "restarted"
)

// Service starts, stops or restarts a service of a node. A service reads certificates,
// lists and trust stores when it starts: TFTP then serves a new ITL with its
// ordinary signature, and forgets a reset one.
func Service(node string, service profile.Service, action Action) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if action != Start && action != Stop && action != Restart {
			return fmt.Errorf("%q is neither start, stop nor restart", action)
		}
		if n.Spec().Absent[service] {
			return fmt.Errorf("%s does not run %s", n.Name, service)
		}
		n.Stopped[service] = action == Stop
		s.Event(n, appService, 6, "Service", "A service was "+string(action), events.Tag{Key: "Service", Value: string(service)})
		if action == Stop {
			return nil
		}
		switch service {
		case profile.TFTPService:
			s.Effects.Why = "TFTP was " + string(action)
			return startTFTP(s, n)
		case profile.TVSService:
			startTVS(s, n)
		case profile.TomcatService:
			startTomcat(s, n)
		case profile.CallManagerService:
			startCallManager(s, n)
		}
		return nil
	})
}

// RestartTFTP restarts the TFTP service of a node.
func RestartTFTP(node string) Operation { return Service(node, profile.TFTPService, Restart) }

// RestartTVS restarts the TVS service of a node.
func RestartTVS(node string) Operation { return Service(node, profile.TVSService, Restart) }

// startAll is what a start of every node does.
func startAll(s *state.State) error {
	for _, n := range s.Nodes {
		if err := startServices(s, n); err != nil {
			return err
		}
	}
	return nil
}

// startServices is what a start of the node does.
func startServices(s *state.State, n *state.Node) error {
	startTVS(s, n)
	startTomcat(s, n)
	startCallManager(s, n)
	return startTFTP(s, n)
}

func startTVS(s *state.State, n *state.Node) { n.Vouching, n.Stores = n.Units[profile.TVS], s.Imported }

func startTomcat(s *state.State, n *state.Node) { n.App = n.Units[profile.Tomcat] }

// startCallManager reads the certificate that secured phones are shown. Phones that are
// registered lose their connections, and come back.
func startCallManager(s *state.State, n *state.Node) {
	if n.Calls++; s.Mixed {
		n.Secure = n.Units[profile.CallManager]
	} else {
		n.Secure = nil
	}
}

// startTFTP reads the certificates and builds the ITL again.
func startTFTP(s *state.State, n *state.Node) error {
	itl, err := trustlist.BuildList(itlSpec(s, n), listSigner(s, n).SigningKey())
	if err != nil {
		return fmt.Errorf("%s: build ITL: %w", n.Name, err)
	}
	if len(itl) > trustlist.MaxListSize { // it is served all the same, as a large cluster does
		s.Event(n, appTFTP, 3, "ITLTooLarge", fmt.Sprintf("The ITL has %d bytes; phones read %d", len(itl), trustlist.MaxListSize))
	}
	serveITL(s, n, itl)
	return nil
}

// serveITL is a start of TFTP with a list that is there already.
func serveITL(s *state.State, n *state.Node, itl []byte) {
	n.OldITL, n.ITL, n.CTL = n.ITL, itl, s.CTL
	n.Signer, n.Web = n.Units[profile.CallManager], n.Units[profile.CallManagerEC]
}

// SetFault makes a service of a node fail as the kind says; profile.NoFault repairs it.
func SetFault(node string, service profile.Service, kind string) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if _, err := profile.ParseFault(service, kind); err != nil {
			return err
		}
		if kind == profile.NoFault {
			delete(n.Faults, service)
		} else {
			n.Faults[service] = kind
		}
		return nil
	})
}
