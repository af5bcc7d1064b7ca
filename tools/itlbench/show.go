package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/listing"
)

func runShow(e *env, args []string) int {
	f := e.flags("show")
	asJSON := f.Bool("json", false, "print a JSON object for each file")
	installed := f.StringArray("installed", nil, "`LIST` to check a signed file with; at most one ITL and one CTL")
	certs := f.StringArray("cert", nil, "`PEM` certificate to check a signed file with")
	p12Password := f.String("p12-password-file", "", "`FILE` with the password of a PKCS#12 file")
	const maxFiles = 1000
	if code, ok := e.parse(f, args, -maxFiles); !ok {
		return code
	}
	if f.NArg() == 0 {
		return e.usage("show: no file given; - is standard input")
	}
	with, code := e.phoneState("show", *installed, *certs)
	if code != exitOK {
		return code
	}
	s := shower{e: e, json: *asJSON, with: with, given: len(*installed)+len(*certs) > 0, w: bufio.NewWriter(e.stdout)}
	if *p12Password != "" {
		var err error
		if s.password, err = readPassword(*p12Password); err != nil {
			return e.fail(exitInfra, "show: %v", plainPath(err))
		}
		s.hasPassword = true
	}
	items, err := recogniser.Collect(f.Args(), e.stdin, recogniser.Limits{})
	if err != nil {
		return e.fail(exitNo, "%v", err)
	}
	if len(items) == 0 {
		return e.fail(exitNo, "%s: no file is in it", strings.Join(f.Args(), " "))
	}
	s.many = len(items) > 1
	for i, it := range items {
		if s.many && !s.json {
			fmt.Fprintf(s.w, "%s%s: %s\n", map[bool]string{true: "\n", false: ""}[i > 0], trustlist.Printable([]byte(it.Name)), it.About)
		}
		c := s.show(it)
		s.w.Flush()
		code = max(code, c)
	}
	return code
}

// shower shows files.
type shower struct {
	e           *env
	json, many  bool
	with        trust.State
	given       bool // something to check signed files with
	password    string
	hasPassword bool
	w           *bufio.Writer
}

// trustFile shows a trust file as `show itl` does.
func (s *shower) trustFile(it *recogniser.Item) int {
	file := it.File
	check := ownCheck(file)
	if !file.Kind.IsList() && s.given {
		v := trust.Decide(s.with, trust.Candidate{Kind: file.Kind, Data: file.Bytes()})
		check = selfCheck{&v.Accepted, v.Reason, v.Offset}
	}
	shown := listing.Of(file, check.verified)
	shown.Reason = check.reason.String()
	if s.json {
		s.object(it, shown)
	} else {
		shown.Write(s.w, listing.Layout{})
	}
	if check.verified != nil && !*check.verified {
		s.w.Flush()
		return s.e.fail(exitNo, "%s: offset %d: %s", it.Name, check.offset, check.reason.Text())
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
