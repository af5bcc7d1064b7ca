// Package settings reads a phone's configuration, SEP<MAC>.cnf.xml or
// XMLDefault.cnf.xml: the servers that answer for trust, and the settings that a
// locked phone cannot be given.
//
//	s, err := settings.Parse(content)
//	for _, w := range s.Warnings {
//		log.Print(w)
//	}
//	fmt.Println(s.TVS, s.WebAccess(), s.MayChangeSettings())
//
// Unknown elements are ignored. A document of more than MaxSize bytes, nested
// deeper than MaxDepth, or not well formed is refused whole. A single value that
// cannot be used is left out, with a warning. Parse is a pure function and safe
// for concurrent use. The elements are those of CUCM's files and of hand-made
// ones of about 40 sources; what these leave open is in quirks.go.
package settings

import (
	"errors"
	"strings"
)

// Limits of a configuration.
const (
	MaxSize     = 2048 << 10 // bytes; 78xx and 88xx phones download no more
	MaxDepth    = 64         // elements inside each other
	MaxWarnings = 20         // of one configuration, without the line that says how many more there were

	maxText    = 4 << 10 // bytes of one value
	maxServers = 5       // members of a group that are used, as documented
	maxMembers = 20      // members of a group that are read
	maxLoads   = 256     // loadInformation elements for single models
	maxModel   = 64      // bytes of the model attribute of one
)

// Settings is what is used of a configuration. The zero value is that of a phone
// without one.
type Settings struct {
	TVS []string // "host:port" in the order of priority

	// Values as they stand in the file; "" where absent or unusable. The methods
	// of the same name say what they mean.
	Web          string // webAccess
	Settings     string // settingsAccess
	SSH          string // sshAccess
	SPANToPCPort string // spanToPCPort
	Secure       string // deviceSecurityMode
	Transport    string // transportLayerProtocol

	Default bool   // the root is <Default>: a configuration for devices that the cluster does not know
	Name    string // of the device, as in "SEP64A0E71502CC"; XMLDefault has none
	Load    string // loadInformation; see LoadFor
	Stamp   string // versionStamp, by which the cluster knows whether a phone has the newest

	CallManagers   []string // "host:port" of SIP in the order of priority
	SecureManagers []string // the same for SIP over TLS
	SkinnyManagers []string // the same for SCCP; by TLS the port is SecureSkinny higher
	Protocol       string   // deviceProtocol
	Directory      string   // directoryURL
	Services       string   // servicesURL
	ShellUser      string   // sshUserId
	ShellPassword  string   // sshPassword

	// A reduced configuration says that the whole one is encrypted.
	Reduced  bool   // fullConfig is false
	Encrypt  bool   // encrConfig is true
	CertHash string // MD5 of the phone's certificate that it is encrypted for, hex

	// Warnings name what was left out: "line 12: sipPort: ...". At most MaxWarnings
	// and one that counts the rest. They are printable and show no password.
	Warnings []string

	loads []load // of XMLDefault
}

// load is loadInformation436 and its like: the firmware for one model.
type load struct{ model, name string }

// ErrTooLarge says that a configuration exceeds MaxSize or MaxDepth.
var ErrTooLarge = errors.New("configuration too large")

// LoadFor returns the firmware that a model such as "CP-7965G" is to run:
// loadInformation, or that of the default configuration for the model; "" where
// the file names none.
func (s Settings) LoadFor(model string) string {
	if s.Load != "" {
		return s.Load
	}
	number := func(word string) string { return strings.TrimRight(strings.TrimPrefix(word, "CP-"), modelLetters) }
	want := number(model)
	for _, l := range s.loads {
		for word := range strings.FieldsSeq(l.model) {
			if want != "" && number(word) == want {
				return l.name
			}
		}
	}
	return ""
}

const modelLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"

// Access is what a configuration says about one way into the phone.
type Access uint8

// What a configuration says.
const (
	AccessUnset Access = iota // nothing
	AccessEnabled
	AccessDisabled
	AccessRestricted // the value 2; see quirks.go
)

// String returns the word that the phone's page shows, "" for AccessUnset.
func (a Access) String() string {
	return [...]string{AccessUnset: "", AccessEnabled: "Enabled", AccessDisabled: "Disabled", AccessRestricted: "Restricted"}[a%4]
}

// The values of settingsAccess and of the others: they say the opposite.
var (
	settingsValues = map[string]Access{"0": AccessDisabled, "1": AccessEnabled, "2": AccessRestricted}
	serviceValues  = map[string]Access{"0": AccessEnabled, "1": AccessDisabled}
	webValues      = map[string]Access{"0": AccessEnabled, "1": AccessDisabled, "2": webAccess2}
)

// SettingsAccess returns what settingsAccess says: 0 is disabled, 1 enabled, 2
// restricted.
func (s Settings) SettingsAccess() Access { return settingsValues[s.Settings] }

// WebAccess returns what webAccess says: 0 is enabled, 1 disabled.
func (s Settings) WebAccess() Access { return webValues[s.Web] }

// SSHAccess returns what sshAccess says: 0 is enabled, 1 disabled.
func (s Settings) SSHAccess() Access { return serviceValues[s.SSH] }

// SPANAccess returns what spanToPCPort says: 0 is enabled, 1 disabled.
func (s Settings) SPANAccess() Access { return serviceValues[s.SPANToPCPort] }

// MayChangeSettings reports whether the settings menu offers its actions, such as
// erasing a trust list or setting a TFTP server: a phone without the setting does.
// A factory reset stays possible regardless.
func (s Settings) MayChangeSettings() bool {
	switch s.SettingsAccess() {
	case AccessDisabled:
		return false
	case AccessRestricted:
		return restrictedMayChange
	}
	return true
}

// ServesPages reports whether the phone serves its pages: only where webAccess
// enables them.
func (s Settings) ServesPages() bool { return s.WebAccess() == AccessEnabled }

// SecurityMode is how a phone talks to its call managers.
type SecurityMode uint8

// The security modes.
const (
	NonSecure     SecurityMode = iota // unencrypted SIP
	Authenticated                     // TLS without encryption
	Encrypted                         // TLS
)

// String returns the words that the phone's page shows.
func (m SecurityMode) String() string {
	return [...]string{NonSecure: "Non Secure", Authenticated: "Authenticated", Encrypted: "Encrypted"}[m%3]
}

var modeValues = map[string]SecurityMode{"0": NonSecure, "1": NonSecure, "2": Authenticated, "3": Encrypted}

// SecurityMode returns what deviceSecurityMode says: 1 is non-secure, as are 0 and
// an absent one, 2 authenticated, 3 encrypted.
func (s Settings) SecurityMode() SecurityMode { return modeValues[s.Secure] }

// SCCP reports whether the phone's firmware speaks SCCP, not SIP: deviceProtocol says so,
// or where it is absent the name of the firmware for a model.
func (s Settings) SCCP(model string) bool {
	if s.Protocol != "" {
		return strings.EqualFold(s.Protocol, "SCCP")
	}
	load := s.LoadFor(model)
	return len(load) >= 4 && strings.EqualFold(load[:4], "SCCP")
}

// SIPNetwork returns how a non-secure phone reaches its call managers, "tcp" or
// "udp", as transportLayerProtocol says; "tcp" where it is absent.
func (s Settings) SIPNetwork() string {
	if network := transports[s.Transport]; network != "" {
		return network
	}
	return "tcp"
}
