package agent

import (
	"strings"
	"time"

	"itlagent/agent/trustlist"
)

// What the sources leave open about alarms and services.

// statusCode is the StatusCode of DeviceTLInfo. Only 3 was ever seen, of a phone
// with an ITL and no CTL after a change; no source lists the others, so that a
// phone with both says the same, and one with none 0.
func statusCode(ctl, itl bool) int {
	if !ctl && !itl {
		return 0
	}
	return 3
}

// listServer is the host name of the TFTP node that a list is of: the DNS name of
// its first TFTP record, else the common name of that record's certificate. The
// alarm's field is named after it; where phones take it from is inferred.
func listServer(list *trustlist.File) string {
	for i := range list.Records {
		r := &list.Records[i]
		if !r.Role().SignsFiles() {
			continue
		}
		if name := strings.Trim(string(r.DNS()), "\x00"); name != "" {
			return name
		}
		for _, part := range strings.FieldsFunc(string(r.Subject()), func(c rune) bool { return c == ';' || c == ',' }) {
			if cn, ok := strings.CutPrefix(strings.TrimSpace(part), "CN="); ok {
				return cn
			}
		}
	}
	return "N/A"
}

// directoryTime bounds the opening of a service. The real bound is not known.
const directoryTime = 20 * time.Second
