//go:build !small

package web

import (
	"crypto/md5"
	"crypto/sha1"
	"fmt"
	"net"
	"strings"

	"itlagent/agent"
	"itlagent/agent/alarm"
	"itlagent/agent/model"
	"itlagent/agent/printable"
	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
)

// statusTitle is the title of the page of status messages.
const statusTitle = "Status messages"

// row is a label with its value. Scripts select rows by label, and cells by
// number.
type row struct{ label, value string }

// escape writes a value as the phones do: hex entities for all that is not a
// letter, a digit, or plain in a date or a hash. Names and texts come from
// certificates and configurations: what steers a reader's browser or terminal is
// made visible first.
func escape(s string) string {
	var b strings.Builder
	for _, r := range printable.Text(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" .:,()_+;=", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#x%X;", r)
		}
	}
	return b.String()
}

func html(p agent.Snapshot, title string, rows []row) string {
	var b strings.Builder
	m := p.Model
	fmt.Fprintf(&b, "<HTML>\n<HEAD>\n<TITLE>Cisco Systems, Inc.</TITLE>\n</HEAD>\n<BODY>\n<TABLE BORDER=\"0\" WIDTH=\"100%%\">\n"+
		"<TR><TD COLSPAN=\"2\" BGCOLOR=\"#003031\"><font color=\"#FFFFFF\" size=\"6\">%s</FONT><BR>\n"+
		"<font color=\"#FFFFFF\" size=\"4\">%s %s ( %s )</FONT></TD></TR>\n", escape(heading(m, title)), product(m), escape(m.Name), escape(p.Device))
	b.WriteString("<TR><td bgcolor=\"#003031\" VALIGN=top width=200>\n")
	for _, link := range [][2]string{
		{"device.statistics.device", "Device information"}, {"device.statistics.configuration", "Network setup"},
		{"device.settings.status.messages", statusTitle}, {"device.trace.display.alarm", "Debug display"},
		{"device.settings.security.trustlist", "Trust List"},
	} {
		fmt.Fprintf(&b, "<A HREF=\"%s?adapter=%s\"><font color=\"#FFFFFF\">%s</FONT></A><BR>\n", adapter, link[0], heading(m, link[1]))
	}
	b.WriteString("</td>\n<td VALIGN=top><DIV ALIGN=center>\n<TABLE BORDER=\"0\" CELLSPACING=\"10\" CELLPADDING=\"0\">")
	for _, r := range rows {
		fmt.Fprintf(&b, "<TR><TD><B> %s</B></TD><td width=20></TD><TD><B>%s</B></TD></TR>\n", escape(r.label), escape(r.value))
	}
	b.WriteString("</TABLE></DIV></td></TR>\n</TABLE>\n</BODY>\n</HTML>\n")
	return b.String()
}

// heading is the title of a page on a model: 79xx phones write Status Messages, as the
// CUCM 10.0 note shows it, later ones Status messages.
func heading(m model.Model, title string) string {
	if m.Family == model.F79 && title == statusTitle {
		return "Status Messages"
	}
	return title
}

// product is what stands before the model's name.
func product(m model.Model) string {
	if m.Family == model.F79 {
		return "Cisco Unified IP Phone"
	}
	return "Cisco IP Phone"
}

func xml(root string, rows []row) string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" + root + ">\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "<%s>%s</%s>\n", r.label, escape(r.value), r.label)
	}
	b.WriteString("</" + root + ">\n")
	return b.String()
}

func deviceRows(p agent.Snapshot) []row {
	m := p.Model
	return []row{
		{"MAC address", strings.TrimPrefix(p.Device, "SEP")}, {"Host name", p.Device}, {"App load ID", loaded(p)}, {"Version", m.Firmware},
		{"Model number", m.Name},
	}
}

func loaded(p agent.Snapshot) string {
	return p.Settings.LoadFor(p.Model.Name)
}

func deviceX(p agent.Snapshot) []row {
	m := p.Model
	return []row{
		{"MACAddress", strings.TrimPrefix(p.Device, "SEP")}, {"HostName", p.Device}, {"phoneDN", ""}, {"appLoadID", loaded(p)},
		{"versionID", m.Firmware}, {"modelNumber", m.Name},
	}
}

// listRow says whether a list is installed, and its signature: the SHA-1 hash of
// the file, with a space behind the last pair.
func listRow(list *trustlist.File) (installed, signature string) {
	if list == nil {
		return "Not Installed", "Not Installed"
	}
	sum := sha1.Sum(list.Bytes())
	return "Installed", alarm.Signature(sum[:])
}

