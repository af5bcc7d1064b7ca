package profile

import (
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
)

// Release is what differs between releases of the cluster's software.
type Release struct {
	Name string
	// Recovery is whether there is an ITLRecovery key at all.
	Recovery bool
	// RecoverySigns turns the roles round: lists are signed with ITLRecovery, and
	// a reset signs them with CallManager.
	RecoverySigns bool
	RecoveryYears int
	KeyBits       int
	// SignerVersion is written into lists where not zero; 1.1 invites phones to
	// HTTPS.
	SignerVersion trustlist.Version
	// DefaultTVS is whether the configuration of unknown phones names TVS.
	DefaultTVS bool
	// Restarts is whether services take up a regenerated certificate by
	// themselves.
	Restarts bool
	// RollbackResets is whether setting the rollback parameter restarts services
	// and resets phones.
	RollbackResets bool
	Version        string // as `show version active` prints it
}

// HTTPS reports whether nodes offer configurations by HTTPS.
func (r *Release) HTTPS() bool { return r.SignerVersion != trustlist.Version{} }

// releases are those that a profile may name, oldest first. Their differences
// are those of Cisco's release notes and security guides.
var releases = []Release{
	{Name: "8.6", RecoveryYears: 0, KeyBits: 1024, Version: "8.6.2.20000-2"},
	{Name: "10.0", Recovery: true, RecoveryYears: 5, KeyBits: 1024, DefaultTVS: true, Version: "10.0.1.10000-24"},
	{Name: "10.5", Recovery: true, RollbackResets: true, RecoveryYears: 5, KeyBits: 2048, DefaultTVS: true, Version: "10.5.2.10000-5"},
	{Name: "11.5", Recovery: true, RollbackResets: true, RecoveryYears: 5, KeyBits: 2048, DefaultTVS: true, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Version: "11.5.1.10000-6"},
	{Name: "12.5", Recovery: true, RollbackResets: true, RecoverySigns: true, RecoveryYears: 5, KeyBits: 2048, DefaultTVS: true, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Version: "12.5.1.10000-22"},
	{Name: "14", Recovery: true, RollbackResets: true, RecoverySigns: true, RecoveryYears: 20, KeyBits: 2048, DefaultTVS: true, Restarts: true, SignerVersion: trustlist.Version{Major: 1, Minor: 1}, Version: "14.0.1.10000-20"},
}

// FindRelease returns the release of a name.
func FindRelease(name string) (Release, error) {
	var names []string
	for _, r := range releases {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Release{}, fmt.Errorf("no release %q; there are: %s", name, strings.Join(names, ", "))
}

// Units returns the units of a node of this release, in the order in which they
// are listed.
func (r *Release) Units() []Unit {
	u := []Unit{CallManager, TVS, CAPF, Tomcat}
	if r.HTTPS() {
		u = append(u, CallManagerEC)
	}
	if r.Recovery {
		u = append(u, ITLRecovery)
	}
	return u
}

// Signable returns the units of a node that may have a certificate signed by a CA.
// ITLRecovery is the cluster's own.
func (r *Release) Signable() []Unit {
	return append(slices.DeleteFunc(r.Units(), func(u Unit) bool { return u == ITLRecovery }), IPsec)
}

// Shareable reports whether one certificate of a unit may be that of every node.
func (r *Release) Shareable(u Unit) bool {
	return u == CallManager || u == CallManagerEC || u == Tomcat || u == TVS && r.SharedTVS()
}

// ReleaseIndex returns the place of a release among those that there are, oldest
// first, or -1.
func ReleaseIndex(name string) int {
	return slices.IndexFunc(releases, func(r Release) bool { return r.Name == name })
}
