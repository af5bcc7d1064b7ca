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

// How a phone last reset stands in no registration. Phones tell it in the text of an alarm
// in front of it, "25: Name=SEP64A0E71502CC Load=SCCP45.9-4-2 Last=Initialized", of which
// chan-sccp has the structure (severity, 80 bytes, two numbers) and the words. informational
// is the severity of it there.
const (
	informational = 2
	alarmText     = 80 // bytes, with the zero at the end
)

// shortestRegister is what a registration has at least behind its identifier, in bytes: up to
// the number of streams. Older phones end behind it.
const shortestRegister = 36

// The alarm DeviceTLInfo was never seen in SCCP. It is sent as LastOutOfServiceInformation
// is: in an XMLAlarm, before the registration, without padding, and nobody answers it.
