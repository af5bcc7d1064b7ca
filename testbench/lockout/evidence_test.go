package lockout_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"itlagent/agent/boot"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/phonelog"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/listing"
	"itlagent/testbench/lockout"
	"itlagent/testbench/twin"
)

// exported are the public files of a cluster and the text that it prints: what an administrator
// has. Lists are files of one node, and text of the next.
func exported(t *testing.T, c *cluster.Cluster, mac string) (items []*recogniser.Item) {
	t.Helper()
	add := func(name string, data []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, recogniser.Recognise(name, data))
	}
	s := c.State()
	for i, n := range s.Nodes {
		for _, list := range []string{"ITLFile", "CTLFile"} {
			data, err := n.File(list+".tlv", false) // as it is served
			if err != nil {
				continue
			}
			name := n.Name + "/" + list
			kind, err := trustlist.Recognise(data)
			if err != nil {
				continue // garbage is served
			}
			f, err := trustlist.Parse(kind, data)
			if err != nil || i%2 == 0 {
				add(name+".tlv", data, nil)
				continue
			}
			var text bytes.Buffer
			listing.Write(&text, f, nil)
			add(name+".txt", text.Bytes(), nil)
		}
		if config, err := n.File("SEP"+mac+".cnf.xml.sgn", false); err == nil {
			add(n.Name+"/SEP"+mac+".cnf.xml.sgn", config, nil)
		}
		shown, err := n.Vouching.PEM(false)
		add(n.Name+"/shown-by-TVS.pem", shown, err)
		for u, id := range n.Units {
			pem, err := id.PEM(false)
			add(n.Name+"/"+string(u)+".pem", pem, err)
		}
		services := ""
		for _, service := range profile.Services() {
			services += fmt.Sprintf("%s[%s]\n", service, map[bool]string{true: "STARTED", false: "STOPPED"}[n.Active(service)])
		}
		add(n.Name+"/services.txt", []byte(services), nil)
	}
	for i, imported := range s.Imported {
		pem, err := imported.Identity.PEM(false)
		add(fmt.Sprintf("%s/%d.pem", imported.Store, i), pem, err)
	}
	add("version.txt", []byte("Active Master Version: "+s.Release().Version+"\n"), nil)
	return items
}

