package evidence

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"itlagent/agent/boot"
	"itlagent/testbench/lockout"
)

// Defaults of what is not said of a phone: the note's example.
const (
	defaultModel = "CP-7965G"
	defaultMAC   = "64A0E71502CC"
)

// ErrSilent says that a phone has reported nothing.
var ErrSilent = errors.New("has not reported a list to the cluster")

// Source says what there is of a phone. What it holds comes from one of Installed with Config,
// Flash, State, Page and Hash; from its last report where Reported is set and none of them; and
// without any of these it is a new phone.
type Source struct {
	MAC     string // with or without separators; "" takes the cluster's first phone
	Model   string // "" takes what else is known
	Servers []string

	Installed []string // files with trust lists: at most one ITL and one CTL
	Config    string   // a file with its configuration, signed or not
	Flash     string   // an image of its flash
	EraseSize int      // bytes; 0 where the image tells
	State     string   // the directory that it keeps things in
	Page      string   // address of its pages: "host", "http://host:port"
	Hash      string   // of its ITL
	Reported  bool
}

// Given returns in how many ways the source says what the phone holds.
func (s Source) Given() (n int) {
	for _, given := range []bool{len(s.Installed) > 0 || s.Config != "", s.Flash != "", s.State != "", s.Page != "", s.Hash != ""} {
		if given {
			n++
		}
	}
	return n
}

// Phone is a phone as far as it is known.
type Phone struct {
	lockout.Phone
	Notes    []string // what is presumed
	Recalled bool     // it was put together from hashes: its keys are not known
}

// Phone puts the phone together. w are the clusters that are known, and may be empty;
// around is what the phone meets. Errors wrap ErrUnknownList, ErrSilent or ErrDisputed where the
// evidence is not enough.
func (s Source) Phone(ctx context.Context, w lockout.World, around lockout.Surroundings) (Phone, error) {
	mac, err := s.mac(w)
	if err != nil {
		return Phone{}, err
	}
	p := Phone{Phone: lockout.Phone{MAC: mac, Model: s.Model, Servers: s.Servers}}
	if p.Model == "" {
		p.Model = defaultModel
	}
	if len(p.Servers) == 0 {
		p.Servers = serversOf(w)
	}
	files := false
	switch {
	case s.Flash != "":
		p.Stored, err = readFlash(s.Flash, s.EraseSize)
	case s.State != "":
		p.Stored, err = readState(s.State)
	case len(s.Installed) > 0 || s.Config != "":
		files = true
		p.Stored, err = readFiles(s.Installed, s.Config)
	case s.Page != "" || s.Hash != "" || s.Reported:
		return s.recall(ctx, w, mac)
	default:
		p.Stored = lockout.Stored{}
		p.Notes = []string{"the phone is taken to be new: it holds nothing"}
	}
	if err == nil {
		err = p.Stored.Check()
	}
	if err == nil && files && p.Stored["config"] == nil {
		err = p.presume(ctx, w, around)
	}
	return p, err
}

// presume completes a phone of which the lists alone are known: without its
// configuration, it would seem to have no TVS.
func (p *Phone) presume(ctx context.Context, w lockout.World, around lockout.Surroundings) error {
	for _, key := range []string{"itl", "ctl"} {
		if p.Stored[key] == nil {
			continue
		}
		if at, _, err := find(w, HashOf(p.Stored[key])); err == nil {
			note, err := presume(&p.Phone, w[at])
			p.Notes = append(p.Notes, note+"; --config gives another")
			return err
		}
	}
	p.Notes = append(p.Notes, presumeServed(ctx, &p.Phone, around))
	return nil
}

// mac returns the 12 digits of the phone's MAC address.
func (s Source) mac(w lockout.World) (string, error) {
	text := s.MAC
	if text == "" {
		text = defaultMAC
		if len(w) > 0 {
			if known := w[0].State().Phones; len(known) > 0 {
				text = known[0].MAC
			}
		}
	}
	device, err := boot.Device(text)
	return strings.TrimPrefix(device, "SEP"), err
}

// recall puts the phone together from hashes: of its pages, that were given, or that it
// has reported.
func (s Source) recall(ctx context.Context, w lockout.World, mac string) (Phone, error) {
	var itl, ctl, model string
	var err error
	switch {
	case s.Page != "":
		var page page
		if page, err = readPage(ctx, s.Page); err != nil {
			return Phone{}, err
		}
		mac, model, itl, ctl = page.mac, page.model, page.itl, page.ctl
	case s.Hash != "":
		itl, err = ParseHash(s.Hash)
	default:
		itl, ctl, err = lastReport(w, mac)
	}
	if err != nil {
		return Phone{}, err
	}
	p := Phone{Recalled: true}
	p.Phone, p.Notes, err = Recall(w, mac, itl, ctl)
	if len(s.Servers) > 0 {
		p.Servers = s.Servers
	}
	if s.Model != "" {
		model = s.Model
	}
	if model != "" {
		p.Model = model
	}
	return p, err
}

// lastReport returns the hashes that a phone has reported last.
func lastReport(w lockout.World, mac string) (itl, ctl string, err error) {
	r, err := EventLogs(w)
	if err != nil {
		return "", "", err
	}
	m, _ := ParseMAC("SEP" + mac)
	last, found, err := r.Last(m)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("SEP%s: %w", mac, err)
	case !found:
		return "", "", fmt.Errorf("SEP%s %w", mac, ErrSilent)
	}
	return last.ITL.String(), last.CTL.String(), nil
}

// serversOf returns the TFTP servers that the phones of the first cluster are given.
func serversOf(w lockout.World) []string {
	if len(w) == 0 {
		return []string{"served"} // files: the server has no name
	}
	return lockout.Servers(w[0])
}
