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
	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
)

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

func html(a *agent.Agent, title string, rows []row) string {
	var b strings.Builder
	m := a.Model()
	fmt.Fprintf(&b, "<HTML>\n<HEAD>\n<TITLE>Cisco Systems, Inc.</TITLE>\n</HEAD>\n<BODY>\n<TABLE BORDER=\"0\" WIDTH=\"100%%\">\n"+
		"<TR><TD COLSPAN=\"2\" BGCOLOR=\"#003031\"><font color=\"#FFFFFF\" size=\"6\">%s</FONT><BR>\n"+
		"<font color=\"#FFFFFF\" size=\"4\">Cisco IP Phone %s ( %s )</FONT></TD></TR>\n", escape(title), escape(m.Name), escape(a.Device()))
	b.WriteString("<TR><td bgcolor=\"#003031\" VALIGN=top width=200>\n")
	for _, link := range [][2]string{
		{"device.statistics.device", "Device information"}, {"device.statistics.configuration", "Network setup"},
		{"device.settings.status.messages", "Status messages"}, {"device.trace.display.alarm", "Debug display"},
		{"device.settings.security.trustlist", "Trust List"},
	} {
		fmt.Fprintf(&b, "<A HREF=\"%s?adapter=%s\"><font color=\"#FFFFFF\">%s</FONT></A><BR>\n", adapter, link[0], link[1])
	}
	b.WriteString("</td>\n<td VALIGN=top><DIV ALIGN=center>\n<TABLE BORDER=\"0\" CELLSPACING=\"10\" CELLPADDING=\"0\">")
	for _, r := range rows {
		fmt.Fprintf(&b, "<TR><TD><B> %s</B></TD><td width=20></TD><TD><B>%s</B></TD></TR>\n", escape(r.label), escape(r.value))
	}
	b.WriteString("</TABLE></DIV></td></TR>\n</TABLE>\n</BODY>\n</HTML>\n")
	return b.String()
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

func deviceRows(a *agent.Agent) []row {
	m := a.Model()
	return []row{
		{"MAC address", strings.TrimPrefix(a.Device(), "SEP")}, {"Host name", a.Device()}, {"App load ID", loaded(a)}, {"Version", m.Firmware},
		{"Model number", m.Name},
	}
}

func loaded(a *agent.Agent) string {
	_, _, s := a.Held()
	return s.LoadFor(a.Model().Name)
}

func deviceX(a *agent.Agent) []row {
	m := a.Model()
	return []row{
		{"MACAddress", strings.TrimPrefix(a.Device(), "SEP")}, {"HostName", a.Device()}, {"phoneDN", ""}, {"appLoadID", loaded(a)},
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

func networkRows(a *agent.Agent) []row {
	ctl, itl, s := a.Held()
	ctlFile, ctlSignature := listRow(ctl)
	itlFile, itlSignature := listRow(itl)
	rows := []row{{"Host name", a.Device()}}
	servers, alternate := a.Servers()
	for i := range 2 {
		value := ""
		if i < len(servers) {
			value = servers[i]
		}
		rows = append(rows, row{fmt.Sprintf("TFTP server %d", i+1), value})
	}
	rows = append(rows, row{"Alternate TFTP", yes(alternate)})
	for i := range 5 {
		value := ""
		if i < len(s.CallManagers) {
			value = host(s.CallManagers[i])
			if i == 0 {
				value += "  Active"
			}
		}
		rows = append(rows, row{fmt.Sprintf("CUCM server%d", i+1), value})
	}
	rows = append(rows,
		row{"CTL file", ctlFile}, row{"CTL signature", ctlSignature}, row{"ITL file", itlFile}, row{"ITL signature", itlSignature},
		row{"CAPF server", recordName(ctl, itl, trustlist.CAPF)}, row{"TVS", strings.Join(hosts(s.TVS), ", ")},
		row{"Directories URL", s.Directory}, row{"Services URL", s.Services},
		row{"Security mode", s.SecurityMode().String()}, row{"Web access", s.WebAccess().String()}, row{"SSH access", s.SSHAccess().String()},
		row{"Settings access", s.SettingsAccess().String()}, row{"SPAN to PC port", s.SPANAccess().String()},
	)
	return rows
}

func networkX(a *agent.Agent) []row {
	_, _, s := a.Held()
	rows := []row{{"HostName", a.Device()}}
	servers, _ := a.Servers()
	for i, server := range servers {
		rows = append(rows, row{fmt.Sprintf("TFTPServer%d", i+1), server})
	}
	for i, m := range s.CallManagers {
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

func statusRows(a *agent.Agent) (rows []row) {
	for _, e := range a.Shown() {
		rows = append(rows, row{"", a.Model().Stamp(e.Last) + " " + e.Text})
	}
	return rows
}

func statusX(a *agent.Agent) (rows []row) {
	for _, e := range a.Shown() {
		rows = append(rows, row{"status", a.Model().LogStamp(e.Last) + " " + e.Text})
	}
	return rows
}

// debugRows shows the alarms that wait, as Name=Value pairs.
func debugRows(a *agent.Agent) (rows []row) {
	waiting, dropped := a.Alarms()
	for _, i := range waiting {
		rows = append(rows, row{"DeviceTLInfo", fmt.Sprintf("Name=%s ITL_Signature=%s StatusCode=%d", i.Device, alarm.Signature(i.ITL), i.Status)})
	}
	if dropped > 0 {
		rows = append(rows, row{"DeviceTLInfo", fmt.Sprintf("%d alarms were dropped", dropped)})
	}
	if r := a.Last(); r != nil {
		rows = append(rows, row{"Trust", fmt.Sprintf("Reason=%v (%s)", r.Reason(), r.Reason().Text())})
	}
	return rows
}

func debugX(a *agent.Agent) (rows []row) {
	for _, r := range debugRows(a) {
		rows = append(rows, row{"status", r.label + " " + r.value})
	}
	return rows
}

// trustRows is the menu Security Configuration, Trust List.
func trustRows(a *agent.Agent) (rows []row) {
	ctl, itl, _ := a.Held()
	for _, list := range []struct {
		name string
		file *trustlist.File
	}{{"CTL File", ctl}, {"ITL File", itl}} {
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
