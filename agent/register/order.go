package register

import (
	"errors"
	"fmt"
	"strings"

	"itlagent/agent/printable"
)

// Action is what a call manager tells a phone to do.
type Action uint8

// The actions, the one that does most first.
const (
	Reset            Action = iota // as from power-on: lists, configuration, register again
	Restart                        // fetch again, and register again
	ApplyConfig                    // fetch again, and stay registered where nothing asks for more
	CheckVersion                   // fetch again where the configuration's stamp differs
	CallPreservation               // nothing that a phone without calls does
	Report                         // upload a problem report: not done here
)

var actions = []string{Reset: "reset", Restart: "restart", ApplyConfig: "apply-config", CheckVersion: "check-version", CallPreservation: "call-preservation", Report: "prt-report"}

// String returns the word of the protocol.
func (a Action) String() string {
	if int(a) >= len(actions) {
		return fmt.Sprintf("action %d", uint8(a))
	}
	return actions[a]
}

// Order is what a NOTIFY says.
type Order struct {
	Action Action
	CallID string // of the REGISTER that it is for; "" where it does not say
	Config string // ConfigVersionStamp, "" where it does not say
}

// maxLines bounds the lines of an order.
const maxLines = 32

var errAction = errors.New("no action")

// ReadOrder reads the body of a NOTIFY for service-control. Keys and values are read
// without regard to case and by their beginning, a value in braces counts only with both
// of them, and of a key that occurs twice the first counts.
func ReadOrder(body []byte) (Order, error) {
	var o Order
	found, lines := map[string]bool{}, 0
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if lines++; lines > maxLines {
			return o, fmt.Errorf("more than %d lines", maxLines)
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		for _, known := range []struct {
			key string
			set func(string) error
		}{
			{"action", o.setAction},
			{"registercallid", func(v string) error { o.CallID = braced(v); return nil }},
			{"configversionstamp", func(v string) error { o.Config = braced(v); return nil }},
		} {
			if !strings.HasPrefix(strings.ToLower(key), known.key) || found[known.key] {
				continue
			}
			found[known.key] = true
			if err := known.set(strings.TrimSpace(value)); err != nil {
				return o, err
			}
		}
	}
	if !found["action"] {
		return o, errAction
	}
	return o, nil
}

func (o *Order) setAction(value string) error {
	for a, word := range actions {
		if len(value) >= len(word) && strings.EqualFold(value[:len(word)], word) {
			o.Action = Action(a)
			return nil
		}
	}
	return fmt.Errorf("unknown action %q", printable.Clip(value, 40))
}

// braced returns what stands in braces, "" where one is missing.
func braced(value string) string {
	inner, ok := strings.CutPrefix(value, "{")
	if !ok {
		return ""
	}
	inner, _, ok = strings.Cut(inner, "}")
	if !ok {
		return ""
	}
	return inner
}

// Stale reports whether a configuration with a stamp is not the one that an order names.
// An order that names none, or zeros, makes every one stale, as does a configuration
// without a stamp.
func (o Order) Stale(stamp string) bool {
	stamp = strings.Trim(stamp, "{}")
	if stamp == "" || strings.Trim(o.Config, "0-") == "" {
		return true
	}
	return !strings.EqualFold(o.Config, stamp)
}

// Cause is why a phone registers again.
type Cause uint8

// The causes, as the phone's pages call them.
const (
	Initialized  Cause = iota // power-on
	ResetReset                // the cluster said reset
	ResetRestart              // the cluster said restart
	PhoneKeypad               // somebody at the phone
	KeepaliveTO               // the call manager was silent
	ClosedTCP                 // the call manager ended the connection
	Rejected                  // the call manager refused a refresh
	Failback                  // a call manager of higher priority is back
)

// String returns the word of the phone's pages.
func (c Cause) String() string {
	return [...]string{Initialized: "Initialized", ResetReset: "Reset-Reset", ResetRestart: "Reset-Restart", PhoneKeypad: "Phone-Keypad",
		KeepaliveTO: "KeepaliveTO", ClosedTCP: "CM-closed-TCP", Rejected: "Phone-Reg-Rej", Failback: "Failback"}[c%8]
}
