package admin

import (
	"errors"
	"fmt"
	"strconv"

	"itlagent/agent/trustlist"
	"itlagent/platform/console"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// The enterprise parameters.
const (
	parameterRollback = "Prepare Cluster for Rollback to Pre 8.0"
	parameterDigest   = "TFTP File Signature Algorithm"
	parameterKeys     = "Certificate Key Length"
)

var setCommands = []command{
	{words: "set cert regen", args: "UNIT", min: 1, max: 1, about: "make a certificate of this node and its key again", run: setCertRegen},
	{words: "set password user security", about: "change the security password of the cluster", publisher: true, run: setSecurityPassword},
	{words: "set enterprise parameter", args: `"NAME" VALUE`, min: 2, max: 2, own: true, about: "change a parameter: " + parameterRollback + ", " + parameterDigest + ", " + parameterKeys, run: setParameter},
	{words: "set network hostname", args: "NAME", min: 1, max: 1, about: "rename this node; its certificates are made again", run: setHostname},
	{words: "set network domain", args: "DOMAIN", min: 1, max: 1, about: "move this node to another domain; its certificates are made again", run: setDomain},
	{words: "utils network hostname", args: "NAME", min: 1, max: 1, about: "as set network hostname", run: setHostname},
	{words: "utils network domain", args: "DOMAIN", min: 1, max: 1, about: "as set network domain", run: setDomain},
	{words: "utils system upgrade initiate", args: "RELEASE", min: 1, max: 1, own: true, publisher: true, about: "make the cluster one of a later release: 10.0, 10.5, 11.5, 12.5 or 14", run: upgrade},
	{words: "utils fips enable", about: "FIPS mode; all certificates of this node are made again, ITLRecovery among them", run: func(s *Session, _ []string) error { return s.fips(true) }},
	{words: "utils fips disable", about: "end FIPS mode; all certificates of this node are made again", run: func(s *Session, _ []string) error { return s.fips(false) }},
	{words: "utils fips status", about: "whether this node is in FIPS mode", run: fipsStatus},
}

func setCertRegen(s *Session, args []string) error {
	release := s.cluster.State().Release()
	unit, err := unitOf(append(release.Units(), profile.IPsec), args[0])
	if err != nil {
		return err
	}
	if err := operation.Held(s.cluster.State(), s.Node.Name(), unit); err != nil {
		return err
	}
	s.say("\nWARNING: This operation will overwrite any CA signed certificate previously imported for %s", unit)
	if err := s.confirm("Proceed with regeneration (yes|no)? "); err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.Regenerate(s.Node.Name(), unit)); err != nil {
		return err
	}
	s.say("\nSuccessfully Regenerated Certificate for %s.\n"+
		"Please do a backup of the server as soon as possible. Failure to do so can stale the cluster in case of a crash.", unit)
	if !release.Restarts || unit == profile.ITLRecovery {
		s.say("You must restart services related to %s for the regenerated certificates to become active.", unit)
	}
	return nil
}

func setSecurityPassword(s *Session, _ []string) error {
	s.say("\nWARNING:\nThe security password protects %s. After a change the file must be saved again.\n", state.P12Name)
	if err := s.confirm("Continue (y/n)?"); err != nil {
		return err
	}
	var words [3]string
	for i, prompt := range []string{"Please enter the old password: ", "Please enter the new password: ", "Reenter new password to confirm: "} {
		var err error
		if words[i], err = s.io.Ask(prompt, console.Masked); err != nil {
			return err
		}
	}
	switch {
	case !s.cluster.State().CheckSecurity(words[0]):
		return errors.New("The old password is not correct. Nothing was changed.")
	case words[1] != words[2]:
		return errors.New("The new passwords do not match. Nothing was changed.")
	}
	if err := s.cluster.Apply(operation.SetSecurityPassword(words[1])); err != nil {
		return err
	}
	s.say("Password updated successfully.")
	return nil
}

func setParameter(s *Session, args []string) error {
	value := args[1]
	switch args[0] {
	case parameterRollback:
		on, err := strconv.ParseBool(value)
		if err != nil {
			return usageError(parameterRollback + ": True or False")
		}
		if err := s.cluster.Apply(operation.SetRollback(on)); err != nil {
			return err
		}
		if release := s.cluster.State().Release(); release.RollbackResets {
			s.say("Services are restarted and devices are reset.")
		} else {
			s.say("Restart Cisco Trust Verification Service and Cisco Tftp on every node, and reset all devices.")
		}
	case parameterDigest:
		digests := map[string]trustlist.Digest{"SHA-1": trustlist.SHA1, "SHA-512": trustlist.SHA512}
		d, ok := digests[value]
		if !ok {
			return usageError(parameterDigest + ": SHA-1 or SHA-512")
		}
		if err := s.cluster.Apply(operation.SetDigest(d)); err != nil {
			return err
		}
		s.say("Restart Cisco Tftp on every node, and reset all devices.")
	case parameterKeys:
		bits, err := strconv.Atoi(value)
		if err != nil {
			return usageError(parameterKeys + ": 1024, 2048 or 4096")
		}
		if err := s.cluster.Apply(operation.SetKeyBits(bits)); err != nil {
			return usageError(err.Error())
		}
		s.say("Certificates have that key length from their next regeneration on, but for ITLRecovery.")
	default:
		return usageError(fmt.Sprintf("There is no parameter %q; see show enterprise parameters", args[0]))
	}
	return nil
}

func setHostname(s *Session, args []string) error { return s.rename(args[0], "") }
func setDomain(s *Session, args []string) error   { return s.rename("", args[0]) }

func (s *Session) rename(host, domain string) error {
	s.say("\n***   W A R N I N G   ***\nAll certificates of this node but ITLRecovery are regenerated, its services restarted and devices reset.\n")
	if err := s.confirm("Continue (y/n)?"); err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.Rename(s.Node.Name(), host, domain)); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	s.say("This node is now %s", s.Node.State().FQDN())
	return nil
}

func upgrade(s *Session, args []string) error {
	if err := s.confirm("This operation upgrades every node and restarts its services. Do you want to continue? (y/n):"); err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.Upgrade(args[0])); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	s.say("Upgrade completed successfully. Active Master Version: %s", s.cluster.State().Release().Version)
	return nil
}

func (s *Session) fips(on bool) error {
	if err := s.confirm("All certificates of this node, ITLRecovery among them, are regenerated, its services restarted and devices reset. Do you want to continue? (y/n):"); err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.SetFIPS(s.Node.Name(), on)); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	return fipsStatus(s, nil)
}

func fipsStatus(s *Session, _ []string) error {
	state := "non-FIPS"
	if s.Node.State().FIPS {
		state = "FIPS"
	}
	s.say("The system is operating in %s mode.", state)
	return nil
}
