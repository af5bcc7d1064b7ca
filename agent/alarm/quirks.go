package alarm

// What the sources leave open about alarms.

// refusesForGood reports whether an alarm that was answered so ends, so that the
// next one can go out. The trace has only 202. Classes are those of RFC 3261: 4xx
// says that this request will not do, but for 408 (timeout), 429 (too many requests
// or no Referred-By) and 491 (pending), which pass. 5xx is a server in trouble, but
// for 501, 505 and 513, which say that it will never know such a request. 6xx speaks
// for every server. A 3xx names another place: an alarm tells what a phone holds,
// and goes only where the phone's configuration says.
func refusesForGood(code int) bool {
	switch code {
	case 408, 429, 491:
		return false
	case 501, 505, 513:
		return true
	}
	return code/100 == 3 || code/100 == 4 || code/100 == 6
}

// endsEverywhere reports whether a refusal speaks for the other servers too. After
// any other they are asked first, as RFC 3261 has it.
func endsEverywhere(code int) bool { return code/100 == 6 }

// Any 2xx accepts an alarm. CUCM says 202; RFC 7647 lets servers say 200.

// A request by UDP is sent by UDP whatever its size, about 1,400 bytes. RFC 3261
// would have TCP beyond 1,300; a phone whose transportLayerProtocol is UDP may serve
// a server that has no TCP.
