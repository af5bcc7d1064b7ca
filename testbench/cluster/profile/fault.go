package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NoFault repairs a service.
const NoFault = "none"

// faultKinds are the ways in which a service can be made to fail. Those with a
// value take another one behind "=": a time, or one datagram in so many.
var faultKinds = map[Service]map[string]string{
	TFTPService: {
		"pause":    "", // connections and requests stay without an answer
		"busy":     "", // HTTP answers 503
		"missing":  "", // no file is found
		"old":      "", // the list of before the last start is served
		"truncate": "", // the second half of every file is missing
		"large":    "", // trust lists are larger than phones read
		"unlisted": "", // a CTL made from now on has another address in the node's records
		"slow":     "3s",
		"lose":     "4", // HTTP breaks off; TFTP loses every fourth datagram
	},
	TVSService: {
		"pause":    "",
		"close":    "", // connections are closed before TLS
		"hangup":   "", // the connection is closed behind the question, as by a TVS that does not know it
		"garbage":  "", // an answer that is none
		"invalid":  "", // nobody is vouched for
		"mismatch": "", // another certificate than the one asked for
		"norole":   "", // certificates that may do nothing of use
		"slow":     "8s",
	},
	CallManagerService: {"pause": "", "close": "", "slow": "3s"},
	TomcatService: {
		"pause":   "",
		"foreign": "", // a certificate that TVS does not vouch for
	},
}

// FaultKinds returns the kinds of faults of a service.
func FaultKinds(service Service) []string {
	kinds := []string{NoFault}
	for kind := range faultKinds[service] {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// Fault is how a service fails. The zero value is a sound service.
type Fault struct {
	Kind  string        // one of FaultKinds, "" for none
	Delay time.Duration // of "slow"
	Every int           // of "lose": one datagram in so many is lost
}

// ParseFault reads a kind of fault of a service, with a value behind "=" where it
// takes one: "slow=3s".
func ParseFault(service Service, text string) (Fault, error) {
	if text == NoFault || text == "" {
		return Fault{}, nil
	}
	kind, value, given := strings.Cut(text, "=")
	usual, ok := faultKinds[service][kind]
	if !ok || given && usual == "" {
		return Fault{}, fmt.Errorf("%s has no fault %q; there are: %s", service, text, strings.Join(FaultKinds(service), ", "))
	}
	if !given {
		value = usual
	}
	f := Fault{Kind: kind}
	var err error
	switch kind {
	case "slow":
		if f.Delay, err = time.ParseDuration(value); err != nil || f.Delay <= 0 || f.Delay > time.Minute {
			return Fault{}, fmt.Errorf("slow=%s: a time of up to a minute, as in slow=3s", value)
		}
	case "lose":
		if f.Every, err = strconv.Atoi(value); err != nil || f.Every < 2 {
			return Fault{}, fmt.Errorf("lose=%s: one datagram in so many, from 2 on", value)
		}
	}
	return f, nil
}
