package capture

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/fetch"
)

// Boot is one boot of a phone: what it did from its request for a CTL on, which is the first file
// that phones ask for.
type Boot struct {
	Start  time.Time
	Whole  bool // the capture has its beginning
	Events []*Event
}

// Boots returns the boots of a phone.
func (p *Phone) Boots() (boots []Boot) {
	var now Boot
	asked := false // for something behind the CTL
	flush := func() {
		if len(now.Events) > 0 {
			now.Start = now.Events[0].Time
			boots = append(boots, now)
		}
	}
	for _, e := range p.Events {
		if e.File != nil {
			switch name := strings.ToUpper(e.File.Name); {
			case strings.HasPrefix(name, "CTLSEP") && (asked || !now.Whole):
				// What DHCP gave just before belongs to this boot.
				at := len(now.Events)
				for !asked && at > 0 && now.Events[at-1].File == nil || at > 0 && now.Events[at-1].Lease != nil {
					at--
				}
				before := now.Events[at:]
				now.Events = now.Events[:at:at]
				flush()
				now = Boot{Whole: true, Events: append([]*Event(nil), before...)}
				asked = false
			case !strings.HasPrefix(name, "CTL"):
				asked = true
			}
		}
		now.Events = append(now.Events, e)
	}
	flush()
	return boots
}

// file returns the first event of the boot with one of the names, compared without regard to
// case, that was got; nil where none was.
func (b *Boot) file(ok func(name string) bool) (got *File, asked bool) {
	for _, e := range b.Events {
		if e.File == nil || !ok(strings.ToUpper(e.File.Name)) {
			continue
		}
		if asked = true; e.File.Result == Got {
			return e.File, true
		}
	}
	return nil, asked
}

func isITL(name string) bool {
	return strings.HasPrefix(name, "ITLSEP") || strings.HasPrefix(name, "ITLFILE")
}
func isCTL(name string) bool { return strings.HasPrefix(name, "CTL") }
func isConfig(name string) bool {
	return strings.Contains(name, ".CNF.XML") && !strings.Contains(name, ".ENC")
}

// serverName is how a phone knows a server: without the ports that all of them have.
func serverName(a netip.AddrPort) string {
	switch strconv.Itoa(int(a.Port())) {
	case fetch.HTTPPort, fetch.HTTPSPort, fetch.TFTPPort:
		return a.Addr().String()
	}
	return a.String()
}

// servers returns the servers of files, in the order in which the boot asked them.
func (b *Boot) servers() (all []string) {
	seen := map[string]bool{}
	for _, e := range b.Events {
		if e.File == nil || !trusted(e.File.Name) {
			continue
		}
		if name := serverName(e.Server); !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	return all
}