func networkRows(p agent.Snapshot) []row {
	s := p.Settings
	ctlFile, ctlSignature := listRow(p.CTL)
	itlFile, itlSignature := listRow(p.ITL)
	rows := []row{{"Host name", p.Device}}
	for i := range 2 {
		value := ""
		if i < len(p.Servers) {
			value = p.Servers[i]
		}
		rows = append(rows, row{fmt.Sprintf("TFTP server %d", i+1), value})
	}
	rows = append(rows, row{"Alternate TFTP", yes(p.Network.Alternate)})
	for i := range 5 {
		value := ""
		if i < len(s.CallManagers) {
			value = host(s.CallManagers[i]) + standing(p, i)
		}
		rows = append(rows, row{fmt.Sprintf("CUCM server%d", i+1), value})
	}
	rows = append(rows,
		row{"CTL file", ctlFile}, row{"CTL signature", ctlSignature}, row{"ITL file", itlFile}, row{"ITL signature", itlSignature},
		row{"CAPF server", recordName(p.CTL, p.ITL, trustlist.CAPF)}, row{"TVS", strings.Join(hosts(s.TVS), ", ")},
		row{"Directories URL", s.Directory}, row{"Services URL", s.Services},
		row{"Security mode", s.SecurityMode().String()}, row{"Web access", s.WebAccess().String()}, row{"SSH access", s.SSHAccess().String()},
		row{"Settings access", s.SettingsAccess().String()}, row{"SPAN to PC port", s.SPANAccess().String()},
	)
	return rows
}

// standing is what stands behind the i-th call manager: whether the phone is registered
// with it, or keeps it as the back-up. A phone that has no registration shows the first as
// that where it would be.
func standing(p agent.Snapshot, i int) string {
	r, managers := p.Registration, p.Settings.CallManagers
	if p.Settings.SecurityMode() != settings.NonSecure {
		managers = p.Settings.SecureManagers
	}
	switch {
	case r.Server == "" && r.Failure == nil && i == 0, r.Server != "" && i < len(managers) && managers[i] == r.Server:
		return "  Active"
	case r.Standby != "" && i < len(managers) && managers[i] == r.Standby:
		return "  Standby"
	}
	return ""
}

func networkX(p agent.Snapshot) []row {
	rows := []row{{"HostName", p.Device}}
	for i, server := range p.Servers {
		rows = append(rows, row{fmt.Sprintf("TFTPServer%d", i+1), server})
	}
	for i, m := range p.Settings.CallManagers {
		rows = append(rows, row{fmt.Sprintf("CallManager%d", i+1), host(m)})
	}
	return rows
}

func yes(b bool) string {
	if b {
		return "Yes"
	}
	return "No"
}

func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}

func hosts(addresses []string) (out []string) {
	for _, a := range addresses {
		out = append(out, host(a))
	}
	return out
}

// recordName is the subject of the first record with a role.
func recordName(ctl, itl *trustlist.File, role trustlist.Role) string {
	for _, list := range []*trustlist.File{ctl, itl} {
		if list == nil {
			continue
		}
		for i := range list.Records {
			if r := &list.Records[i]; r.Role() == role {
				return trustlist.Printable(r.Subject())
			}
		}
	}
	return ""
}

func statusRows(p agent.Snapshot) (rows []row) {
	for _, e := range p.Messages {
		rows = append(rows, row{"", p.Model.Stamp(e.Last) + " " + e.Text})
	}
	return rows
}

func statusX(p agent.Snapshot) (rows []row) {
	for _, e := range p.Messages {
		rows = append(rows, row{"status", p.Model.LogStamp(e.Last) + " " + e.Text})
	}
	return rows
}

// debugRows shows the alarms that wait, as Name=Value pairs.
func debugRows(p agent.Snapshot) (rows []row) {
	for _, i := range p.Alarms {
		rows = append(rows, row{"DeviceTLInfo", fmt.Sprintf("Name=%s ITL_Signature=%s StatusCode=%d", i.Device, alarm.Signature(i.ITL), i.Status)})
	}
	if p.Dropped > 0 {
		rows = append(rows, row{"DeviceTLInfo", fmt.Sprintf("%d alarms were dropped", p.Dropped)})
	}
	if p.Refused > 0 {
		rows = append(rows, row{"DeviceTLInfo", fmt.Sprintf("%d alarms were refused", p.Refused)})
	}
	r := p.Registration
	rows = append(rows, row{"Registration", fmt.Sprintf("%d: Name=%s Load=%s Last=%v (%s)", r.Cause.Code(), p.Device, loaded(p), r.Cause, p.Registered())})
	if r.Refused > 0 {
		rows = append(rows, row{"Registration", fmt.Sprintf("%d requests were refused, the last: %s", r.Refused, r.Refusal)})
	}
	if r := p.Last; r != nil {
		rows = append(rows, row{"Trust", fmt.Sprintf("Reason=%v (%s)", r.Reason(), r.Text())})
	}
	return rows
}

func debugX(p agent.Snapshot) (rows []row) {
	for _, r := range debugRows(p) {
		rows = append(rows, row{"status", r.label + " " + r.value})
	}
	return rows
}

// trustRows is the menu Security Configuration, Trust List.
func trustRows(p agent.Snapshot) (rows []row) {
	for _, list := range []struct {
		name string
		file *trustlist.File
	}{{"CTL File", p.CTL}, {"ITL File", p.ITL}} {
		if list.file == nil {
			rows = append(rows, row{list.name, "Not Installed"})
			continue
		}
		data := list.file.Bytes()
		rows = append(rows, row{list.name, fmt.Sprintf("%d bytes", len(data))},
			row{list.name + " MD5", fmt.Sprintf("%x", md5.Sum(data))}, row{list.name + " SHA1", fmt.Sprintf("%x", sha1.Sum(data))})
		for i := range list.file.Records {
			r := &list.file.Records[i]
			rows = append(rows, row{r.Role().String(), trustlist.Printable(r.Subject())})
		}
	}
	return rows
}
