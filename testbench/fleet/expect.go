package fleet

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"itlagent/agent/trust"
)

// Expectation is a number of phones that a run is to end with: "trusted=100%",
// "locked<=3", "unknown-signer=0".
type Expectation struct {
	text    string
	what    string
	op      string
	value   float64
	percent bool
}

var expectation = regexp.MustCompile(`^([a-z-]{1,40})(=|<=|>=)([0-9]{1,9}(?:\.[0-9]{1,3})?)(%?)$`)

// counted are the numbers of a summary that an expectation can be about, beside reasons.
var counted = map[string]func(*Summary) int{
	"trusted": func(s *Summary) int { return s.Trusted }, "locked": func(s *Summary) int { return s.Locked },
	"unserved": func(s *Summary) int { return s.Unserved }, "unbooted": func(s *Summary) int { return s.Unbooted },
	"registered": func(s *Summary) int { return s.Registered }, "wrong": func(s *Summary) int { return s.Wrong },
	"unexplained": func(s *Summary) int { return s.Unexplained },
}

// ParseExpectation reads one.
func ParseExpectation(text string) (Expectation, error) {
	m := expectation.FindStringSubmatch(text)
	if m == nil {
		return Expectation{}, fmt.Errorf("%.60q is not like trusted=100%% or locked<=3", text)
	}
	e := Expectation{text: text, what: m[1], op: m[2], percent: m[4] != ""}
	var err error
	if e.value, err = strconv.ParseFloat(m[3], 64); err != nil {
		return e, err
	}
	if e.percent && e.value > 100 {
		return e, fmt.Errorf("%s: more than 100 %%", text)
	}
	if counted[e.what] == nil && !slices.ContainsFunc(trust.Reasons(), func(r trust.Reason) bool { return r.String() == e.what && r != trust.Accepted }) {
		return e, fmt.Errorf("%s: %q is neither a state of phones nor a reason", text, e.what)
	}
	return e, nil
}

// String returns what was parsed.
func (e Expectation) String() string { return e.text }

// Met reports a summary that is not as expected.
func (e Expectation) Met(s *Summary) error {
	n := s.Reasons[e.what]
	if count := counted[e.what]; count != nil {
		n = count(s)
	}
	if (e.what == "wrong" || e.what == "unexplained") && !s.Compared {
		return fmt.Errorf("%s: nothing was compared; --cluster does that", e.text)
	}
	got := float64(n)
	if e.percent {
		got = 100 * got / float64(max(s.Phones, 1))
	}
	if e.op == "=" && got == e.value || e.op == "<=" && got <= e.value || e.op == ">=" && got >= e.value {
		return nil
	}
	return fmt.Errorf("expected %s: %d of %d", e.text, n, s.Phones)
}
