package rig

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"itlagent/testbench/scenario"
)

// Identity boots the phone where it is off, and returns what it is: its MAC address, 12
// hex digits, and its model.
func (p *Phone) Identity(ctx context.Context) (mac, model string, err error) {
	if p.console == nil {
		if err := p.boot(ctx); err != nil {
			return "", "", err
		}
	}
	out, err := p.run(ctx, "show status", nil)
	if err != nil {
		return "", "", err
	}
	groups := identity.FindStringSubmatch(out)
	if groups == nil {
		return "", "", fmt.Errorf("show status does not say what phone it is: %.80q", out)
	}
	return groups[2], groups[1], nil
}

var identity = regexp.MustCompile(`(?m)^(\S+) SEP([0-9A-F]{12}) firmware `)

// look asks the shell for the result of the last boot cycle.
func (p *Phone) look(ctx context.Context) (*scenario.Cycle, error) {
	text := make(map[string]string)
	for _, line := range []string{"why", "show config", "show status"} {
		out, err := p.run(ctx, line, nil)
		if err != nil {
			return nil, err
		}
		text[line] = out
	}
	c := &scenario.Cycle{Device: p.device, Settings: make(map[string]string)}
	var o *scenario.Outcome
	for line := range strings.Lines(text["why"]) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, ": ")
		word, _, _ := strings.Cut(value, " ")
		switch key {
		case "accepted", "rejected":
			switch {
			case strings.HasPrefix(value, "CTL"):
				o = &c.CTL
			case strings.HasPrefix(value, "ITL"):
				o = &c.ITL
			default:
				o = &c.Config
			}
			o.Name, o.Accepted = value, key == "accepted"
		case "reason":
			if o != nil {
				o.Reason = word
			}
		case "via":
			if o != nil {
				o.Via = word
			}
		case "phone":
			c.Reason = word
		}
	}
	c.Trusted = c.Reason == "accepted"
	for line := range strings.Lines(text["show config"]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.Settings[key] = value
	}
	signature := ""
	for line := range strings.Lines(text["show status"]) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ITL signature: "); ok {
			signature = v
		}
		if m, ok := strings.CutPrefix(strings.TrimSpace(line), "shown: "); ok {
			c.Messages = append(c.Messages, m)
		}
	}
	for _, m := range c.Messages {
		if g := regexp.MustCompile(`\((HTTPS?|TFTP)\)$`).FindStringSubmatch(m); g != nil {
			c.Transport = g[1]
		}
	}
	c.Changed, p.itl = signature != p.itl, signature
	return c, nil
}
