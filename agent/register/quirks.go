package register

import (
	"strings"
	"time"

	"itlagent/agent/model"
)

// What the sources leave open about registration. Each is a constant or a table to
// change here.

// Code is the number of the alarm in the Reason of a first REGISTER. 23 and 25 were seen
// with their words in traces; the others are those of the text alarms of older phones.
func (c Cause) Code() int {
	return [...]int{Initialized: 25, ResetReset: 22, ResetRestart: 23, PhoneKeypad: 20, KeepaliveTO: 17, ClosedTCP: 15, Rejected: 24, Failback: 18}[c%8]
}

// firstCSeq is the number of the first REGISTER.
const firstCSeq = 101

// Times that no source names.
const (
	connectTime  = 5 * time.Second  // for a connection, with its TLS handshake
	answerTime   = 10 * time.Second // for the answer to a REGISTER
	leaveTime    = 2 * time.Second  // for the answer to the last one
	failbackTime = 15 * time.Second // between questions to call managers of higher priority
	standbyTime  = 2 * time.Minute  // between the keep-alives to the back-up, as long as CUCM grants
	// A registration that ends sooner than shortest counts as a try that went wrong.
	shortest      = 5 * time.Second
	maxRetryAfter = 10 * time.Minute
)

// Backoff returns how long to wait before the next try, after so many for which no call
// manager accepted the phone: 5 s, doubled each time, at most a minute, so that a cluster
// that comes back has its phones soon.
func Backoff(failed int) time.Duration {
	const least, most = 5 * time.Second, time.Minute
	if failed > 4 {
		return most
	}
	return least << max(0, failed-1)
}

// refreshAfter is when a phone registers again: at seven eighths of the granted time. The
// trace has it within the 120 s that CUCM grants.
func refreshAfter(granted time.Duration) time.Duration { return granted * 7 / 8 }

// Orders are obeyed as they come up to orderBurst, then one each orderEvery: whoever can
// send a phone orders must not keep it resetting. Others are answered 503. Real limits are
// not known.
const (
	orderBurst = 10
	orderEvery = 30 * time.Second
)

// checksSync reports whether a phone is told to reset by Event: check-sync, which names no
// registration: 7940 and 7960.
func checksSync(m model.Model) bool {
	return strings.HasPrefix(m.Name, "CP-7940") || strings.HasPrefix(m.Name, "CP-7960")
}

// FeatureControlVersionStamp is not looked at. One source says that it makes a phone
// answer 400, another sends it.

// tokenMissing reports whether a call manager does not know the question whether a phone may
// come back. Then it does come back; a server in trouble (5xx) is asked again.
func tokenMissing(code int) bool { return code/100 == 4 || code == 501 }
