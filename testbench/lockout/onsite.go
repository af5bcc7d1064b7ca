package lockout

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"

	"itlagent/agent/holdings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// The rows of the table that need something from outside the cluster: a saved key, another
// cluster, or somebody at the phone.

func remoteKey() *row {
	return &row{
		name: "remote-key", temporary: true,
		commands: func(s *sheet, _ *action) {
			s.admin("", "{admin}", "utils itl reset remotekey SFTP-HOST USER PATH/%s", state.P12Name)
		},
		do: func(_ World, c *cluster.Cluster, a *action) error { return c.Apply(operation.ResetITL(a.key)) },
		remedies: func(s *situation) []Remedy {
			key := s.savedKey()
			if key == nil {
				return nil
			}
			return []Remedy{{Name: "reset-remotekey", What: "reset the ITL with the recovery key that was saved", actions: []action{{op: remoteKey(), cluster: s.at, key: key}}}}
		},
	}
}

func importCertificates() *row {
	return &row{
		name: "import", args: "TO", about: "let this cluster's TVS know that one's certificates",
		parse: func(p *parser, args []string) (Change, error) {
			to, err := p.other(args)
			return Change{actions: []action{{op: importCertificates(), from: to}}}, err
		},
		commands: func(s *sheet, a *action) {
			for _, i := range imports(s.w[a.from]) {
				c := s.admin("", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})), "set cert import trust %s", i.store)
				c.About = i.cert.Subject.CommonName + " of " + s.w[a.from].State().Profile.Name
			}
			for _, name := range active(s.c, profile.TVSService) {
				s.admin(name, "", "utils service restart %s", profile.TVSService)
			}
		},
		do: func(w World, c *cluster.Cluster, a *action) (err error) {
			for _, i := range imports(w[a.from]) {
				err = errors.Join(err, c.Apply(operation.Import(i.store, i.cert)))
			}
			for _, name := range active(c, profile.TVSService) {
				err = errors.Join(err, c.Apply(operation.RestartTVS(name)))
			}
			return err
		},
		remedies: func(s *situation) (all []Remedy) {
			for _, from := range s.w.vouching(s.p) {
				if from != s.at {
					all = append(all, Remedy{Name: "import", What: "let the phone's TVS know the cluster that serves it",
						actions: []action{{op: importCertificates(), cluster: from, from: s.at}}})
				}
			}
			return all
		},
	}
}

// importOf is a certificate that goes into a trust store.
type importOf struct {
	store profile.Store
	cert  *x509.Certificate
}

// imports are the certificates of a cluster that another one must know for phones
// to move: of every TFTP node the CallManager certificate, and ITLRecovery.
func imports(c *cluster.Cluster) (all []importOf) {
	callManagers, recovery := c.State().Foreign()
	for _, cert := range callManagers {
		all = append(all, importOf{profile.CallManagerTrust, cert}, importOf{profile.PhoneSASTTrust, cert})
	}
	if recovery != nil {
		all = append(all, importOf{profile.PhoneSASTTrust, recovery})
	}
	return all
}

// active returns the names of the nodes that are to run a service, whether or not it is
// stopped.
func active(c *cluster.Cluster, service profile.Service) (names []string) {
	for _, n := range c.Nodes() {
		if n.State().Active(service) {
			names = append(names, n.Name())
		}
	}
	return names
}

