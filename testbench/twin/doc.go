// Package twin makes the copy of a real cluster from what an administrator has of it: lists or
// their text, certificates, logs, exports of phones.
//
//	items, err := recogniser.Collect(paths, nil, recogniser.Limits{})
//	t, err := twin.New(items, twin.Options{})
//	e, err := lockout.Explain(ctx, lockout.World{t.Cluster}, phone, lockout.Hints{})
//
// Certificates are the real ones where they are known, with stand-ins for their private keys;
// where only their hashes are known, a certificate with the same names, serial number and key
// size is made. Lists have the hashes of the real ones. What had to be guessed is in Notes. A
// twin never serves phones, and no real phone would accept what it signs. What is read is bounded by
// the recogniser. A Twin is safe for concurrent use as its cluster is.
package twin
