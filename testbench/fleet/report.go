package fleet

import (
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"
)

// Summary is what came of a run.
type Summary struct {
	Phones      int            `json:"phones"`
	Trusted     int            `json:"trusted"`
	Locked      int            `json:"locked"`
	Unserved    int            `json:"unserved"`
	Unbooted    int            `json:"unbooted"` // without an outcome
	Registered  int            `json:"registered"`
	Reasons     map[string]int `json:"reasons"` // of those that do not trust
	Boots       int            `json:"boots"`   // boot cycles
	Seconds     float64        `json:"seconds"`
	PerSecond   float64        `json:"bootsPerSecond"`
	Times       TimesSummary   `json:"secondsToOutcome"`
	Compared    bool           `json:"compared"` // with what was predicted
	Wrong       int            `json:"wrong"`
	Unexplained int            `json:"unexplained"`
	Resident    int            `json:"residentBytesPerPhone"` // of this process; 0 where that is not known
	Faults      []string       `json:"faults,omitempty"`      // of the run itself: ranges that nobody finished
}

// TimesSummary is Times in seconds.
type TimesSummary struct {
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

// Summarize sums results up; took is how long the boot cycles took all together.
func Summarize(phones int, results []Result, boots int, took time.Duration) Summary {
	s := Summary{Phones: phones, Reasons: make(map[string]int), Boots: boots, Seconds: took.Seconds()}
	for i := range results {
		r := &results[i]
		switch r.State {
		case Trusted:
			s.Trusted++
		case Locked:
			s.Locked++
			s.Reasons[r.Reason]++
		case Unserved:
			s.Unserved++
			s.Reasons[r.Reason]++
		}
		if r.Registered != "" {
			s.Registered++
		}
	}
	s.Unbooted = phones - s.Trusted - s.Locked - s.Unserved
	if took > 0 {
		s.PerSecond = float64(boots) / took.Seconds()
	}
	t := TimesOf(results)
	s.Times = TimesSummary{t.Median.Seconds(), t.P95.Seconds(), t.P99.Seconds(), t.Max.Seconds()}
	return s
}

// Write writes the table for people.
func (s *Summary) Write(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name string, n int) {
		fmt.Fprintf(tab, "%s\t%d\t%.2f %%\n", name, n, 100*float64(n)/float64(max(s.Phones, 1)))
	}
	row("phones", s.Phones)
	row("trusted", s.Trusted)
	row("locked", s.Locked)
	row("unserved", s.Unserved)
	if s.Unbooted > 0 {
		row("unbooted", s.Unbooted)
	}
	c := Count{Reasons: s.Reasons}
	for _, name := range c.reasons() {
		row("  "+name, s.Reasons[name])
	}
	row("registered", s.Registered)
	if s.Compared {
		row("wrong", s.Wrong)
		row("unexplained", s.Unexplained)
	}
	tab.Flush()
	fmt.Fprintf(w, "%d boots in %.1f s, %.0f a second; to the outcome: median %.2f s, 95 %% %.2f s, 99 %% %.2f s, longest %.2f s\n",
		s.Boots, s.Seconds, s.PerSecond, s.Times.Median, s.Times.P95, s.Times.P99, s.Times.Max)
	if s.Resident > 0 {
		fmt.Fprintf(w, "%d KB resident a phone\n", s.Resident>>10)
	}
	for _, line := range s.Faults {
		fmt.Fprintln(w, "fault: "+line)
	}
}

// WriteCSV writes a line for each phone, the names of the columns first.
func WriteCSV(w io.Writer, results []Result) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"phone", "device", "model", "state", "reason", "ctl", "itl", "config", "registered", "boots", "seconds"}); err != nil {
		return err
	}
	for i := range results {
		r := &results[i]
		if err := out.Write([]string{strconv.Itoa(r.Index), r.Device, r.Model, r.State.String(), r.Reason, r.HeldCTL, r.HeldITL, r.HeldConfig,
			r.Registered, strconv.Itoa(r.Boots), fmt.Sprintf("%.3f", r.Took.Seconds())}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// junitSuite is the form of a JUnit report, as build servers read it.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
}

// JUnit returns a JUnit report: a case for each phone, which fails where it does not trust
// its cluster, and one for each expectation.
func JUnit(s Summary, results []Result, expected []Expectation) ([]byte, error) {
	suite := junitSuite{Name: "itlbench fleet", Time: fmt.Sprintf("%.3f", s.Seconds)}
	add := func(c junitCase, fault string) {
		if fault != "" {
			c.Failure = &junitFailure{fault}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	for i := range expected {
		fault := ""
		if err := expected[i].Met(&s); err != nil {
			fault = err.Error()
		}
		add(junitCase{Name: expected[i].String(), Class: "fleet", Time: "0.000"}, fault)
	}
	for i := range results {
		r := &results[i]
		fault := ""
		if r.State != Trusted {
			fault = r.State.String() + ": " + r.Reason
		}
		add(junitCase{Name: r.Device, Class: r.Model, Time: fmt.Sprintf("%.3f", r.Took.Seconds())}, fault)
	}
	suite.Tests = len(suite.Cases)
	out, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}
