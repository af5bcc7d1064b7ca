package operation

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// Set changes a setting in the configuration of a phone, such as "webAccess".
func Set(mac, name, value string) Operation {
	return func(s *state.State) error {
		p := s.Phone(mac)
		if p == nil {
			return fmt.Errorf("no phone with MAC address %s", mac)
		}
		if _, ok := p.Settings[name]; !ok && name != state.SecuritySetting && !state.IsDeviceSetting(name) {
			return fmt.Errorf("phones have no setting %q", name)
		}
		if err := profile.CheckSetting(name, value); err != nil {
			return err
		}
		settings := maps.Clone(p.Settings)
		settings[name] = value
		p.Settings = settings
		return nil
	}
}

// Encrypt makes the configuration of a phone one that only the key of its
// certificate opens; nil ends that.
func Encrypt(mac string, cert *x509.Certificate) Operation {
	return func(s *state.State) error {
		p := s.Phone(mac)
		if p == nil {
			return fmt.Errorf("no phone with MAC address %s", mac)
		}
		p.Certificate = nil
		if cert == nil {
			return nil
		}
		if _, ok := cert.PublicKey.(*rsa.PublicKey); !ok {
			return errors.New("the phone's key is not RSA")
		}
		p.Certificate = &pki.Identity{Certificate: cert}
		return nil
	}
}
