package admin

import (
	"fmt"
	"net"
	"strings"

	"itlagent/agent/printable"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
)

// risdbColumns are the columns of `show risdb query phone`, as they are remembered of the
// real command line, which no source at hand shows: what phones do not say to this
// cluster stays empty.
var risdbColumns = []struct {
	name  string
	value func(p *registrar.Phone, s *state.State) string
}{
	{"DeviceName", func(p *registrar.Phone, _ *state.State) string { return p.Device }},
	{"Descr", nothing},
	{"Ipaddr", func(p *registrar.Phone, _ *state.State) string {
		host, _, _ := net.SplitHostPort(p.Address)
		return host
	}},
	{"Ipv6addr", nothing},
	{"MACaddr", func(p *registrar.Phone, _ *state.State) string { return strings.TrimPrefix(p.Device, "SEP") }},
	{"RegStatus", func(p *registrar.Phone, _ *state.State) string { return regStatus(p) }},
	{"PhoneProtocol", func(p *registrar.Phone, _ *state.State) string { return p.Protocol }},
	{"DeviceModel", func(p *registrar.Phone, _ *state.State) string { return p.Model }},
	{"HTTPsupport", func(p *registrar.Phone, s *state.State) string {
		if known := s.Phone(strings.TrimPrefix(p.Device, "SEP")); known != nil && known.Settings["webAccess"] == "0" {
			return "yes"
		}
		return "no"
	}},
	{"#regAttempts", nothing},
	{"username", nothing},
	{"RegStatusChg TimeStamp", func(p *registrar.Phone, _ *state.State) string { return fmt.Sprint(p.Since.Unix()) }},
	{"ActiveLoadId", func(p *registrar.Phone, _ *state.State) string { return p.Load }},
	{"InactiveLoadId", func(p *registrar.Phone, _ *state.State) string { return p.InactiveLoad }},
	{"LastReset", func(p *registrar.Phone, _ *state.State) string { return p.Last }},
	{"Node", func(p *registrar.Phone, _ *state.State) string { return p.Node }},
}

func nothing(*registrar.Phone, *state.State) string { return "" }

func regStatus(p *registrar.Phone) string {
	if p.Registered {
		return "reg"
	}
	return "unr"
}

func showRISDB(s *Session, _ []string) error {
	phones, err := s.cluster.Phones()
	if err != nil {
		return err
	}
	registered, bySCCP := 0, 0
	for i := range phones {
		if phones[i].Registered {
			registered++
			if phones[i].Protocol == "SCCP" {
				bySCCP++
			}
		}
	}
	s.say("----------- Phone Information -----------\n")
	s.say("#TotalPhones, #TotalRegPhones, #RegSCCPPhones, #RegSIPPhones, #UnRegPhones, #TotalRejPhones, #PartRegPhones, #ExpUnreg")
	s.say("%d, %d, %d, %d, %d, 0, 0, 0\n", len(phones), registered, bySCCP, registered-bySCCP, len(phones)-registered)
	var names []string
	for _, c := range risdbColumns {
		names = append(names, c.name)
	}
	s.say("%s\n", strings.Join(names, ", "))
	now := s.cluster.State()
	for i := range phones {
		values := make([]string, 0, len(risdbColumns))
		for _, c := range risdbColumns {
			values = append(values, printable.Text(c.value(&phones[i], now)))
		}
		s.say("%s", strings.Join(values, ", "))
	}
	s.say("\nTotal count %d", len(phones))
	return nil
}
