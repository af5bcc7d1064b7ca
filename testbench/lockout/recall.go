package lockout

import (
	"errors"
	"fmt"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/cluster/store"
)

// ErrUnknownList says that no known cluster has ever served the list that a phone
// reports: nothing can be said of what it would believe.
var ErrUnknownList = errors.New("no known cluster has served this list")

// Find returns the place of the cluster that has served a list, by its SHA-1 in
// lower-case hex, and its bytes.
func (w World) Find(hash string) (at int, data []byte, err error) {
	for i, c := range w {
		data, err := c.List(hash)
		if !errors.Is(err, store.ErrNoList) {
			return i, data, err
		}
	}
	return 0, nil, fmt.Errorf("%.60s: %w", hash, ErrUnknownList)
}

var separators = strings.NewReplacer(" ", "", ":", "", "-", "")

// Hash reads a SHA-1 as alarms, pages and people write it: 40 hex digits, with or
// without separators. "Not Installed" and "N/A" give "".
func Hash(text string) (string, error) {
	hash := strings.ToLower(separators.Replace(text))
	switch {
	case hash == "" || hash == "notinstalled" || hash == "n/a":
		return "", nil
	case len(hash) != 40 || strings.Trim(hash, "0123456789abcdef") != "":
		return "", fmt.Errorf("%.60q is no SHA-1", text)
	}
	return hash, nil
}

// Recall puts a phone together from what it reports: the hashes of its lists, ""
// where it has none. Its lists are those that the world's clusters have served; its
// configuration is not known, and taken to be the one that the cluster of its list
// serves now, which the notes say. An error wraps ErrUnknownList where no cluster has
// served a list.
func (w World) Recall(mac, itl, ctl string) (p Phone, notes []string, err error) {
	p = Phone{MAC: mac, Model: "CP-7965G", Kept: make(Kept)}
	home := -1
	for _, list := range []struct {
		key  string
		kind trustlist.Kind
		hash string
	}{{"ctl", trustlist.CTL, ctl}, {"itl", trustlist.ITL, itl}} {
		if list.hash == "" {
			continue
		}
		at, data, err := w.Find(list.hash)
		if err != nil {
			return p, nil, fmt.Errorf("%v %w", list.kind, err)
		}
		if _, err := trustlist.Parse(list.kind, data); err != nil {
			return p, nil, fmt.Errorf("%v %.60s: %w", list.kind, list.hash, err)
		}
		home, p.Kept[list.key] = at, data
	}
	for _, c := range w {
		if known := c.State().Phone(mac); known != nil {
			p.Model = known.Model
			break
		}
	}
	p.Servers = Servers(w[0])
	if home < 0 {
		return p, nil, nil
	}
	n := w[home].Publisher()
	config, err := n.State().File("SEP"+mac+".cnf.xml", false)
	if errors.Is(err, state.ErrNoFile) {
		config, err = n.State().File("XMLDefault.cnf.xml", false)
	}
	if err != nil {
		return p, nil, err
	}
	p.Kept["config"] = config
	return p, []string{"the phone's stored configuration is not known: the one that " + w[home].State().Profile.Name + " serves now is taken for it"}, nil
}
