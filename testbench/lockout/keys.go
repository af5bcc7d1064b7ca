package lockout

import "strings"

// keys are what people press to delete the lists of a phone, by family. Public tools and guides
// differ in them: firmware moves entries of its menus.
var keys = []struct {
	models []string // beginnings
	lines  []string
}{
	{[]string{"CP-7905", "CP-7911", "CP-7906"}, []string{"Applications, 3, 4, 5, 2 (CTL: 1 in the place of 2), then * * # to unlock, More, Erase"}},
	{[]string{"CP-7970", "CP-7971", "CP-7975"}, []string{"Settings, 4, 5, 2 (CTL: 4, 5, 1), then * * # to unlock, fifth soft key (More), second (Erase)"}},
	{[]string{"CP-79"}, []string{"Settings, 4, 5, 2 (CTL: 4, 5, 1), then * * # to unlock, fourth soft key (More), second (Erase)",
		"or, in other firmware: Settings, 4, 5, 2, * * #, second soft key, fourth, second"}},
	{[]string{"CP-78"}, []string{"Applications, 5, 4, 4, second soft key (firmware of 2014: Settings, 4, fourth soft key, second)"}},
	{[]string{"CP-88"}, []string{"Applications, 5, 4, 4, third soft key", "or, in other firmware: Applications, 5, 4, 5, third soft key, first; or Applications, 5, 4, 2, third soft key"}},
	{[]string{"CP-8941", "CP-8945"}, []string{"Applications, 4, 4, 3, third soft key, first"}},
	{[]string{"CP-8961", "CP-9951", "CP-9971"}, []string{"Applications, 4, 4, 4, third soft key, and first where it asks"}},
	{[]string{"CP-6941"}, []string{"Settings, 4, 4, fourth soft key, second, first three times"}},
	{[]string{"CP-69"}, []string{"Settings, 4, 5, fourth soft key, second, first three times"}},
}

// Keys returns what to press on a phone of a model to delete its lists, a way a line; nil where no
// source tells. Sources differ.
func Keys(model string) []string {
	best := 0
	var lines []string
	for _, k := range keys {
		for _, m := range k.models {
			if strings.HasPrefix(strings.ToUpper(model), m) && len(m) > best {
				best, lines = len(m), k.lines
			}
		}
	}
	return lines
}

// byHand are the commands of a remedy at a real phone: keys in the place of a shell's lines.
func byHand(commands []Command, model string) (out []Command) {
	shown := false
	for _, c := range commands {
		if c.Where != "phone" {
			out = append(out, c)
			continue
		}
		if shown || !strings.HasPrefix(c.Line, "erase") {
			if !strings.HasPrefix(c.Line, "erase") {
				out = append(out, Command{Where: "keys", Line: "at the phone: " + inWords(c.Line)})
			}
			continue
		}
		shown = true
		lines := Keys(model)
		if lines == nil {
			lines = []string{"its menu of security settings, Trust List, Erase"}
		}
		for _, line := range lines {
			out = append(out, Command{Where: "keys", Line: "at the phone (sources differ): " + line})
		}
	}
	return out
}

// inWords says what a line of the shell does.
func inWords(line string) string {
	switch {
	case strings.HasPrefix(line, "factory-reset"):
		return "a factory reset, as the guide of its model has it"
	case strings.HasPrefix(line, "set alttftp"):
		return "Settings, Network Configuration, Alternate TFTP: No"
	}
	return line
}
