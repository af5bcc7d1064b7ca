package registrar

import "time"

// What no source states, or what is this bench's choice.
const (
	// DefaultExpires is what is granted by SIP, in seconds: as CUCM 11.5 does, whatever is
	// asked for.
	DefaultExpires = 120

	// KeepAlive is how often a phone that uses SCCP is awaited, in seconds: what clusters are
	// said to ask for. keepAlives is after how many of these times without a word it is gone.
	KeepAlive  = 30
	keepAlives = 3

	// DefaultRate is how many phones a second are told to reset. No source says how fast
	// a cluster does it, but that it goes in waves. Phones take seconds to come back, so
	// that some hundreds are away at once.
	DefaultRate = 50

	// grace is how long a registration by SIP goes on after it should have been refreshed:
	// the time of a request by UDP that is sent again and again (timer F of RFC 3261).
	grace = 32 * time.Second

	// answerTime is how long the answer to a NOTIFY is awaited until it is sent again,
	// where it may get lost, at most maxTries times.
	answerTime = time.Second
	maxTries   = 5
	// noAnswer is how long an answer is awaited at all; by SCCP, where there is none, how
	// long a phone may stay until it has not obeyed.
	noAnswer = 32 * time.Second

	// A phone that answers 503, or has not obeyed by SCCP, is told again: after what its
	// Retry-After says, within bounds, or retryTime without one, and at most maxRefusals
	// times. Phones of this project obey ten orders at once, and one each 30 s then.
	retryTime   = 30 * time.Second
	retryMost   = time.Minute
	maxRefusals = 5
)

// SCCP has no order to compare versions. What does least of those that it has is taken.
