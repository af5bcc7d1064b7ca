package twin

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/lockout"
)

// Phone puts a phone together as it is in copies of its clusters, from what is known of it, and
// says what is presumed. The cluster of the twin is the one that serves it; others are those that
// it may come from. stdin is read where a file is "-".
func (t *Twin) Phone(ctx context.Context, src evidence.Source, stdin io.Reader, others ...*cluster.Cluster) (p lockout.Phone, notes []string, err error) {
	w := append(lockout.World{t.Cluster}, others...)
	if len(src.Installed) == 0 && (src.Page != "" || src.Hash != "") {
		known, err := src.Phone(ctx, w, w)
		return known.Phone, known.Notes, err
	}
	mac, err := t.mac(&src)
	if err != nil {
		return p, nil, err
	}
	if src.Reported && len(src.Installed) == 0 {
		return t.reported(w, mac)
	}
	held, err := t.stored(ctx, &src, w, stdin)
	if err != nil {
		return p, nil, err
	}
	p = lockout.Phone{MAC: mac, Model: t.Cluster.State().Phone(mac).Model, Servers: lockout.Servers(t.Cluster), Stored: held}
	if src.Model != "" {
		p.Model = src.Model // and not the one that is taken where none is known
	}
	home, kinship := t.Cluster, stranger
	for _, c := range w {
		if k := kin(held, c); k > kinship {
			home, kinship = c, k
		}
	}
	if src.Config != "" {
		if p.Stored["config"], err = evidence.ReadConfig(src.Config); err != nil {
			return p, nil, err
		}
	}
	switch {
	case p.Stored["config"] != nil:
		if kinship > stranger {
			notes, err = locate(home, p.Stored["config"])
		}
	case len(held) > 0:
		var note string
		note, err = evidence.Presume(&p, home)
		notes = []string{note + "; --config gives another"}
	default:
		notes = []string{"the phone is taken to be new: it holds nothing"}
	}
	return p, notes, err
}

// mac returns the 12 digits of the phone's address, and makes the phone known to the twin.
func (t *Twin) mac(src *evidence.Source) (string, error) {
	mac := src.MAC
	if known := t.Cluster.State().Phones; mac == "" && len(known) > 0 {
		mac = known[0].MAC
	} else if mac == "" {
		mac = evidence.DefaultMAC
	}
	device, err := boot.Device(mac)
	if err != nil {
		return "", err
	}
	mac = strings.TrimPrefix(device, "SEP")
	return mac, t.AddPhone(mac, src.Model)
}

// reported puts the phone together from its last report.
func (t *Twin) reported(w lockout.World, mac string) (p lockout.Phone, notes []string, err error) {
	m, _ := evidence.ParseMAC("SEP" + mac)
	last, found, err := t.Reports.Last(m)
	if err == nil && !found {
		err = fmt.Errorf("SEP%s %w", mac, evidence.ErrSilent)
	}
	if err != nil {
		return p, nil, err
	}
	return evidence.Recall(w, mac, last.ITL.String(), last.CTL.String())
}

// stored returns what the phone holds, with lists of the copies in the place of real ones.
func (t *Twin) stored(ctx context.Context, src *evidence.Source, w lockout.World, stdin io.Reader) (lockout.Stored, error) {
	if src.State == "" && src.Flash == "" {
		items, err := recogniser.Collect(src.Installed, stdin, recogniser.Limits{})
		if err == nil {
			err = lists(items)
		}
		if err != nil {
			return nil, err
		}
		return t.Held(items, w[1:]...)
	}
	known, err := src.Phone(ctx, w, w)
	if err != nil {
		return nil, err
	}
	var items []*recogniser.Item
	for _, key := range []string{"ctl", "itl"} {
		if data := known.Stored[key]; data != nil {
			items = append(items, recogniser.Recognise("the phone's "+key, data))
		}
	}
	lists, err := t.Held(items, w[1:]...)
	held := maps.Clone(known.Stored)
	maps.Copy(held, lists)
	return held, err
}

