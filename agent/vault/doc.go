// Package vault stores on raw flash what a phone must not lose: its lists, its
// configuration, settings, and the messages that it shows. A power cut at any
// byte leaves the old or the new value of every key.
//
//	v, err := vault.Open(dev, vault.Options{Rand: rand.Reader, Format: vault.FormatErased})
//	err = v.Put("itl", list) // when it returns nil the list survives
//	list, err = v.Get("itl")
//	err = v.Append(time.Now(), "ITL installed")
//
// The partition is a ring of at least three erase blocks. Values are written as
// fragments at its head, so that every block is erased as often as any other;
// the newest two revisions of every key are stored and carried along. What was
// written is read back in the same call. docs/vault-format.md describes the bytes.
//
// A value has at most MaxValue bytes, a vault at most MaxKeys keys. Memory is one
// erase block while mounting, and about 100 bytes for each fragment of what is
// held. A Vault is safe for concurrent use.
//
// The promises are those of SQLite's before-or-after rule; the ring of blocks and
// its wear follow littlefs and JFFS2; all three are described in public.
package vault
