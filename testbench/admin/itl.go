package admin

import (
	"fmt"
	"slices"
	"strings"

	"itlagent/platform/console"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/pki"
)

var itlCommands = []command{
	{words: "utils itl reset localkey", publisher: true, about: "sign the ITL with the recovery key of this publisher", run: itlResetLocal},
	{words: "utils itl reset remotekey", args: "HOST[:PORT] USER PATH", min: 3, max: 3, publisher: true, about: "sign the ITL with a recovery key that is kept on an SFTP server", run: itlResetRemote},
	{words: "utils ctl set-cluster mixed-mode", publisher: true, about: "make a CTL and turn mixed mode on", run: func(s *Session, _ []string) error { return s.setMode(true) }},
	{words: "utils ctl set-cluster non-secure-mode", publisher: true, about: "turn mixed mode off", run: func(s *Session, _ []string) error { return s.setMode(false) }},
	{words: "utils ctl update CTLFile", publisher: true, about: "make the CTL again", run: ctlUpdate},
	{words: "utils ctl reset localkey", publisher: true, about: "sign the CTL with the recovery key of this publisher", run: ctlReset},
}

func itlResetLocal(s *Session, _ []string) error {
	if err := s.authenticate(); err != nil {
		return err
	}
	return s.resetITL(nil)
}

func itlResetRemote(s *Session, args []string) error {
	password, err := s.io.Ask("Enter Sftp password :", console.Unbroken)
	if err != nil {
		return err
	}
	s.say("Processing token in else 0 tac\ncount is 1\nProcessing token in else 0 tac\ncount is 1")
	kept, err := s.fetchP12(args[0], args[1], password, args[2])
	if err == nil {
		err = s.checkKey(kept)
	}
	if err != nil {
		return fmt.Errorf("%w\nThe reset ITL file was not generated. Nothing was changed.", err)
	}
	s.say("")
	if err := s.authenticate(); err != nil {
		return err
	}
	return s.resetITL(kept)
}

func (s *Session) resetITL(kept *pki.Identity) error {
	s.say("\nLocating active Tftp servers in the cluster.....\n")
	s.nodeList(s.cluster.State().TFTPNodes())
	names := s.cluster.State().TFTPNodes()
	if err := s.cluster.Apply(operation.ResetITL(kept)); err != nil {
		return fmt.Errorf("%w\nNothing was changed.", err)
	}
	s.say("The reset ITL file was generated successfully\n")
	s.say("Transferring new reset ITL file to the TFTP server nodes in the cluster.....\n")
	s.transferred(names, "ITL")
	return nil
}

func (s *Session) nodeList(names []string) {
	s.say("Following is the list of Active tftp servers in the cluster\n\n['%s']\n", strings.Join(names, "', '"))
}

func (s *Session) transferred(names []string, what string) {
	for _, name := range names {
		if name != s.Node.Name() {
			s.say("Successfully transferred reset %s to node %s\n", what, name)
		}
		s.say("Restarting Cisco Tftp service on host %s\nCisco Tftp service restarted on host %s", name, name)
	}
}

func (s *Session) setMode(mixed bool) error {
	name, words := "Non-Secure Mode", s.ctlWords()
	if mixed {
		name = "Mixed Mode"
	}
	if err := s.confirm(words.set(name) + " Do you want to continue? (y/n):"); err != nil {
		return err
	}
	s.say("\nMoving Cluster to %s", name)
	if err := s.cluster.Apply(operation.SetMixedMode(mixed)); err != nil {
		return err
	}
	s.say("Cluster set to %s\n%s", name, words.done)
	return nil
}

func ctlUpdate(s *Session, _ []string) error {
	words := s.ctlWords()
	if err := s.confirm(words.update + " Do you want to continue? (y/n):"); err != nil {
		return err
	}
	s.say("\nUpdating CTL file")
	if err := s.cluster.Apply(operation.UpdateCTL()); err != nil {
		return err
	}
	s.say("CTL file Updated\n%s", words.done)
	return nil
}

// ctlWords are what `utils ctl` says in a release.
type ctlWords struct {
	set          func(mode string) string
	update, done string
}