// lists errs where what is said to be a phone's lists has none, or a damaged file: without
// it the phone would be taken for another one.
func lists(items []*recogniser.Item) error {
	found := len(items) == 0
	for _, it := range items {
		if it.Err != nil {
			return fmt.Errorf("%s, which the phone is said to hold: %s: %w", it.Name, it.About, it.Err)
		}
		for _, l := range it.Lists {
			if len(l.Warnings) > 0 {
				return fmt.Errorf("%s, which the phone is said to hold, is not whole: %s", it.Name, l.Warnings[0])
			}
		}
		found = found || len(it.Lists) > 0 || it.File != nil && it.File.Kind.IsList()
	}
	if !found {
		return fmt.Errorf("%s, which the phone is said to hold: not a list: %s", items[0].Name, items[0].About)
	}
	return nil
}

// How near a phone's lists are to a cluster.
const (
	stranger        = iota
	sameName        // a server of the cluster has the name of one in the lists
	sameCertificate // or its certificate
	served          // the cluster has served one of the lists
)

// kin tells how near a phone's lists are to a cluster.
func kin(held lockout.Stored, c *cluster.Cluster) (best int) {
	for _, kind := range []trustlist.Kind{trustlist.ITL, trustlist.CTL} {
		data := held[strings.ToLower(kind.String())]
		f, err := trustlist.Parse(kind, data)
		if data == nil || err != nil {
			continue
		}
		if _, err := c.List(state.Hash(data)); err == nil {
			return served
		}
		for i := range f.Records {
			r := &f.Records[i]
			for _, n := range c.State().Nodes {
				switch {
				case r.Empty():
				case slices.ContainsFunc(n.Certificates(), func(own state.Certificate) bool { return r.MatchesCertificate(own.Certificate) }):
					best = max(best, sameCertificate)
				case fqdnOf(string(r.Subject())) == n.FQDN():
					best = max(best, sameName)
				}
			}
		}
	}
	return best
}

// locate tells the nodes of a cluster by the TVS servers that a phone's configuration names, which
// stand in the order of its device pool. Those that are known by name or by address are told first.
func locate(c *cluster.Cluster, config []byte) (notes []string, err error) {
	s, err := settings.Parse(config)
	if err != nil {
		return nil, err
	}
	var free []int // nodes that run TVS, as no address is known for
	for i, n := range c.State().Nodes {
		if !n.Spec().Absent[profile.TVSService] {
			free = append(free, i)
		}
	}
	doors, names := make(map[string]int), []string{}
	for _, exact := range []bool{true, false} {
		for _, server := range s.TVS {
			at, known := c.At(server)
			if known != "" {
				free = slices.DeleteFunc(free, func(i int) bool { return c.Nodes()[i] == at })
				continue
			}
			if _, ok := doors[server]; ok {
				continue
			}
			host, _, _ := net.SplitHostPort(server)
			fits := slices.IndexFunc(free, func(i int) bool { return !exact || calledSo(c.State(), i, host) })
			if fits < 0 {
				continue
			}
			doors[server] = free[fits]
			names = append(names, server+" is "+c.Nodes()[free[fits]].Name())
			free = slices.Delete(free, fits, fits+1)
		}
	}
	if len(doors) == 0 {
		return nil, nil
	}
	notes = []string{"whose the TVS addresses of the phone's configuration are is taken from their order: " + strings.Join(names, ", ")}
	return notes, c.Apply(func(s *state.State) error {
		s.Hosts, s.Doors = maps.Clone(s.Hosts), maps.Clone(s.Doors)
		if s.Hosts == nil {
			s.Hosts = make(map[string]int)
		}
		if s.Doors == nil {
			s.Doors = make(map[string]string)
		}
		for server, node := range doors {
			s.Hosts[server], s.Doors[server] = node, "tvs"
		}
		return nil
	})
}

// MadeUpAddress reports whether a node of a twin has an address that stands for one that is not
// known: it is one of those for documentation (RFC 5737).
func MadeUpAddress(s *state.State, node int) bool {
	ip, err := netip.ParseAddr(s.Profile.Nodes[node].Host)
	return s.Twin() && err == nil && documentation.Contains(ip)
}

var documentation = netip.MustParsePrefix("192.0.2.0/24")

// calledSo reports whether a node has a host name or an address.
func calledSo(s *state.State, node int, host string) bool {
	at, ok := s.Hosts[strings.ToLower(host)]
	return ok && at == node || s.Profile.Nodes[node].Host == host
}
