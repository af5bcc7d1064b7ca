package fetch

import "time"

// What the sources do not state and had to be chosen. Each has a name, so that a trace of
// a real phone changes one line; a Client's fields change them for one phone.
const (
	// DefaultPerServer bounds what the network of one server may take for one file, by
	// all transports. The real bound is not documented.
	DefaultPerServer = 20 * time.Second

	// httpShare is the part of a server's time that HTTP, and before it HTTPS, may use
	// up, so that a server whose HTTP is silent is still asked by TFTP.
	httpShare = 4

	// DefaultVerifyTime bounds the question whether an HTTPS server is trusted. Other
	// machines answer it, and package tvs takes up to 15 s for that; this is more, so
	// that the inner time ends first.
	DefaultVerifyTime = 20 * time.Second
)
