package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// manualCommand writes the manual page, in the form of man(7), from what help says.
const manualCommand = "__manual"

func (e *env) manual() int {
	m := &manual{}
	m.line(`.TH ITLBENCH 1 "" "itlagent" "User Commands"`)
	m.line(".SH NAME")
	m.text(`itlbench - read, make and judge Cisco IP phones' trust files; run test clusters and phones`)
	m.line(".SH SYNOPSIS")
	m.line(".B itlbench")
	m.text("COMMAND [ARGUMENT...] [FLAG...]")
	m.line(".SH DESCRIPTION")
	m.text(topics()["output"])
	m.line(".SH COMMANDS")
	for _, p := range allPages() {
		m.page(p)
	}
	m.literal("EXIT STATUS", topics()["exit-codes"])
	m.literal("ENVIRONMENT", topics()["environment"])
	fmt.Fprint(e.stdout, m.b.String())
	return exitOK
}

type manual struct{ b strings.Builder }

// line writes a line as it is.
func (m *manual) line(s string) { m.b.WriteString(s + "\n") }

// text writes text, whose characters are not those of the form: man(7), groff_char(7).
func (m *manual) text(s string) {
	for l := range strings.Lines(strings.TrimRight(s, "\n") + "\n") {
		l = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(l)
		if strings.HasPrefix(l, ".") {
			l = `\&` + l
		}
		m.b.WriteString(l)
	}
}

func (m *manual) literal(title, s string) {
	m.line(".SH " + title)
	m.line(".nf")
	m.text(s)
	m.line(".fi")
}

func (m *manual) page(p *page) {
	m.line(".SS " + strings.ReplaceAll(p.path, "-", `\-`))
	m.text(p.about + ".")
	m.line(".PP")
	m.line(".nf")
	m.text(strings.TrimPrefix(wrapUsage(p.usage()), "usage: "))
	m.line(".fi")
	if p.flags != nil && !sharedFlags(p) {
		p.flags.VisitAll(m.flag)
	}
	for i, x := range p.examples() {
		if i == 0 {
			m.line(".PP")
			m.text("Example:")
			m.line(".PP")
			m.line(".nf")
		}
		m.text("    " + x)
	}
	if len(p.examples()) > 0 {
		m.line(".fi")
	}
	if p.extra != "" {
		m.line(".PP")
		m.line(".nf")
		m.text(p.extra)
		m.line(".fi")
	}
}

// sharedFlags reports whether the flags of a page stand at that of its command.
func sharedFlags(p *page) bool {
	_, _, sub := strings.Cut(p.path, " ")
	return sub && p.flags.Name() != p.path
}

func (m *manual) flag(f *pflag.Flag) {
	if f.Hidden {
		return
	}
	name, about := pflag.UnquoteUsage(f)
	head := "--" + f.Name
	if f.Shorthand != "" {
		head = "-" + f.Shorthand + ", " + head
	}
	if value := valueName(f); value != "" {
		head += " " + firstOf(name, value)
	}
	m.line(".TP")
	m.text(head)
	if plain := f.DefValue; plain != "" && plain != "false" && plain != "[]" && plain != "0" && plain != "0s" {
		about += " (default " + plain + ")"
	}
	m.text(about)
}
