package sccp

import "time"

// What the sources leave open about SCCP.

// usualKeepAlive is the interval where a RegisterAck names none: 30 s is what clusters are
// said to use. longestKeepAlive bounds what it may name.
const (
	usualKeepAlive   = 30 * time.Second
	longestKeepAlive = 10 * time.Minute
)

// What a phone without calls says it could do.
const (
	protocolVersion = 22
	maxStreams      = 5
	maxLines        = 8
)

// The alarm DeviceTLInfo was never seen in SCCP. It is sent as LastOutOfServiceInformation
// is: in an XMLAlarm, before the registration, without padding, and nobody answers it.
