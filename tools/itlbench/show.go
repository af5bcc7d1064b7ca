package main

import (
	"bufio"
	"errors"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence"
	"itlagent/testbench/listing"
)

func runShow(e *env, args []string) int {
	f := e.flags("show")
	asJSON := f.Bool("json", false, "print one JSON object")
	installed := f.StringArray("installed", nil, "`LIST` to check a signed file with; at most one ITL and one CTL")
	certs := f.StringArray("cert", nil, "`PEM` certificate to check a signed file with")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	with, code := e.phoneState("show", *installed, *certs)
	if code != exitOK {
		return code
	}
	file, err := evidence.OpenFile(f.Arg(0))
	if err != nil {
		return e.fail(exitNo, "%v", err)
	}
	check := ownCheck(file)
	if !file.Kind.IsList() && len(*installed)+len(*certs) > 0 {
		v := trust.Decide(with, trust.Candidate{Kind: file.Kind, Data: file.Bytes()})
		check = selfCheck{&v.Accepted, v.Reason, v.Offset}
	}
	shown := listing.Of(file, check.verified)
	shown.Reason = check.reason.String()
	if *asJSON {
		printJSON(e.stdout, shown)
	} else {
		w := bufio.NewWriter(e.stdout)
		shown.Write(w, listing.Layout{})
		w.Flush()
	}
	if check.verified != nil && !*check.verified {
		return e.fail(exitNo, "%s: offset %d: %s", f.Arg(0), check.offset, check.reason.Text())
	}
	return exitOK
}

// selfCheck is what a file alone tells of its signature.
type selfCheck struct {
	verified *bool // nil: it cannot tell
	reason   trust.Reason
	offset   int
}

func ownCheck(f *trustlist.File) selfCheck {
	yes, no := true, false
	if !f.Kind.IsList() {
		return selfCheck{reason: trust.UnknownSigner}
	}
	_, err := f.CheckOwn()
	switch {
	case err == nil:
		return selfCheck{&yes, trust.Accepted, 0}
	case errors.Is(err, trustlist.ErrNoSigner):
		return selfCheck{reason: trust.UnknownSigner}
	}
	// The decision on first use gives the reason in the words of a phone.
	v := trust.Decide(trust.State{}, trust.Candidate{Kind: f.Kind, Data: f.Bytes()})
	return selfCheck{&no, v.Reason, v.Offset}
}
