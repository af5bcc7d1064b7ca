package registrar

import "time"

// What no source states, or what is this bench's choice.
const (
	// DefaultExpires is what is granted, in seconds: as CUCM 11.5 does, whatever is
	// asked for.
	DefaultExpires = 120

	// DefaultRate is how many phones a second are told to reset. No source says how fast
	// a cluster does it, but that it goes in waves. Phones take seconds to come back, so
	// that some hundreds are away at once.
	DefaultRate = 50

	// grace is how long a registration goes on after it should have been refreshed: the
	// time of a request by UDP that is sent again and again (timer F of RFC 3261).
	grace = 32 * time.Second

	// answerTime is how long the answer to a NOTIFY is awaited until it is sent again,
	// where it may get lost, at most maxTries times.
	answerTime = time.Second
	maxTries   = 5
	// noAnswer is how long an answer is awaited at all.
	noAnswer = 32 * time.Second
)
