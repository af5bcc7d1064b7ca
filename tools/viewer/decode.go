package viewer

import "regexp"

// marks are lines that matter, the first that fits counts. What the texts are is what
// Linux, Go, U-Boot and the phone print.
var marks = []struct {
	pattern *regexp.Regexp
	colour  string // SGR
	what    string
}{
	{regexp.MustCompile(`Kernel panic - not syncing`), "31", "kernel panic"},
	{regexp.MustCompile(`Internal error: Oops|\bOops\b|Unable to handle kernel|BUG: `), "31", "kernel oops"},
	{regexp.MustCompile(`Out of memory: Kill|oom-kill`), "31", "out of memory"},
	{regexp.MustCompile(`^panic: |^fatal error: |^SIG[A-Z]+: |^unexpected fault address`), "31", "Go panic"},
	{regexp.MustCompile(`Unable to mount root|No working init found|Requested init .* failed`), "31", "no root or no init"},
	{regexp.MustCompile(`^U-Boot (SPL )?20[0-9]{2}\.|^U-Boot 1\.`), "35", "boot loader: the board was reset"},
	{regexp.MustCompile(`Bad CRC|bad CRC|Wrong Image|Bad Magic|Bad Data|Verifying Checksum.*Bad|Bad Linux`), "31", "boot loader: image or environment is damaged"},
	{regexp.MustCompile(`^(## Error|ERROR|\*\*\* ERROR|Error:)|Unknown command|TIMEOUT|Retry count exceeded|ARP Retry`), "33", "boot loader: error"},
	{regexp.MustCompile(`^Linux version|Booting Linux on`), "35", "the kernel starts"},
	{regexp.MustCompile(`watchdog.*(did not stop|reset|expired)|Restarting system`), "33", "reset"},
	{regexp.MustCompile(`Trust List Update Failed|TLUpdate|ITL.*(reject|refus)|unknown-signer|Error Verifying`), "31", "trust: rejected"},
	{regexp.MustCompile(`(?i)^(\S+ )*(accepted|trust list (updated|installed))\b|ITL installed|CTL installed|TL Updated`), "32", "trust: accepted"},
	{regexp.MustCompile(`(?i)\b(TVS|ITLFile|CTLFile|ITL|CTL)\b`), "36", "trust"},
}

// maxLine bounds how much of a line is looked at, in bytes.
const maxLine = 512

// marker collects lines.
type marker struct {
	line []byte
}

// next takes a byte, and returns the mark of the line that it ends, if there is one.
func (m *marker) next(c byte, colour bool) string {
	if c != '\n' {
		if len(m.line) < maxLine && c != '\r' {
			m.line = append(m.line, c)
		}
		return ""
	}
	line := colours.ReplaceAll(m.line, nil)
	m.line = m.line[:0]
	for _, k := range marks {
		if k.pattern.Match(line) {
			if !colour {
				return "^^^ " + k.what
			}
			return "\x1b[" + k.colour + ";1m^^^ " + k.what + "\x1b[0m"
		}
	}
	return ""
}

// colours are what a kernel or a boot loader puts around its words.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
