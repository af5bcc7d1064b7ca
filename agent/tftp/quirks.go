package tftp

import "time"

// What the sources leave open and had to be chosen. Each has a name, so that a trace of
// a real phone or server changes one line.
const (
	// Resend is how long an answer may take before the last packet is sent again. A
	// phone's log shows its retransmission after about half a second.
	Resend = 500 * time.Millisecond

	// Tries is how often a packet is sent before the transfer fails. No source says how
	// often phones do it.
	Tries = 5

	// TotalTime bounds a whole transfer. A server that sends each block in the last
	// moment would otherwise take Resend x Tries for each of them.
	TotalTime = 60 * time.Second

	// lateTime is how long a server may go on sending to a port that no longer waits
	// for it. The servers known to us stop after 3 s (pin/tftp in the cluster), 25 s
	// (atftpd) and 63 s (tftpd-hpa, whose pauses double).
	lateTime = 64 * time.Second

	// smallestBlock is the least block size, in bytes, that a server may answer where
	// more was asked for. RFC 2348 allows 8; then a file of 2 MiB takes 262,144 round
	// trips. No server is known that goes below the 512 of RFC 1350 by itself.
	smallestBlock = 512

	// wordyServer is how many packets a server may send that bring nothing new, beyond
	// twice the number of those that did. A server that says everything two or three
	// times is a poor network; one that says more is no server.
	wordyServer = 64

	// strayBurst and strayPause bound what packets of others may cost: after that many
	// the transfer looks away for that long. That is 640 packets a second, under one
	// percent of a processor. What the server sends meanwhile waits in the socket's
	// buffer, or is sent again.
	strayBurst = 32
	strayPause = 50 * time.Millisecond

	// maxComplaints is how many ERROR packets a transfer sends to others than its peer.
	maxComplaints = 4
)

// Phone returns the options that phones ask for. Traces show requests for octet mode, and
// none shows an option; without one a request is the same bytes for every phone and
// every server. Where a real phone is found to ask, this is the line to change.
func Phone() Options { return Options{} }
