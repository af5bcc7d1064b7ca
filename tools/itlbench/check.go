package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/check"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/p12"
	"itlagent/testbench/twin"
)

// runCheck says whether a cluster is in order: one of a directory, or one that is known by
// evidence or by the addresses of its TFTP servers.
func runCheck(e *env, args []string) int {
	f := e.flags("check")
	var from fromFlags
	from.add(f)
	saved := f.String("p12", "", "`FILE`: a saved ITLRecovery.p12")
	password := f.String("p12-password-file", "", "`FILE` with the security password that it was saved under")
	other := f.String("migrate-to", "", "`DIR` of the cluster that phones are to move to")
	days := f.Int("days", 180, "find certificates that expire within `DAYS`")
	asJSON := f.Bool("json", false, "print one JSON object a finding")
	junit := f.String("junit", "", "write a JUnit report to `FILE`")
	services := f.StringArray("tvs", nil, "`ADDR` of a TVS to ask, as phones do; all for those of every node whose address is known")
	const maxArgs = 40
	if code, ok := e.parse(f, args, -maxArgs); !ok {
		return code
	}
	switch {
	case f.NArg() == 0 && !from.given():
		return e.usage("check: no DIR of a cluster, no ADDR of a TFTP server and no --from EVIDENCE given")
	case *days < 0 || *days > 36500:
		return e.usage("check: --days %d: 0 to 36500", *days)
	case (*saved == "") != (*password == ""):
		return e.usage("check: --p12 and --p12-password-file go together")
	}
	o := check.Options{Now: time.Now(), Soon: time.Duration(*days) * 24 * time.Hour}
	if *saved != "" {
		if code := e.savedKey(*saved, *password, &o); code != exitOK {
			return code
		}
	}
	s, notes, code := e.checked(f.Args(), &from)
	if code != exitOK {
		return code
	}
	if !s.Twin() {
		o.Now = s.Now()
	}
	if *other != "" {
		c, code := e.openCluster(*other)
		if c == nil {
			return code
		}
		o.Other = c.State()
		c.Close()
	}
	asked, findings, code := e.askTVS(s, *services, o)
	if code != exitOK {
		return code
	}
	findings = append(check.Cluster(s, o), findings...)
	if *junit != "" {
		if err := writeOutput(*junit, junitOf(s.Profile.Name, findings)); err != nil {
			return e.fail(exitInfra, "check: %v", err)
		}
	}
	e.printFindings(s, findings, asked, notes, *asJSON)
	if len(findings) > 0 {
		return exitNo
	}
	return exitOK
}

// savedKey reads the recovery certificate that was saved.
func (e *env) savedKey(path, passwordFile string, o *check.Options) int {
	password, err := readPassword(passwordFile)
	if err != nil {
		return e.fail(exitInfra, "check: %v", plainPath(err))
	}
	data, err := evidence.ReadFile(path)
	if err != nil {
		return e.fail(exitNo, "check: %v", err)
	}
	id, err := p12.Open(data, password)
	if err != nil {
		return e.fail(exitNo, "check: %s: %v", path, err)
	}
	o.Saved = id.Certificate
	return exitOK
}

// checked returns the state that is checked, and what is not known of it.
func (e *env) checked(args []string, from *fromFlags) (*state.State, []string, int) {
	if len(args) == 1 && !from.given() {
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			c, code := e.openCluster(args[0])
			if c == nil {
				return nil, nil, code
			}
			defer c.Close()
			return c.State(), nil, exitOK
		}
	}
	clean, code := from.fetch(e, "check", args)
	defer clean()
	if code != exitOK {
		return nil, nil, code
	}
	t, code := from.twin(e, "check", "")
	if t == nil {
		return nil, nil, code
	}
	defer t.Cluster.Close()
	return t.Cluster.State(), t.Notes, exitOK
}

