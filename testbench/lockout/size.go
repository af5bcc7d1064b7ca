package lockout

import (
	"encoding/binary"
	"fmt"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// ListSize is the size of a list that a node serves once its TFTP service restarts.
type ListSize struct {
	Step    int // after which change; 0 is before the first
	Node    string
	Kind    trustlist.Kind
	Bytes   int
	Records int
	// Another is what a further node would add to it, in bytes.
	Another int
}

// Warning says what is wrong with the size, or is about to be; "" where nothing is. Phones
// refuse a list of more than trustlist.MaxListSize bytes.
func (l ListSize) Warning() string {
	when := ""
	if l.Step > 0 {
		when = fmt.Sprintf("after step %d ", l.Step)
	}
	what := fmt.Sprintf("%sthe %v of %s has %d bytes and %d records once TFTP restarts", when, l.Kind, l.Node, l.Bytes, l.Records)
	switch {
	case l.Bytes > trustlist.MaxListSize:
		return fmt.Sprintf("%s; phones read %d bytes, and refuse it: too-large", what, trustlist.MaxListSize)
	case l.Bytes+l.Another > trustlist.MaxListSize:
		return fmt.Sprintf("%s; phones read %d bytes: another node does not fit", what, trustlist.MaxListSize)
	}
	return ""
}

// ListSizes returns the sizes of the lists of every node with TFTP. The world stays as it
// is: a copy of it restarts.
func (w World) ListSizes() ([]ListSize, error) {
	var all []ListSize
	for _, c := range w.Fork(new(pki.Keys)) {
		for _, n := range c.Nodes() {
			if !n.State().Active(profile.TFTPService) {
				continue
			}
			if err := c.Apply(operation.Service(n.Name(), profile.TFTPService, operation.Restart)); err != nil {
				return nil, err
			}
			all = append(all, sizeOf(n.Name(), trustlist.ITL, n.ITL()))
			if ctl := n.State().CTL; ctl != nil {
				all = append(all, sizeOf(n.Name(), trustlist.CTL, ctl))
			}
		}
	}
	return all, nil
}

func sizeOf(node string, kind trustlist.Kind, data []byte) ListSize {
	size := ListSize{Node: node, Kind: kind, Bytes: len(data)}
	size.Records, size.Another = records(kind, data)
	return size
}

// records counts the records of a list that a cluster built, of whatever size, and returns
// the length of the largest one of what every node has: TVS in an ITL, CCM+TFTP in a CTL.
// Package trustlist reads none that is too large.
func records(kind trustlist.Kind, data []byte) (count, largest int) {
	role := trustlist.TVS
	if kind == trustlist.CTL {
		role = trustlist.CCMTFTP
	}
	const version, element = 5, 3 // bytes of VERSION, and of a tag with its length
	if len(data) < version+element+2 {
		return 0, 0
	}
	rest := data[min(int(binary.BigEndian.Uint16(data[version+element:])), len(data)):]
	for len(rest) >= element+2 {
		n := int(binary.BigEndian.Uint16(rest[element:]))
		if n < element+2 || n > len(rest) {
			break
		}
		if count++; roleOf(rest[element+2:n]) == role {
			largest = max(largest, n)
		}
		rest = rest[n:]
	}
	return count, largest
}

// roleOf finds FUNCTION among the elements of a record.
func roleOf(elements []byte) trustlist.Role {
	const element = 3
	for len(elements) >= element+2 {
		n := element + int(binary.BigEndian.Uint16(elements[1:]))
		if trustlist.Tag(elements[0]) == trustlist.Function && n == element+2 {
			return trustlist.Role(binary.BigEndian.Uint16(elements[element:]))
		}
		elements = elements[min(n, len(elements)):]
	}
	return 0
}

// warnings are those about sizes of lists after changes: each list is named at the first
// step at which there is one to say, and again where that becomes another.
func (pr *predictor) warnings(changes []Change) (all []string, err error) {
	said := make(map[string]bool)
	for step := 0; step <= len(changes); step++ {
		w, err := pr.world(changes[:step])
		if err != nil {
			return nil, err
		}
		sizes, err := w.ListSizes()
		if err != nil {
			return nil, err
		}
		for _, l := range sizes {
			l.Step = step
			id := fmt.Sprint(l.Node, l.Kind, l.Bytes > trustlist.MaxListSize)
			if text := l.Warning(); text != "" && !said[id] {
				said[id] = true
				all = append(all, text)
			}
		}
	}
	return all, nil
}
