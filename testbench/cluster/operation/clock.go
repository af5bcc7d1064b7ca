package operation

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// Advance moves the bench clock ahead, and raises the alerts that were due on the
// way.
func Advance(d time.Duration) Operation {
	return func(s *state.State) error {
		if d < 0 {
			return errors.New("the bench clock does not go back")
		}
		if s.Now().Add(d).After(profile.MaxClock) {
			return fmt.Errorf("the bench clock does not go beyond %s: lists and certificates could not tell the time", profile.MaxClock.Format(time.DateOnly))
		}

		s.Clock = s.Clock.Add(d)
		alert(s)
		return nil
	}
}

// AlertDue reports whether a daily alert is due by the bench clock.
func AlertDue(s *state.State) bool { return !s.Now().Before(s.Alerted.Add(alertEvery)) }

// Remind raises the alerts that are due where the bench clock runs by itself.
func Remind() Operation {
	return func(s *state.State) error { alert(s); return nil }
}

// alertEvery is how often an alert reminds of a recovery key that nobody saved.
const alertEvery = 24 * time.Hour

// alert raises the daily alerts that were due until now. A month without the
// bench being up gives no more than the last month's.
func alert(s *state.State) {
	now := s.Now()
	const atMost = 31
	if behind := now.Sub(s.Alerted); behind > (atMost+1)*alertEvery {
		s.Alerted = s.Alerted.Add((behind/alertEvery - atMost) * alertEvery)
	}
	for !now.Before(s.Alerted.Add(alertEvery)) {
		s.Alerted = s.Alerted.Add(alertEvery)
		if s.Recovery() == nil || s.RecoverySaved {
			continue
		}
		s.Event(s.Publisher(), appCert, 4, "ITLRecoveryBackup",
			"The ITLRecovery key was not saved. Save it with: file get tftp "+state.P12Name)
		s.Effects.Events[len(s.Effects.Events)-1].Time = s.Alerted
	}
}

// maxDays bounds a step of the bench clock.
const maxDays = 1000

// ParseDuration reads a time span: one of package time, or days as in "2d".
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || strings.Trim(days, "0123456789.") != "" || n > maxDays {
			return 0, fmt.Errorf("%q is not a number of days, at most %d", text, maxDays)
		}
		return time.Duration(n * 24 * float64(time.Hour)), nil
	}
	d, err := time.ParseDuration(text)
	if most := maxDays * 24 * time.Hour; err != nil || d > most || d < -most {
		return 0, fmt.Errorf("%.40q is not a time of at most %d days, such as 5m, 36h or 2d", text, maxDays)
	}
	return d, nil
}
