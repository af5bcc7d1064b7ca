// Package limits reads durations and counts of command lines that must lie in a range:
// an interval of 0 makes a busy loop, a negative count nothing at all.
//
//	interval := 10 * time.Minute
//	flags.Var(limits.Duration(&interval, time.Second, 24*time.Hour), "interval", "time between boots")
//
// The values are those of package flag, and of github.com/spf13/pflag. The default is
// what the variable holds before; it may lie outside of the range, as a 0 that stands
// for "as the board has it" does. The functions are safe for concurrent use, a value is
// not.
package limits

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// Value is a flag with a range.
type Value[T cmp.Ordered] struct {
	to          *T
	least, most T
	parse       func(string) (T, error)
	kind        string
}

// Duration returns a flag for a duration between least and most, both included.
func Duration(to *time.Duration, least, most time.Duration) *Value[time.Duration] {
	return &Value[time.Duration]{to, least, most, time.ParseDuration, "duration"}
}

// Int returns a flag for a count between least and most, both included.
func Int(to *int, least, most int) *Value[int] {
	return &Value[int]{to, least, most, strconv.Atoi, "int"}
}

// Set reads a value, and refuses one outside of the range.
func (v *Value[T]) Set(text string) error {
	n, err := v.parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("not a %s", map[string]string{"duration": "duration such as 90s or 10m", "int": "number"}[v.kind])
	case n < v.least:
		return fmt.Errorf("at least %v", v.least)
	case n > v.most:
		return fmt.Errorf("at most %v", v.most)
	}
	*v.to = n
	return nil
}

// String returns the value in force.
func (v *Value[T]) String() string {
	if v.to == nil { // package flag asks a zero Value
		return ""
	}
	return fmt.Sprint(*v.to)
}

// Type is what pflag prints for the kind of value.
func (v *Value[T]) Type() string { return v.kind }
