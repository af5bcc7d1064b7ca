package profile

// What follows is inferred, not read in a source. Each is a method of Release, so that a
// release can be given another answer in one place.

// WholeTVS is whether the TVS records of an ITL carry the certificates, not their
// hashes. From 12.5 on the guides say that more than 39 certificates make a list larger
// than 64 KiB: 65,536 / 39 = 1,680 bytes each, a whole record of 2048 bits. Lists of
// 10.0 have hashed ones, by the lengths in the CUCM 10.0 note. The default takes 12.5 as
// the release where this changed.
func (r *Release) WholeTVS() bool { return r.RecoverySigns }

// CTLHasRecovery is whether an ordinary CTL has a record of ITLRecovery. A listing of
// 10.5 has none; where ITLRecovery signs lists, phones without an ITL need it.
func (r *Release) CTLHasRecovery() bool { return r.RecoverySigns }

// CTLAtOnce is whether nodes serve a new CTL without a restart of TFTP. The steps of
// FN70613 on 12.5 have no restart; the texts of `utils ctl` of 10.x ask for one.
func (r *Release) CTLAtOnce() bool { return r.RecoverySigns }

// SharedTVS is whether all nodes have one TVS certificate, which is made for all of them
// at installation and whenever that of a node is renewed. From release 14 on the guides
// say that it may be so. Earlier releases have one a node, by every listing.
func (r *Release) SharedTVS() bool { return r.Restarts }
