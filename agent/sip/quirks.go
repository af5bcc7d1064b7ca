package sip

import "time"

// What RFC 3261 leaves open.

// messageTime is how long a message may take from its first byte to its last, and how
// long one may wait to be sent.
const messageTime = 5 * time.Second

// A request by UDP is sent by UDP whatever its size: an alarm has about 1,400 bytes, the
// first REGISTER 3,000. RFC 3261 would have TCP beyond 1,300; a phone whose
// transportLayerProtocol is UDP may serve a server that has no TCP.
