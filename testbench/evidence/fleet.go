package evidence

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"itlagent/testbench/cluster"
	"itlagent/testbench/lockout"
)

// Fleet is the phones of a cluster as far as they are known.
type Fleet struct {
	Phones []lockout.Phone
	// Not counted, by device name: those of which nothing is known, that hold a list
	// which no known cluster has served, and whose reports contradict each other.
	Silent, Strange, Disputed []string
	Notes                     []string
}

// Uncounted returns how many phones are not known well enough.
func (f *Fleet) Uncounted() int { return len(f.Silent) + len(f.Strange) + len(f.Disputed) }

// Phones puts the phones of the first cluster of a world together from what they have
// reported. With assumeCurrent those that have reported nothing, or are in dispute, are
// taken to hold what is served now.
func Phones(w lockout.World, reports *Reports, assumeCurrent bool) (*Fleet, error) {
	f := new(Fleet)
	var current [2]string
	if assumeCurrent {
		current = servedNow(w[0])
	}
	assumed := make(map[string]int) // by why
	for _, m := range known(w[0], reports) {
		mac := m.String()
		r, ok, err := reports.Last(m)
		itl, ctl := r.ITL.String(), r.CTL.String()
		switch {
		case ok && err == nil:
		case assumeCurrent:
			itl, ctl = current[0], current[1]
			assumed[why(ok)]++
		case ok:
			f.Disputed = append(f.Disputed, "SEP"+mac)
			continue
		default:
			f.Silent = append(f.Silent, "SEP"+mac)
			continue
		}
		p, notes, err := Recall(w, mac, itl, ctl)
		if errors.Is(err, ErrUnknownList) {
			f.Strange = append(f.Strange, "SEP"+mac)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, n := range notes {
			if !slices.Contains(f.Notes, n) {
				f.Notes = append(f.Notes, n)
			}
		}
		f.Phones = append(f.Phones, p)
	}
	f.note(assumed)
	return f, nil
}

// why says why a phone is taken to hold what is served now.
func why(reported bool) string {
	if reported {
		return "with reports that contradict each other"
	}
	return "reported nothing"
}

// note says who is not counted, and who is presumed.
func (f *Fleet) note(assumed map[string]int) {
	for _, list := range []struct {
		devices []string
		text    string
	}{
		{f.Silent, "reported nothing, not counted (--assume-current counts them as up to date)"},
		{f.Strange, "with a list that no known cluster has served, not counted"},
		{f.Disputed, "with reports that contradict each other, not counted (--assume-current counts them as up to date)"},
	} {
		if n := len(list.devices); n > 0 {
			f.Notes = append(f.Notes, fmt.Sprintf("%s %s: %s", Count(n), list.text, some(list.devices)))
		}
	}
	for _, reported := range []bool{false, true} {
		if n := assumed[why(reported)]; n > 0 {
			f.Notes = append(f.Notes, fmt.Sprintf("%s %s, and counted as holding what is served now", Count(n), why(reported)))
		}
	}
}

// known returns the phones that a cluster knows or that have reported.
func known(c *cluster.Cluster, reports *Reports) []MAC {
	macs := reports.MACs()
	for _, p := range c.State().Phones {
		if m, ok := ParseMAC("SEP" + p.MAC); ok {
			macs = append(macs, m)
		}
	}
	SortMACs(macs)
	return slices.Compact(macs)
}

// servedNow returns the hashes of the ITL and the CTL that phones are served first; "" where there
// is none.
func servedNow(c *cluster.Cluster) (hashes [2]string) {
	n := c.Publisher()
	if names := c.State().TFTPNodes(); len(names) > 0 {
		if first, err := c.Node(names[0]); err == nil {
			n = first
		}
	}
	for i, list := range [][]byte{n.ITL(), n.State().CTL} {
		if list != nil {
			hashes[i] = c.State().Name(list)
		}
	}
	return hashes
}

// Count writes a number of phones.
func Count(n int) string {
	if n == 1 {
		return "1 phone"
	}
	return fmt.Sprintf("%d phones", n)
}

// some shows the first of many.
func some(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, " ")
	}
	return strings.Join(list[:most], " ") + " ..."
}
