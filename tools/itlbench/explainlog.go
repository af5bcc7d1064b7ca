package main

import (
	"fmt"
	"io"
	"strings"

	"itlagent/agent/printable"
	"itlagent/testbench/evidence/phonelog"
	"itlagent/testbench/evidence/recogniser"
)

// logFindingJSON is what `explain --log --json` prints of each thing that a log tells.
type logFindingJSON struct {
	File string `json:"file"`
	phonelog.Finding
	Code string `json:"reason"`
}

// explainLogs says what the logs of a phone tell: which step failed, why, and what to do. Problem
// reports are archives, which are taken whole.
func (e *env) explainLogs(paths []string, asJSON bool) int {
	items, err := recogniser.Collect(paths, e.stdin, recogniser.Limits{})
	if err != nil {
		return e.fail(exitNo, "explain: %v", err)
	}
	read, faults := 0, 0
	for _, it := range items {
		if it.Kind != recogniser.ConsoleLog && it.Kind != recogniser.Unknown && it.Kind != recogniser.Page {
			continue
		}
		in, err := it.Open()
		if err != nil {
			return e.fail(exitInfra, "explain: %s: %v", it.Name, err)
		}
		log, err := phonelog.Read(in, nil)
		in.Close()
		if err != nil {
			return e.fail(exitInfra, "explain: %s: %v", it.Name, err)
		}
		if len(log.Findings) == 0 {
			continue
		}
		read++
		if f := log.Fault(); f != nil {
			faults++
		}
		printLog(e.stdout, it.Name, log, asJSON)
	}
	switch {
	case read == 0:
		return e.fail(exitNo, "explain: nothing about trust is in it: console logs, problem reports and pasted status messages are read")
	case faults > 0:
		return exitNo
	}
	return exitOK
}

func printLog(w io.Writer, name string, log *phonelog.Log, asJSON bool) {
	if asJSON {
		for _, f := range log.Findings {
			printJSON(w, logFindingJSON{name, f, f.Reason.String()})
		}
		return
	}
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	switch f := log.Fault(); {
	case f == nil:
		line("%s: %d lines; nothing that went wrong with trust, or it went right later", printable.Text(name), log.Lines)
	default:
		line("%s: the %s step failed: %v", printable.Text(name), f.Step, f.Reason)
		line("  %s", f.What)
		line("to do: %s", f.Todo)
	}
	line("\nwhat the log tells:")
	for _, f := range log.Findings {
		times := ""
		if f.Count > 1 {
			times = fmt.Sprintf(", %d lines", f.Count)
		}
		line("  %s: %s%s", f.Step, f.What, times)
		for _, q := range f.Quotes {
			line("    %d: %s", q.Line, q.Text)
		}
	}
}

// phoneLog reads the logs of one phone as one, the oldest first.
func (e *env) phoneLog(paths []string) (*phonelog.Log, int) {
	items, err := recogniser.Collect(paths, e.stdin, recogniser.Limits{})
	if err != nil {
		return nil, e.fail(exitNo, "explain: %v", err)
	}
	var readers []io.Reader
	for _, it := range items {
		if it.Kind != recogniser.ConsoleLog && it.Kind != recogniser.Unknown && it.Kind != recogniser.Page {
			continue
		}
		in, err := it.Open()
		if err != nil {
			return nil, e.fail(exitInfra, "explain: %s: %v", it.Name, err)
		}
		defer in.Close()
		readers = append(readers, in, strings.NewReader("\n"))
	}
	log, err := phonelog.Read(io.MultiReader(readers...), nil)
	switch {
	case err != nil:
		return nil, e.fail(exitInfra, "explain: %v", err)
	case len(log.Findings) == 0:
		return nil, e.fail(exitNo, "explain: nothing about trust is in the log: console logs, problem reports and pasted status messages are read")
	}
	return log, exitOK
}
