package twin_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/listing"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
	"itlagent/testbench/twin"
)

var (
	courses = flag.Int("courses", 60, "random courses of clusters that are copied")
	seed    = flag.Uint64("seed", 1, "of the first course")
)

var (
	installed = make(map[string]*cluster.Cluster)
	keys      pki.Keys
)

// fresh returns a copy of a newly installed cluster of a profile.
func fresh(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	if installed[name] == nil {
		p, err := profile.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		p.Installed = profile.Note().Installed
		for i := range p.Nodes {
			p.Nodes[i].Host = fmt.Sprintf("127.0.9.%d", i+1)
		}
		for i := range 4 {
			p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("00112233445%d", i), Model: []string{"CP-7965G", "CP-8861"}[i%2]})
		}
		if installed[name], err = cluster.New(p, cluster.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return installed[name].Fork(&keys)
}

// past are changes that may have been made, future are those that are asked about.
func past(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	switch r.IntN(9) {
	case 0, 1, 2, 3:
		return "regen " + pick("CallManager", "TVS", "ITLRecovery", "CAPF", "tomcat", "CallManager", "TVS") + "@" + pick("pub", "sub", "all")
	case 4:
		return "rename " + pick("fresh@pub", "elsewhere.lab@all", "fresher@sub")
	case 5:
		return "upgrade " + pick("10.5", "11.5", "12.5", "14")
	case 6:
		return "itl-reset"
	case 7:
		return pick("rollback on", "rollback off", "restart tvs")
	}
	return "restart " + pick("tftp", "tvs")
}

func future(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return past(r) + " reset " + past(r)
	}
	return past(r)
}

// course is a cluster with a history, and its phones.
type course struct {
	c      *cluster.Cluster
	phones []lockout.Phone
	words  []string
}

// newCourse lets a cluster and its phones live.
func newCourse(t *testing.T, r *rand.Rand) *course {
	t.Helper()
	names := profile.ProfileNames()
	x := &course{c: fresh(t, names[r.IntN(len(names))])}
	for _, p := range x.c.State().Phones {
		x.phones = append(x.phones, lockout.Phone{MAC: p.MAC, Model: p.Model, Servers: lockout.Servers(x.c)})
	}
	w := lockout.World{x.c}
	boot := func(chance int) {
		for i, p := range x.phones {
			if r.IntN(chance) > 0 {
				next, _, err := p.Boot(t.Context(), w)
				if err != nil {
					t.Fatal(err)
				}
				x.phones[i] = next
			}
		}
	}
	if x.c.State().Release().Recovery && r.IntN(4) == 0 {
		ops := []operation.Operation{operation.SetMixedMode(true)}
		for _, n := range x.c.Nodes() {
			ops = append(ops, operation.RestartTFTP(n.Name()))
		}
		for _, op := range ops {
			if err := x.c.Apply(op); err != nil {
				t.Fatal(err)
			}
		}
		x.words = append(x.words, "mixed")
	}
	boot(8)
	for range r.IntN(4) {
		words := past(r)
		if err := x.do(words, r); err != nil {
			continue
		}
		x.words = append(x.words, words)
		boot(3)
	}
	if r.IntN(5) == 0 {
		if err := x.c.Apply(operation.Service(x.c.Publisher().Name(), profile.TVSService, operation.Stop)); err != nil {
			t.Fatal(err)
		}
		x.words = append(x.words, "stop tvs")
	}
	return x
}

// do makes a change, with the restarts that belong to it most of the time.
func (x *course) do(words string, r *rand.Rand) error {
	if err := x.c.Apply(operation.Advance(time.Hour)); err != nil {
		return err
	}
	word, args, _ := strings.Cut(words, " ")
	what, where, _ := strings.Cut(args, "@")
	var err error
	each := func(op func(name string) operation.Operation) {
		for _, n := range x.c.Nodes() {
			if where == "" || where == "all" || (where == "pub") == n.IsPublisher() {
				err = errors.Join(err, x.c.Apply(operation.Advance(2*operation.HoldTime)), x.c.Apply(op(n.Name())))
			}
		}
	}
	restart := func(service profile.Service) {
		where = ""
		each(func(name string) operation.Operation { return operation.Service(name, service, operation.Restart) })
	}
	switch word {
	case "regen":
		each(func(name string) operation.Operation { return operation.Regenerate(name, profile.Unit(what)) })
	case "rename":
		if strings.Contains(what, ".") {
			for _, n := range x.c.Nodes() {
				err = errors.Join(err, x.c.Apply(operation.Advance(2*operation.HoldTime)), x.c.Apply(operation.Rename(n.Name(), n.Name(), what)))
			}
		} else {
			each(func(name string) operation.Operation { return operation.Rename(name, what, "joemar2.lab") })
		}
	case "upgrade":
		return x.c.Apply(operation.Upgrade(args))
	case "itl-reset":
		return x.c.Apply(operation.ResetITL(nil))
	case "rollback":
		err = x.c.Apply(operation.SetRollback(args == "on"))
	case "restart":
		restart(map[string]profile.Service{"tftp": profile.TFTPService, "tvs": profile.TVSService}[args])
		return err
	}
	if err == nil && (word == "rename" || r.IntN(6) > 0) { // a server that is renamed starts again
		restart(profile.TVSService)
		restart(profile.TFTPService)
	}
	return err
}

