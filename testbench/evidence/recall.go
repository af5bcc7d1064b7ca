package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/lockout"
)

// ErrUnknownList says that no known cluster has ever served the list that a phone
// reports: nothing can be said of what it would trust.
var ErrUnknownList = errors.New("no known cluster has served this list")

// find returns the place of the cluster that has served a list, by a hash that ParseHash
// has read, and its bytes.
func find(w lockout.World, hash string) (at int, data []byte, err error) {
	for i, c := range w {
		data, err := served(c, hash)
		if !errors.Is(err, store.ErrNoList) {
			return i, data, err
		}
	}
	return 0, nil, fmt.Errorf("%.60s: %w", hash, ErrUnknownList)
}

// served returns the list of a hash among those that a cluster has served. Clusters know
// them by SHA-1; for other hashes the lists are read.
func served(c *cluster.Cluster, hash string) ([]byte, error) {
	digest := digests[len(hash)]
	if len(hash) == len(HashOf(nil)) || digest == nil {
		return c.List(hash)
	}
	if own := c.State().Own(hash); own != hash {
		return c.List(own)
	}
	seen := make(map[string]bool)
	for _, s := range slices.Backward(c.State().Lists()) {
		if seen[s.SHA1] {
			continue
		}
		seen[s.SHA1] = true
		data, err := c.List(s.SHA1)
		if err == nil && digest(data) == hash {
			return data, nil
		}
		if err != nil && !errors.Is(err, store.ErrNoList) {
			return nil, err
		}
	}
	return nil, store.ErrNoList
}

// Recall puts a phone together from the hashes of its lists, "" where it has none. Its
// lists are those that the world's clusters have served; its configuration is
// presumed to be the one that the cluster of its list serves now, which the notes say.
// An error wraps ErrUnknownList where no cluster has served a list.
func Recall(w lockout.World, mac, itl, ctl string) (p lockout.Phone, notes []string, err error) {
	p = lockout.Phone{MAC: mac, Model: defaultModel, Stored: make(lockout.Stored)}
	home := -1
	for _, list := range []struct {
		key  string
		kind trustlist.Kind
		hash string
	}{{"ctl", trustlist.CTL, ctl}, {"itl", trustlist.ITL, itl}} {
		if list.hash == "" {
			continue
		}
		at, data, err := find(w, list.hash)
		if err != nil {
			return p, nil, fmt.Errorf("%v %w", list.kind, err)
		}
		if _, err := trustlist.Parse(list.kind, data); err != nil {
			return p, nil, fmt.Errorf("%v %.60s: %w", list.kind, list.hash, err)
		}
		home, p.Stored[list.key] = at, data
	}
	for _, c := range w {
		if known := c.State().Phone(mac); known != nil {
			p.Model = known.Model
			break
		}
	}
	p.Servers = lockout.Servers(w[0])
	if home < 0 {
		return p, nil, nil
	}
	note, err := presume(&p, w[home])
	return p, []string{note}, err
}

// Presume gives a phone whose lists alone are known the configuration that a cluster serves now,
// and returns a note that says so.
func Presume(p *lockout.Phone, c *cluster.Cluster) (note string, err error) { return presume(p, c) }

// ReadConfig reads the content of a configuration, signed or not.
func ReadConfig(path string) ([]byte, error) {
	data, err := ReadFile(path)
	if err == nil {
		if data, err = configuration(data); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	return data, err
}

// DefaultMAC is the address of a phone of which none is said.
const DefaultMAC = defaultMAC

// presume takes what a cluster serves now for the configuration that the phone holds, as
// it would be without a fault of TFTP.
func presume(p *lockout.Phone, c *cluster.Cluster) (note string, err error) {
	if c.Publisher().State().Fault(profile.TFTPService).Kind != "" {
		c = c.Fork(nil)
		if err := c.Apply(operation.SetFault(c.Publisher().Name(), profile.TFTPService, profile.NoFault)); err != nil {
			return "", err
		}
	}
	n := c.Publisher().State()
	config, err := n.File("SEP"+p.MAC+".cnf.xml", false)
	if errors.Is(err, state.ErrNoFile) {
		config, err = n.File("XMLDefault.cnf.xml", false)
	}
	if err != nil {
		return "", err
	}
	p.Stored["config"] = config
	return "the phone's stored configuration, which names its TVS servers, is not known: the one that " + c.State().Profile.Name + " serves now is presumed", nil
}

// presumeServed is presume where nothing is known of a cluster but what it serves. Files
// are given for the sake of their TVS servers alone: their signatures do not matter.
func presumeServed(ctx context.Context, p *lockout.Phone, s lockout.Surroundings) (note string) {
	for _, name := range []string{"SEP" + p.MAC + ".cnf.xml.sgn", "SEP" + p.MAC + ".cnf.xml", "XMLDefault.cnf.xml.sgn", "XMLDefault.cnf.xml"} {
		for _, server := range p.Servers {
			f, err := s.File(ctx, server, name, trustlist.MaxSignedSize, nil)
			if err != nil {
				continue
			}
			content, err := configuration(f.Data)
			if err != nil {
				continue
			}
			p.Stored["config"] = content
			return "the phone's stored configuration, which names its TVS servers, is not known: the one that is served now is presumed; --config gives another"
		}
	}
	return "the phone's configuration is not known, nor is one served: it is taken to name no TVS; give --config"
}

// configuration returns the content of a configuration, whether or not it is signed.
func configuration(data []byte) ([]byte, error) {
	if trust.Plain(data) {
		return data, parses(data)
	}
	f, err := trustlist.Parse(trustlist.SGN, data)
	if err != nil {
		return nil, fmt.Errorf("neither XML nor a signed file: %w", err)
	}
	return f.Content(), parses(f.Content())
}
