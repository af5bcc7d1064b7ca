package linuxinit

import "time"

// WatchdogTimeout is the time after which a watchdog resets a board whose program
// hangs. Every step between two calls of Feed must take less than half of it.
const WatchdogTimeout = 60 * time.Second
