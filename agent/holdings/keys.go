package holdings

import (
	"errors"
	"fmt"
	"io/fs"

	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
)

// The names under which a phone stores what it holds.
const (
	CTL      = "ctl"
	ITL      = "itl"
	Newest   = "newest"   // dates of the newest lists since the last erase
	Config   = "config"   // the configuration's XML, without its signature
	Servers  = "network"  // what was set on the phone: TFTP servers
	LSC      = "lsc"      // certificate of its cluster, with its key, in PEM
	MIC      = "mic"      // certificate of its maker, with its key, in PEM
	Alarms   = "alarms"   // that wait for a call manager
	Messages = "messages" // status messages, where the storage has no log of its own
)

// Key is one thing that a phone holds.
type Key struct {
	Name    string // lower-case letters
	What    string // for people
	Decides bool   // a boot cycle decides by it, so that a prediction needs it
	Made    bool   // the phone was made with it: a factory reset leaves it

	// parse puts a stored value into the state, and an absent one where data is nil. It
	// is nil for what is not part of the state.
	parse func(s *State, data []byte) error
}

// keys is the one list of what a phone holds. Loading, erasing, the factory reset, the
// tools that read flash and the bench's predictions all go by it.
var keys = []Key{
	{Name: CTL, What: "CTL", Decides: true, parse: func(s *State, data []byte) (err error) {
		s.CTL, err = parseList(trustlist.CTL, data)
		return err
	}},
	{Name: ITL, What: "ITL", Decides: true, parse: func(s *State, data []byte) (err error) {
		s.ITL, err = parseList(trustlist.ITL, data)
		return err
	}},
	{Name: Newest, What: "dates of the newest lists", Decides: true, parse: func(s *State, data []byte) (err error) {
		s.Newest, err = parseDates(data)
		return err
	}},
	{Name: Config, What: "configuration", Decides: true, parse: func(s *State, data []byte) (err error) {
		s.Config, s.Settings = data, settings.Settings{}
		if data != nil {
			s.Settings, err = settings.Parse(data)
		}
		return err
	}},
	{Name: Servers, What: "TFTP servers set on the phone", Decides: true, parse: func(s *State, data []byte) error {
		s.Network = parseNetwork(data)
		return nil
	}},
	{Name: LSC, What: "LSC", Decides: true, parse: func(s *State, data []byte) (err error) {
		s.lsc, err = parseIdentity(data)
		return err
	}},
	{Name: MIC, What: "MIC", Decides: true, Made: true, parse: func(s *State, data []byte) (err error) {
		s.mic, err = parseIdentity(data)
		return err
	}},
	{Name: Alarms, What: "queued alarms"},
	{Name: Messages, What: "status messages"},
}

// Keys returns what a phone holds, in a stable order.
func Keys() []Key { return append([]Key(nil), keys...) }

// Deciding returns the names of what a boot cycle decides by.
func Deciding() (names []string) {
	for _, k := range keys {
		if k.Decides {
			names = append(names, k.Name)
		}
	}
	return names
}

// Read returns the stored values that a boot cycle decides by, by name. An absent one
// is left out; the error names one that cannot be read.
func Read(store interface{ Get(string) ([]byte, error) }) (map[string][]byte, error) {
	values := make(map[string][]byte)
	for _, name := range Deciding() {
		data, err := store.Get(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stored %s: %w", name, err)
		}
		values[name] = data
	}
	return values, nil
}

func parseList(kind trustlist.Kind, data []byte) (*trustlist.File, error) {
	if data == nil {
		return nil, nil
	}
	return trustlist.Parse(kind, data)
}
