package lockout

import (
	"crypto/x509"

	"itlagent/agent/holdings"
	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// registers reports whether a phone that trusts what it is served can register: a secured
// one does so by TLS alone, with a call manager whose certificate its CTL or ITL has with
// the role CCM or CCM+TFTP. Call managers that do not run, and those of no known cluster,
// say nothing about the phone.
func (w World) registers(p Phone) bool {
	held := holdings.Load(p.Stored)
	if held.Settings.SecurityMode() == settings.NonSecure {
		return true
	}
	refused := false
	for _, address := range held.Settings.SecureManagers {
		n, port := w.node(address)
		if n == nil || port != "sips" {
			continue
		}
		shows := n.State().Secure
		if _, started := n.State().Runs(profile.CallManagerService); !started || shows == nil {
			continue
		}
		if listsCallManager(held.CTL, shows.Certificate) || listsCallManager(held.ITL, shows.Certificate) {
			return true
		}
		refused = true
	}
	return !refused
}

func listsCallManager(list *trustlist.File, cert *x509.Certificate) bool {
	if list == nil {
		return false
	}
	for i := range list.Records {
		r := &list.Records[i]
		if (r.Role() == trustlist.CCM || r.Role() == trustlist.CCMTFTP) && r.MatchesCertificate(cert) {
			return true
		}
	}
	return false
}

// ctlUpdate makes the CTL again: it then has the certificates that call managers have now.
func ctlUpdate() *row {
	return &row{
		name: "ctl-update", about: "utils ctl update CTLFile, and a restart of TFTP where that is needed to serve it",
		parse: func(_ *parser, args []string) (Change, error) {
			return Change{actions: []action{{op: ctlUpdate()}}}, noWords(args)
		},
		commands: func(s *sheet, _ *action) {
			s.admin("", "y", "utils ctl update CTLFile")
			if s.c.State().Release().CTLAtOnce() {
				return
			}
			for _, name := range s.c.State().TFTPNodes() {
				s.admin(name, "", "utils service restart %s", profile.TFTPService)
			}
		},
		do: func(w World, c *cluster.Cluster, _ *action) error {
			if err := c.Apply(operation.UpdateCTL()); err != nil || c.State().Release().CTLAtOnce() {
				return err
			}
			for _, name := range c.State().TFTPNodes() {
				if err := c.Apply(operation.RestartTFTP(name)); err != nil {
					return err
				}
			}
			return nil
		},
		remedies: func(s *situation) []Remedy {
			if s.c().Publisher().State().CTL == nil {
				return nil
			}
			return []Remedy{{Name: "update-ctl", What: "make the CTL again, with the certificates that the call managers have now; a phone that cannot register takes it when it boots next",
				actions: []action{{op: ctlUpdate(), cluster: s.at}}}}
		},
	}
}
