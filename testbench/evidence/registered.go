package evidence

import (
	"slices"
	"strings"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/lockout"
)

// ITLStatus is how the list that a phone has reported stands to those that are served: the
// column ITL File Status of release 14.
type ITLStatus string

// The statuses.
const (
	Match        ITLStatus = "Match"         // a node serves it
	MisMatch     ITLStatus = "MisMatch"      // no node serves it
	NotInstalled ITLStatus = "Not Installed" // it has none
	// UnknownITL is that of a phone which is not registered, has reported nothing, or
	// contradicts itself.
	UnknownITL ITLStatus = "Unknown"
)

// Registered is a phone of a cluster as its call managers know it.
type Registered struct {
	registrar.Phone
	ITL       string    `json:"itl"` // SHA-1 in lower-case hex; "" where none is known
	ITLStatus ITLStatus `json:"itlStatus"`
}

// ClusterReports returns what the phones of a cluster have reported to it, whether or not
// it has a directory.
func ClusterReports(c *cluster.Cluster) (*Reports, error) {
	if c.Dir() != "" {
		return EventLogs(lockout.World{c})
	}
	r := New()
	all, _, err := c.Events().Since(0)
	for i := range all {
		if err == nil {
			err = r.AddEvent(&all[i])
		}
	}
	return r, err
}

// Registrations returns every phone that a cluster knows, in the order of their names.
// Those that have not registered since the start of the nodes have no more than a name.
func Registrations(c *cluster.Cluster, reports *Reports) ([]Registered, error) {
	phones, err := c.Phones()
	if err != nil {
		return nil, err
	}
	s := c.State()
	known := make(map[string]bool, len(phones))
	for _, p := range phones {
		known[p.Device] = true
	}
	for _, p := range s.Phones {
		if device := "SEP" + p.MAC; !known[device] {
			phones = append(phones, registrar.Phone{Device: device})
		}
	}
	served := make(map[string]bool)
	for _, n := range s.Nodes {
		served[state.Hash(n.ITL)] = true
	}
	all := make([]Registered, 0, len(phones))
	for _, p := range phones {
		r := Registered{Phone: p, ITLStatus: UnknownITL}
		m, _ := ParseMAC(p.Device)
		if last, ok, err := reports.Last(m); ok && err == nil && p.Registered {
			r.ITL = last.ITL.String()
			switch {
			case r.ITL == "":
				r.ITLStatus = NotInstalled
			case served[r.ITL]:
				r.ITLStatus = Match
			default:
				r.ITLStatus = MisMatch
			}
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Registered) int { return strings.Compare(a.Device, b.Device) })
	return all, nil
}
