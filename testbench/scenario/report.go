package scenario

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteTAP writes results in the Test Anything Protocol, version 13.
func WriteTAP(w io.Writer, results []Result) {
	fmt.Fprintf(w, "TAP version 13\n1..%d\n", len(results))
	for i, r := range results {
		if r.Err == nil {
			fmt.Fprintf(w, "ok %d - %s # %d checks\n", i+1, r.Scenario.Name, r.Checks)
			continue
		}
		if r.Skipped {
			fmt.Fprintf(w, "ok %d - %s # SKIP %v\n", i+1, r.Scenario.Name, r.Err)
			continue
		}
		fmt.Fprintf(w, "not ok %d - %s\n", i+1, r.Scenario.Name)
		for line := range strings.Lines(r.Err.Error()) {
			fmt.Fprintf(w, "# %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// junitSuite is the form of a JUnit report, as build servers read it.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string     `xml:"name,attr"`
	Class   string     `xml:"classname,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitText `xml:"failure,omitempty"`
	Error   *junitText `xml:"error,omitempty"`
	Skipped *junitText `xml:"skipped,omitempty"`
	Out     string     `xml:"system-out"`
}

type junitText struct {
	Message string `xml:"message,attr"`
}

// JUnit returns results as a JUnit report.
func JUnit(results []Result) ([]byte, error) {
	suite := junitSuite{Name: "itlbench scenario", Tests: len(results)}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
	var total time.Duration
	for _, r := range results {
		c := junitCase{Name: r.Scenario.Name, Class: "scenario", Time: seconds(r.Took), Out: r.Journal}
		switch {
		case r.Failed:
			suite.Failures++
			c.Failure = &junitText{r.Err.Error()}
		case r.Skipped:
			suite.Skipped++
			c.Skipped = &junitText{r.Err.Error()}
		case r.Err != nil:
			suite.Errors++
			c.Error = &junitText{r.Err.Error()}
		}
		total += r.Took
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = seconds(total)
	out, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}