// held writes what a phone holds as files: lists and its configuration.
func held(t *testing.T, p lockout.Phone) evidence.Source {
	t.Helper()
	dir := t.TempDir()
	src := evidence.Source{MAC: p.MAC, Model: p.Model, State: ""}
	write := func(key string) string {
		data := p.Stored[key]
		if data == nil {
			return ""
		}
		path := filepath.Join(dir, key)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, key := range []string{"ctl", "itl"} {
		if path := write(key); path != "" {
			src.Installed = append(src.Installed, path)
		}
	}
	src.Config = write("config")
	return src
}

// consoleLog is what a phone's console log says of a boot.
func consoleLog(t *testing.T, r *boot.Report) *phonelog.Log {
	t.Helper()
	text := ""
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Rejected() {
			text += fmt.Sprintf("12:00:00 notice %s: rejected: %v: %s\n", o.Name, o.Verdict.Reason, o.Verdict.Reason.Text())
		}
	}
	for _, m := range r.Messages {
		text += "[12:00:00am 11/27/26] " + m + "\n"
	}
	log, err := phonelog.Read(strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// checkEvidence explains a locked phone by files and text alone, and compares with what the handset
// gave; the first remedy is typed on a live copy of the bench, and works.
func checkEvidence(t *testing.T, w lockout.World, p lockout.Phone, got *boot.Report, hints lockout.Hints, n *counts) {
	t.Helper()
	serving := lockout.World{}
	for _, c := range w {
		if len(p.Servers) > 0 {
			if at, _ := c.At(p.Servers[0]); at != nil {
				serving = append(lockout.World{c}, serving...)
				continue
			}
		}
		serving = append(serving, c)
	}
	var twins lockout.World
	var first *twin.Twin
	for i, c := range serving {
		tw, err := twin.New(exported(t, c, p.MAC), twin.Options{Now: w.Now()})
		if err != nil {
			if errors.Is(err, twin.ErrNoList) && i > 0 {
				continue
			}
			if !errors.Is(err, twin.ErrNoList) {
				t.Errorf("evidence: %v", err)
			}
			checkServed(t, c, p, got, n)
			return
		}
		defer tw.Cluster.Close()
		if first == nil {
			first = tw
		}
		twins = append(twins, tw.Cluster)
	}
	phone, notes, err := first.Phone(t.Context(), held(t, p), nil, twins[1:]...)
	if err != nil {
		t.Errorf("evidence: %v", err)
		return
	}
	phone.Policy = p.Policy
	note, err := twin.Heed(t.Context(), twins, phone, consoleLog(t, got))
	if err != nil {
		t.Errorf("evidence: %v", err)
	}
	notes = append(append(first.Notes, notes...), note)
	e, err := lockout.Explain(t.Context(), twins, phone, lockout.Hints{Open: true, P12: hints.P12})
	if err != nil {
		t.Errorf("evidence: %v", err)
		return
	}
	if e.Report.Reason() != got.Reason() && strings.Contains(note, fmt.Sprintf("log says %v", got.Reason())) {
		t.Logf("evidence: %v, by the log alone: %s", got.Reason(), note)
		n.told++ // no file shows how a service fails: the log alone tells
		return
	}
	if e.Report.Reason() != got.Reason() {
		t.Errorf("evidence: the handset gives %v, files and text %v (%v, %v, %v); notes %q", got.Reason(), e.Report.Reason(), e.Report.CTL.Verdict.Steps, e.Report.ITL.Verdict.Steps, e.Report.Config.Verdict.Steps, notes)
		return
	}
	n.evidence++
	if note != "" {
		n.heeded++
	}
	if got.Reason() == trust.Accepted {
		return // it trusts its cluster, and cannot register: no file tells what call managers show
	}
	if len(e.Remedies) == 0 {
		t.Errorf("evidence: no remedy from %v; notes %q", got.Reason(), notes)
		return
	}
	remedy := e.Remedies[0]
	report, err := typedOn(t, w, serving, twins, p, remedy)
	switch {
	case err == nil && report.Reason() == trust.Accepted:
		n.typed++
	case faulty(w):
		t.Logf("evidence: %v: %s: a fault of TFTP remains, which no command of a real cluster clears", got.Reason(), remedy.Name)
		n.faulty++
	default:
		t.Errorf("evidence: %v: %s (%v) was typed: %v, %v; notes %q", got.Reason(), remedy.Name, remedy.Commands, err, reasonOf(report), notes)
	}
}

// faulty reports whether a TFTP service has a fault, which is the bench's own.
func faulty(w lockout.World) bool {
	return slices.ContainsFunc(w, func(c *cluster.Cluster) bool {
		return slices.ContainsFunc(c.State().Nodes, func(n *state.Node) bool { return n.Fault(profile.TFTPService).Kind != "" })
	})
}

// checkServed explains a phone whose cluster serves no list that can be read, as files: the reason is
// told, and that what could be done about it is not known.
func checkServed(t *testing.T, c *cluster.Cluster, p lockout.Phone, got *boot.Report, n *counts) {
	t.Helper()
	var served lockout.Files
	served.At = c.Now()
	served.ITL, _ = c.Publisher().State().File("ITLFile.tlv", false)
	served.CTL, _ = c.Publisher().State().File("CTLFile.tlv", false)
	served.Config, _ = c.Publisher().State().File("SEP"+p.MAC+".cnf.xml.sgn", false)
	p.Servers = []string{"served"}
	e, err := lockout.Explain(t.Context(), served, p, lockout.Hints{})
	if err != nil || e.Report.Reason() != got.Reason() || !e.Partial {
		t.Errorf("evidence: the handset gives %v, files %v: %v", got.Reason(), e.Report.Reason(), err)
	}
	n.unserved++
}

// typedOn types the commands of a remedy that was found in copies on a live copy of the bench.
func typedOn(t *testing.T, w, serving, twins lockout.World, p lockout.Phone, remedy lockout.Remedy) (*boot.Report, error) {
	running, h, err := live(t, w, p)
	if err != nil {
		return nil, err
	}
	for _, a := range remedy.Actions() {
		for _, cmd := range a.Commands(twins) {
			for i, c := range twins { // whoever types it knows the addresses that evidence lacks
				for _, n := range c.Nodes() {
					if real, err := serving[i].Node(n.Name()); err == nil {
						cmd.Line = strings.ReplaceAll(cmd.Line, n.State().Advertised("http"), real.State().Advertised("http"))
					}
				}
			}
			at := slices.Index(w, serving[a.Place()])
			if err := h.do(running, a.In(at), cmd); err != nil {
				return nil, fmt.Errorf("%v: %w", cmd, err)
			}
		}
	}
	return h.agent.Cycle(t.Context()), nil
}