// export writes what an administrator has of the cluster: public files, text, logs.
func (x *course) export(t *testing.T, r *rand.Rand) (items []*recogniser.Item) {
	t.Helper()
	add := func(name string, data []byte) { items = append(items, recogniser.Recognise(name, data)) }
	addList := func(dir string, kind trustlist.Kind, data []byte) {
		name := fmt.Sprintf("%s/%vFile-%.6s", dir, kind, state.Hash(data))
		if r.IntN(3) > 0 {
			add(name+".tlv", data)
			return
		}
		f, err := trustlist.Parse(kind, data)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		listing.Write(&b, f, nil)
		add(name+".txt", b.Bytes())
	}
	s := x.c.State()
	seen := make(map[string]bool)
	for _, served := range s.Lists() {
		if seen[served.SHA1] {
			continue
		}
		seen[served.SHA1] = true
		data, err := x.c.List(served.SHA1)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(s.Nodes, func(n *state.Node) bool { return bytes.Equal(n.ITL, data) || bytes.Equal(n.CTL, data) }) || r.IntN(12) == 0 {
			continue // a node serves it, or nobody kept it
		}
		addList("old", served.Kind, data)
	}
	for _, n := range s.Nodes {
		addList(n.Name, trustlist.ITL, n.ITL)
		if n.CTL != nil {
			addList(n.Name, trustlist.CTL, n.CTL)
		}
		shown, err := n.Vouching.PEM(false)
		if err != nil {
			t.Fatal(err)
		}
		add(n.Name+"/shown-by-TVS.pem", shown)
	}
	exportNodes(t, s, add)
	for i, imported := range s.Imported {
		pem, _ := imported.Identity.PEM(false)
		add(fmt.Sprintf("%s/%d.pem", imported.Store, i), pem)
	}
	add("version.txt", []byte("Active Master Version: "+s.Release().Version+"\n"))
	csv, log := "Name,Model\n", ""
	for i, p := range x.phones {
		csv += fmt.Sprintf("SEP%s,Cisco %s\n", p.MAC, strings.TrimPrefix(p.Model, "CP-"))
		hash := func(key string) string {
			if p.Stored[key] == nil {
				return "Not Installed"
			}
			return state.Hash(p.Stored[key])
		}
		log += fmt.Sprintf("%d: pub: Mar 09 2019 18:32:45.250 UTC : %%UC_CALLMANAGER-6-DeviceTLInfo: %%[DeviceName=SEP%s][ITL_Signature=%s][CTL_Signature=%s]: text\n", i, p.MAC, hash("itl"), hash("ctl"))
	}
	add("phones.csv", []byte(csv))
	add("app.log", []byte(log))
	return items
}

// exportNodes writes the certificates of each node, and which of its services run.
func exportNodes(t *testing.T, s *state.State, add func(string, []byte)) {
	t.Helper()
	for _, n := range s.Nodes {
		for u, id := range n.Units {
			pem, err := id.PEM(false)
			if err != nil {
				t.Fatal(err)
			}
			add(n.Name+"/"+string(u)+".pem", pem)
		}
		services := ""
		for _, service := range profile.Services() {
			services += fmt.Sprintf("%s[%s]\n", service, map[bool]string{true: "STARTED", false: "STOPPED"}[n.Active(service)])
		}
		add(n.Name+"/services.txt", []byte(services))
	}
}

// reportsOf are the reports of a log among items.
func reportsOf(t *testing.T, items []*recogniser.Item) *evidence.Reports {
	t.Helper()
	r := evidence.New()
	for _, it := range items {
		if it.Kind == recogniser.AlarmLog {
			in, err := it.Open()
			if err == nil {
				err = r.Read(in, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

// No phone is served by a twin.
func TestTwinServesNobody(t *testing.T) {
	x := &course{c: fresh(t, "12.5")}
	tw, err := twin.New(x.export(t, rand.New(rand.NewPCG(1, 1))), twin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tw.Cluster.Start(); !errors.Is(err, cluster.ErrTwin) {
		t.Errorf("started: %v", err)
	}
}