// fetchLists fetches the lists that a TFTP server serves into a directory.
func fetchLists(ctx context.Context, addr, dir string) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := fetch.Client{Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP}
	dir, err := os.MkdirTemp(dir, "server-")
	if err != nil {
		return err
	}
	if host, _, err := net.SplitHostPort(fetch.WithPort(addr, fetch.HTTPPort)); err == nil {
		if ip, err := netip.ParseAddr(host); err == nil { // the folder tells the address of the server
			dir = filepath.Join(dir, ip.String())
		}
	}
	for i, name := range []string{"ITLFile.tlv", "CTLFile.tlv"} {
		f, err := c.Get(ctx, []string{addr}, name, trustlist.MaxListSize)
		if err != nil && i > 0 {
			continue // a cluster that never left non-secure mode has none
		}
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), f.Data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// askTVS asks the TVS services that are named.
func (e *env) askTVS(s *state.State, named []string, o check.Options) ([]check.TVS, []check.Finding, int) {
	var servers []string
	for _, name := range named {
		if name != "all" {
			if host, port, err := net.SplitHostPort(tvs.Address(name)); err != nil || host == "" || port == "" {
				return nil, nil, e.usage("check: --tvs: invalid address %q: want host or host:port", name)
			}
			servers = append(servers, name)
			continue
		}
		before := len(servers)
		for i, n := range s.Nodes {
			if !n.Spec().Absent[profile.TVSService] && !twin.MadeUpAddress(s, i) {
				servers = append(servers, n.Advertised("tvs"))
			}
		}
		if len(servers) == before {
			return nil, nil, e.usage("check: --tvs all: the address of no node is known: name them")
		}
	}
	if len(servers) > check.MaxServers {
		return nil, nil, e.usage("check: --tvs: %d services, %d are asked at most", len(servers), check.MaxServers)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	asked, findings := check.AskTVS(ctx, s, servers, o, new(net.Dialer).DialContext)
	if ctx.Err() != nil {
		return nil, nil, e.fail(exitInfra, "check: stopped")
	}
	return asked, findings, exitOK
}

func (e *env) printFindings(s *state.State, findings []check.Finding, asked []check.TVS, notes []string, asJSON bool) {
	if asJSON {
		for _, f := range findings {
			printJSON(e.stdout, f)
		}
		return
	}
	if len(findings) == 0 {
		fmt.Fprintf(e.stdout, "%s: in order\n", printable.Text(s.Profile.Name))
	}
	for _, f := range findings {
		fmt.Fprintf(e.stdout, "%s: %s\n  why: %s\n  to do: %s\n", f.Name, f.What, f.Why, f.Todo)
	}
	for _, t := range asked {
		if t.Certificate != nil {
			fmt.Fprintf(e.stdout, "TVS %s: shows %s, serial %s; vouches for %d of %d signers\n", printable.Text(t.Server),
				trustlist.Printable([]byte(trustlist.FormatName(t.Certificate.Subject))), trustlist.FormatSerial(t.Certificate.SerialNumber.Bytes()), t.Knows, t.Of)
		}
	}
	for i, n := range notes {
		if i == 0 {
			fmt.Fprintln(e.stdout, "\nnot known:")
		}
		fmt.Fprintf(e.stdout, "  %s\n", printable.Text(n))
	}
}

// junitOf writes a report that monitoring reads: a test case a finding, or one that passed.
func junitOf(cluster string, findings []check.Finding) []byte {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *failure `xml:"failure,omitempty"`
	}
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: "check " + cluster, Tests: max(1, len(findings)), Failures: len(findings)}
	for _, f := range findings {
		suite.Cases = append(suite.Cases, testcase{f.Name, cluster, &failure{f.What, f.Why + "\nto do: " + f.Todo}})
	}
	if len(findings) == 0 {
		suite.Cases = []testcase{{Name: "in order", Class: cluster}}
	}
	out, _ := xml.MarshalIndent(suite, "", "  ")
	return append([]byte(xml.Header), append(out, '\n')...)
}