func migrate() *row {
	return &row{
		name: "migrate", args: "TO", about: "give the phones the TFTP servers of another cluster: its directory, or the profile of a new one",
		parse: func(p *parser, args []string) (Change, error) {
			to, err := p.other(args)
			return Change{actions: []action{{op: migrate(), cluster: to}}}, err
		},
		commands: func(s *sheet, a *action) {
			s.other("dhcp", "", "DHCP option 150: %s", strings.Join(a.servers(s.w), " "))
		},
		move: func(w World, a *action, p Phone) (Phone, error) {
			if p.Servers = a.servers(w); len(p.Servers) == 0 {
				return p, errors.New("no node runs TFTP")
			}
			return p, nil
		},
		remedies: func(s *situation) (all []Remedy) {
			give := func(name, what string, a action) {
				a.op = migrate()
				all = append(all, Remedy{Name: name, What: "give the phone the TFTP server" + what, actions: []action{a}})
			}
			for i, c := range s.w {
				if i != s.at {
					give("old-servers", "s of "+c.State().Profile.Name, action{cluster: i})
					continue
				}
				names := c.State().TFTPNodes()
				for _, name := range names {
					if len(names) > 1 || len(s.w.broken(profile.TFTPService)) > 0 {
						give("other-server", " "+name+" alone", action{cluster: i, node: name})
					}
				}
			}
			return all
		},
	}
}

// servers are the TFTP servers that a migration gives to phones: those of a cluster, or of one
// node of it.
func (a *action) servers(w World) []string {
	list := Servers(w[a.cluster])
	if a.node == "" {
		return list
	}
	n, err := w[a.cluster].Node(a.at(w[a.cluster]))
	if err != nil || !slices.Contains(list, n.State().Advertised("http")) {
		return nil
	}
	return []string{n.State().Advertised("http")}
}

// Servers returns the TFTP servers that the phones of a cluster are given, "host:port":
// the nodes that are to run the service, whether or not it is stopped.
func Servers(c *cluster.Cluster) (list []string) {
	for _, n := range c.Nodes() {
		if n.State().Active(profile.TFTPService) {
			list = append(list, n.State().Advertised("http"))
		}
	}
	return list
}

// errMenuDisabled says that nobody can change anything in the phone's settings menu.
var errMenuDisabled = errors.New("the phone's settings menu is disabled (settingsAccess)")

func alternate() *row {
	return &row{
		name: "alternate", onSite: true,
		commands: func(s *sheet, _ *action) { s.other("phone", "", "set alttftp no") },
		move: func(_ World, _ *action, p Phone) (Phone, error) {
			if !p.menu() {
				return p, errMenuDisabled
			}
			return p.changed(func(h *holdings.Holdings) error { return h.SetNetwork(holdings.Network{}) })
		},
		remedies: func(s *situation) []Remedy {
			if !holdings.Load(s.p.Stored).Network.Alternate || !s.menu() {
				return nil
			}
			return []Remedy{{Name: "alternate", What: "let the phone use the TFTP servers of DHCP", actions: []action{{op: alternate()}}}}
		},
	}
}

func erase() *row {
	return &row{
		name: "erase", onSite: true,
		commands: func(s *sheet, _ *action) {
			s.other("phone", "", "erase itl")
			s.other("phone", "", "erase ctl")
		},
		move: func(_ World, _ *action, p Phone) (Phone, error) {
			if !p.menu() {
				return p, errMenuDisabled
			}
			return p.changed(func(h *holdings.Holdings) error { return h.Erase(trustlist.ITL, trustlist.CTL) })
		},
		remedies: func(s *situation) []Remedy {
			if s.p.Stored["itl"] == nil && s.p.Stored["ctl"] == nil || !s.menu() {
				return nil
			}
			return []Remedy{{Name: "erase", What: "delete the lists of the phone by hand", actions: []action{{op: erase()}}}}
		},
	}
}

func factoryReset() *row {
	return &row{
		name: "factory-reset", onSite: true,
		commands: func(s *sheet, _ *action) { s.other("phone", "yes", "factory-reset") },
		move: func(_ World, _ *action, p Phone) (Phone, error) {
			return p.changed((*holdings.Holdings).FactoryReset)
		},
		remedies: func(*situation) []Remedy {
			return []Remedy{{Name: "factory-reset", What: "reset the phone to factory settings", actions: []action{{op: factoryReset()}}}}
		},
	}
}
