// Package profile describes a cluster before its installation: its release, nodes,
// services, certificates and phones, by name or from a YAML file.
//
//	p, err := profile.Parse(yaml)       // of a file
//	p, err := profile.Builtin("12.5")   // or one that is built in
//	err = p.Check()
//
// A file has at most strictyaml.MaxSize bytes, a cluster at most 39 nodes. Profiles are
// values: they are safe for concurrent use as long as nobody changes them. What differs
// between releases follows Cisco's note on ITL enhancements in release 10.0(1), and the
// release notes and security guides of later ones.
package profile