// ctlWords returns those of this cluster's release: of Cisco's documents on 10.x, and on
// 11.6 for later ones.
func (s *Session) ctlWords() ctlWords {
	if profile.ReleaseIndex(s.cluster.State().Profile.Release) <= profile.ReleaseIndex("11.5") {
		return ctlWords{
			set: func(mode string) string {
				return fmt.Sprintf("This operation sets the cluster to %s.", lowerMode(mode))
			},
			update: "This operation updates the CTLFile.",
			done:   "Please Restart the TFTP and Cisco CallManager services on all nodes in the cluster that run these services",
		}
	}
	return ctlWords{
		set: func(mode string) string {
			return fmt.Sprintf("This operation will set the cluster to %s.", lowerMode(mode))
		},
		update: "This operation will update the CTLFile.",
		done: "You must reset all phones to ensure they received the updated CTL file.\n" +
			"You must restart Cisco CTIManager services on all the nodes in the cluster that have the service activated.",
	}
}

// lowerMode writes "Mixed mode", as the questions do.
func lowerMode(name string) string { return strings.TrimSuffix(name, "Mode") + "mode" }

func ctlReset(s *Session, _ []string) error {
	if err := s.authenticate(); err != nil {
		return err
	}
	s.say("\nLocating active Tftp servers in the cluster.....\n")
	s.nodeList(s.cluster.State().TFTPNodes())
	names := s.cluster.State().TFTPNodes()
	if err := s.cluster.Apply(operation.ResetCTL()); err != nil {
		return fmt.Errorf("%w\nNothing was changed.", err)
	}
	s.say("The reset CTL file was generated successfully\n")
	s.say("Transferring new reset CTL file to the TFTP server nodes in the cluster.....\n")
	s.transferred(names, "CTL")
	return nil
}

var serviceCommands = []command{
	{words: "utils service list", about: "the services of this node", run: serviceList},
	{words: "utils service start", args: "NAME", min: 1, max: 8, about: "start a service", run: func(s *Session, a []string) error { return s.service(a, operation.Start) }},
	{words: "utils service stop", args: "NAME", min: 1, max: 8, about: "stop a service", run: func(s *Session, a []string) error { return s.service(a, operation.Stop) }},
	{words: "utils service restart", args: "NAME", min: 1, max: 8, about: "stop and start a service", run: func(s *Session, a []string) error { return s.service(a, operation.Restart) }},
	{words: "utils disaster_recovery backup", args: "NAME", min: 1, max: 1, publisher: true, about: "write a backup", run: backup},
	{words: "utils disaster_recovery restore", args: "NAME", min: 1, max: 1, publisher: true, about: "put a backup back", run: restore},
}

func serviceList(s *Session, _ []string) error {
	s.say("Requesting service status, please wait...\nSystem SSH [STARTED]")
	for _, service := range profile.Services() {
		switch active, started := s.Node.State().Runs(service); {
		case !active:
			s.say("%s[STOPPED]  Service Not Activated", service)
		case started:
			s.say("%s[STARTED]", service)
		default:
			s.say("%s[STOPPED]  Commanded Out of Service", service)
		}
	}
	return nil
}

func (s *Session) service(args []string, action operation.Action) error {
	name := strings.Join(args, " ")
	service, err := profile.FindService(name)
	if err != nil {
		return usageError(fmt.Sprintf("%s is not a service of this node; see utils service list", name))
	}
	if active, _ := s.Node.State().Runs(service); !active {
		return fmt.Errorf("%s[STOPPED]  Service Not Activated", service)
	}
	s.say("Service Manager is running")
	if err := s.cluster.Apply(operation.Service(s.Node.Name(), service, action)); err != nil {
		return err
	}
	if action != operation.Start {
		s.say("%s[STOPPING]\nCommanded Out of Service\n%s[NOTRUNNING]", service, service)
	}
	if action != operation.Stop {
		s.say("%s[STARTING]\n%s[STARTED]", service, service)
	}
	return nil
}

func backup(s *Session, args []string) error {
	if err := s.cluster.Backup(args[0]); err != nil {
		return err
	}
	s.say("drfCliMsg: Backup completed successfully. Backup file: %s", args[0])
	return nil
}

func restore(s *Session, args []string) error {
	if !slices.Contains(s.cluster.Backups(), args[0]) {
		return fmt.Errorf("%w %s\nNothing was changed.", store.ErrNoBackup, args[0])
	}
	if err := s.confirm("This operation replaces the data of every node. Do you want to continue? (y/n):"); err != nil {
		return err
	}
	if err := s.cluster.Restore(args[0]); err != nil {
		return fmt.Errorf("%w\nNothing was changed.", err)
	}
	s.say("drfCliMsg: Restore completed successfully. Reset all devices.")
	return nil
}
