package viewer

import (
	"fmt"
	"strings"
)

// Action is what a key behind the prefix asks for.
type Action byte

// The actions, by their keys. The prefix twice sends it.
const (
	Quit      Action = 'q'
	Break     Action = 'b'
	LogName   Action = 'l'
	SendFile  Action = 's'
	Help      Action = '?'
	Write     Action = 'w'
	Free      Action = 'f'
	Force     Action = 'W'
	PowerKey  Action = 'p'
	TimesKey  Action = 't'
	HexKey    Action = 'h'
	EchoKey   Action = 'e'
	ModemKey  Action = 'm'
	DTRKey    Action = 'd'
	RTSKey    Action = 'r'
	DecodeKey Action = 'x'
)

var help = []struct {
	a    Action
	text string
}{
	{Quit, "quit"}, {Break, "send a break"}, {SendFile, "send a file"}, {LogName, "say where the log is"},
	{Write, "write, or ask the writer to let you"}, {Force, "take the line from the writer"}, {Free, "let others write"},
	{PowerKey, "cycle the board's power"}, {TimesKey, "times in front of lines"}, {HexKey, "hex"}, {DecodeKey, "marks on lines that matter"},
	{EchoKey, "local echo"}, {ModemKey, "say how the modem lines are"}, {DTRKey, "toggle DTR"}, {RTSKey, "toggle RTS"}, {Help, "this list"},
}

// HelpText lists the keys, a line each, behind a prefix's name.
func HelpText(prefix string) []string {
	var lines []string
	for _, h := range help {
		lines = append(lines, fmt.Sprintf("%s %c  %s", prefix, h.a, h.text))
	}
	return append(lines, fmt.Sprintf("%s %s  send %s", prefix, prefix, prefix))
}

// Keys takes what is typed apart.
type Keys struct {
	prefix  byte
	none    bool
	pending bool
}

// ParseKey reads "ctrl-a", "^A", or "none".
func ParseKey(text string) (Keys, error) {
	lower := strings.ToLower(text)
	if lower == "none" {
		return Keys{none: true}, nil
	}
	for _, begin := range []string{"ctrl-", "^"} {
		if rest, ok := strings.CutPrefix(lower, begin); ok && len(rest) == 1 {
			if c := strings.ToUpper(rest)[0]; c >= '@' && c <= '_' {
				return Keys{prefix: c & 0x1f}, nil
			}
		}
	}
	return Keys{}, fmt.Errorf("invalid key %q: want one such as ctrl-t, or none", text)
}

// Name returns the prefix as ParseKey reads it.
func (k Keys) Name() string {
	if k.none {
		return "none"
	}
	return "ctrl-" + strings.ToLower(string(rune(k.prefix|0x40)))
}

// Event is typed bytes, or an action.
type Event struct {
	Bytes  []byte
	Action Action // 0 where it is bytes
}

// Read takes what was typed apart. Unknown keys behind the prefix are dropped.
func (k *Keys) Read(b []byte) (events []Event) {
	var bytes []byte
	flush := func() {
		if len(bytes) > 0 {
			events = append(events, Event{Bytes: bytes})
			bytes = nil
		}
	}
	for _, c := range b {
		switch {
		case k.none:
			bytes = append(bytes, c)
		case !k.pending && c == k.prefix:
			k.pending = true
		case !k.pending:
			bytes = append(bytes, c)
		case c == k.prefix:
			k.pending = false
			bytes = append(bytes, c)
		default:
			k.pending = false
			for _, h := range help {
				if Action(c) == h.a {
					flush()
					events = append(events, Event{Action: h.a})
				}
			}
		}
	}
	flush()
	return events
}
