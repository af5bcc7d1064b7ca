package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/evidence"
	"itlagent/testbench/listing"
	"itlagent/testbench/wording"
)

// verdictJSON is the object that `verify --json` prints.
type verdictJSON struct {
	File     string             `json:"file"`
	Accepted bool               `json:"accepted"`
	Reason   string             `json:"reason"`
	Signer   listing.Signer     `json:"signer"`
	Via      string             `json:"via"`
	Offset   int                `json:"offset"`
	Detail   string             `json:"detail"`
	Steps    []wording.StepJSON `json:"steps"`
	Warnings []string           `json:"warnings"`
}

func runVerify(e *env, args []string) int {
	f := e.flags("verify")
	installed := f.StringArray("installed", nil, "`LIST` that the phone holds; at most one ITL and one CTL")
	certs := f.StringArray("cert", nil, "`PEM` certificate to be trusted for any role")
	servers := f.StringArray("tvs", nil, "`ADDR` of a TVS, host[:port], in order")
	refuse := f.Bool("refuse-older", false, "reject a list that is older than the installed one")
	name := f.String("name", "", "`NAME` that the phone asks for: the kind and the FILENAME of the file must be its")
	renamed := f.Bool("allow-renamed", false, "accept a signed file whose FILENAME is another than --name")
	showSigner := f.Bool("cert-verification", false, "where a TVS hangs up at the question, show it the signer's certificate, as no real phone is known to do")
	asJSON := f.Bool("json", false, "print one JSON object")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	state, code := e.phoneState("verify", *installed, *certs)
	if code != exitOK {
		return code
	}
	state.Servers = len(*servers)
	state.Policy = trust.Policy{RefuseOlder: *refuse, AllowRenamed: *renamed}
	path := f.Arg(0)
	data, err := evidence.ReadFile(path)
	if err != nil {
		return e.fail(exitNo, "%v", err)
	}
	client := &tvs.Client{Dial: new(net.Dialer).DialContext, Device: "CP-7965-SEP000000000000", VerifyWhereHungUp: *showSigner}
	v := judge(state, *name, data, client, *servers)
	e.printVerdict(path, v, *asJSON)
	if v.Accepted {
		return exitOK
	}
	return e.fail(exitNo, "%s: offset %d: %s", path, v.Offset, reasonLine(v))
}

// phoneState is what a phone knows that holds the lists, with certificates that
// the caller vouches for. The code counts only where it is not exitOK.
func (e *env) phoneState(name string, installed, certs []string) (state trust.State, code int) {
	state.Now = time.Now()
	for _, path := range installed {
		list, err := evidence.OpenFile(path)
		if err != nil {
			return state, e.fail(exitNo, "%v", err)
		}
		slot := &state.ITL
		switch list.Kind {
		case trustlist.ITL:
		case trustlist.CTL:
			slot = &state.CTL
		default:
			return state, e.usage("%s: %s is a %v: --installed takes an ITL or a CTL", name, path, list.Kind)
		}
		if *slot != nil {
			return state, e.usage("%s: %s is a second %v: a phone holds one", name, path, list.Kind)
		}
		*slot = list
	}
	for _, path := range certs {
		id, err := readIdentity(path, false)
		if err != nil {
			return state, e.fail(exitNo, "%v", err)
		}
		state.Certificates = append(state.Certificates, id.Certificate)
	}
	return state, exitOK
}

// judge decides as a phone in the state would that asked for the name, asking the TVS
// servers where the decision wants an answer.
func judge(state trust.State, name string, data []byte, client *tvs.Client, servers []string) trust.Verdict {
	if _, list := kindOfName(name); trust.Plain(data) && !list {
		return trust.Unsigned(state) // a configuration without signature
	}
	kind, asked := kindOfName(name)
	if !asked {
		var err error
		if kind, err = trustlist.Recognise(data); err != nil {
			kind = trustlist.SGN // the decision finds the same fault, and names the reason
		}
	}
	v := trust.Decide(state, trust.Candidate{Kind: kind, Name: name, Data: data})
	if v.Question != nil {
		at := make([]string, len(servers))
		for i, s := range servers {
			at[i] = tvs.Address(s)
		}
		v = v.Answered(state, client.Query(context.Background(), state.ITL, at, *v.Question))
	}
	return v
}

func (e *env) printVerdict(path string, v trust.Verdict, asJSON bool) {
	if asJSON {
		out := verdictJSON{
			File: path, Accepted: v.Accepted, Reason: v.Reason.String(), Via: v.Via.String(),
			Offset: v.Offset, Detail: v.Detail, Steps: []wording.StepJSON{}, Warnings: append([]string{}, v.Warnings...),
		}
		if v.File != nil {
			out.Signer = listing.SignerOf(v.File.Signer)
		}
		for _, s := range v.Steps {
			out.Steps = append(out.Steps, wording.StepJSON{Where: s.Where, Record: s.Record, Result: s.Result.String(), Detail: s.Detail})
		}
		printJSON(e.stdout, out)
		return
	}
	for _, line := range v.Describe(path) {
		fmt.Fprintln(e.stdout, line)
	}
}

// reasonLine is a reason with what is known of the place.
func reasonLine(v trust.Verdict) string {
	line := fmt.Sprintf("%v: %s", v.Reason, v.Reason.Text())
	if v.Detail != "" {
		line += ": " + v.Detail
	}
	return line
}
