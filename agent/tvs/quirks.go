package tvs

import (
	"crypto/tls"
	"time"
)

// What the sources do not state.
const (
	// DefaultPerServer bounds connection, handshake and answer of one server.
	// The real interval is not documented.
	DefaultPerServer = 5 * time.Second
	// DefaultTotal bounds one question to all servers.
	DefaultTotal = 15 * time.Second
	// MaxPayload bounds what follows a header, in bytes. Certificates seen are
	// under 2 KiB; the field would allow 65,535.
	MaxPayload = 16 << 10
	// DefaultCacheSize bounds the remembered answers of a client.
	DefaultCacheSize = 32
	// DefaultPort is the tcp port where the configuration names none.
	DefaultPort = 2445
	// firstSession is the session id of a phone's first request, as in traces.
	firstSession = 1001
)

// newestTLS is the newest version that a phone offers to TVS. Traces show AES256-SHA, a suite of
// TLS 1.2 and before; that any phone speaks 1.3 there is not documented. With it a capture
// shows the certificate of the server, which 1.3 hides.
const newestTLS = tls.VersionTLS12

// notFound is the status for a certificate that is unknown or refused. No trace
// shows the layout of such a response; the status alone is what other servers
// send.
const notFound = 1

// What is a phone to do where a TVS hangs up at QUERY_CERT? No trace shows it. usecallmanager's
// tvsd hangs up because it knows CERT_VERIFICATION alone, and could vouch for the
// signer if it were shown the certificate. Phones are not known to do that: it is off,
// and Client.VerifyWhereHungUp turns it on. It admits nobody whom TVS does not
// vouch for: the answer is about the very certificate that the signature is then
// checked with.
