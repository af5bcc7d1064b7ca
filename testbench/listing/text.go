package listing

import (
	"fmt"
	"io"
	"strings"
	"time"

	"itlagent/agent/trustlist"
)

// Layout is how a text looks.
type Layout struct {
	// Columns aligns values, as the terminal of a cluster does. Without it a blank is
	// between two, as in the print of Cisco's note on release 10.0(1).
	Columns bool
	// Zone is that of the file's time; UTC where nil.
	Zone *time.Location
}

// Write prints a trust file as the note prints `show itl`, line for line. verified is what
// came of checking its signature, nil where nothing did.
func Write(w io.Writer, f *trustlist.File, verified *bool) { Of(f, verified).Write(w, Layout{}) }

// row is a line of fields: an element, or bytes of a signature.
type row struct {
	fields []string
	bytes  bool
}

// elementRow makes the row of an element; empty values at its end are left out.
func elementRow(tag int, name string, values ...any) row {
	r := row{fields: []string{fmt.Sprint(tag), name}}
	for _, v := range values {
		if s := fmt.Sprint(v); s != "" {
			r.fields = append(r.fields, s)
		}
	}
	return r
}

// text prints lines of one layout.
type text struct {
	io.Writer
	Layout
	indent string
}

// Write prints what there is to say of a file as `show itl` and `show ctl` do.
func (f *File) Write(w io.Writer, layout Layout) {
	t := &text{Writer: w, Layout: layout}
	if t.Columns {
		t.indent = "        "
	}
	fmt.Fprintf(t, "The checksum value of the %s file:\n%s(MD5)\n%s(SHA1)\n\n", f.Kind, f.MD5, f.SHA1)
	fmt.Fprintf(t, "Length of %s file: %d\n", f.Kind, f.Length)
	t.gap()
	if !f.modified.IsZero() {
		fmt.Fprintf(t, "The %s File was last modified on %s\n\n", f.Kind, t.date(f.modified))
	} else if t.Columns {
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "%sParse %s File\n%s----------------\n\n", t.indent, f.Kind, t.indent)
	t.pair("Version:", f.Version)
	t.pair("HeaderLength:", fmt.Sprintf("%d (BYTES)", f.HeaderLength))
	fmt.Fprintln(t)
	t.heading()
	for _, line := range f.header {
		t.row(line)
	}
	for i := range f.Records {
		t.record(f.Kind, i+1, &f.Records[i])
	}
	if f.Kind != trustlist.ITL.String() && f.Kind != trustlist.CTL.String() {
		fmt.Fprintf(t, "\nContent: %d bytes\n", f.content)
	}
	switch {
	case f.Verified == nil:
		fmt.Fprintf(t, "\nThe %s file does not hold its signer's certificate.\n", f.Kind)
	case *f.Verified:
		fmt.Fprintf(t, "\nThe %s file was verified successfully.\n", f.Kind)
	default:
		fmt.Fprintf(t, "\nVerification of the %s file failed.\n", f.Kind)
	}
}

// gap is an empty line that only the note's print has.
func (t *text) gap() {
	if !t.Columns {
		fmt.Fprintln(t)
	}
}

func (t *text) date(at time.Time) string {
	if t.Zone != nil {
		at = at.In(t.Zone)
	}
	return at.Format("Mon Jan 02 15:04:05 MST 2006")
}

func (t *text) pair(name string, value any) {
	if t.Columns {
		name = fmt.Sprintf("%-15s", name)
	}
	fmt.Fprintf(t, "%s %v\n", name, value)
}

func (t *text) heading() {
	t.row(row{fields: []string{"BYTEPOS", "TAG", "LENGTH", "VALUE"}})
	t.row(row{fields: []string{"-------", "---", "------", "-----"}})
}

func (t *text) record(kind string, number int, r *Record) {
	rule := "----"
	if t.Columns {
		rule = t.indent + "  " + rule
	}
	fmt.Fprintf(t, "\n%s%s Record #:%d\n%s\n", t.indent, kind, number, rule)
	t.heading()
	t.row(elementRow(1, "RECORDLENGTH", 2, r.Length))
	for _, line := range r.lines {
		t.row(line)
	}
	if r.token {
		not := "not "
		if r.SignedThisFile {
			not = ""
		}
		fmt.Fprintf(t, "This etoken was %sused to sign the %s file.\n", not, kind)
	}
}

// row prints the fields of a line. In columns, one that does not fit goes on to the next
// stop of 8.
func (t *text) row(r row) {
	if !t.Columns {
		fmt.Fprintln(t, strings.Join(r.fields, " "))
		return
	}
	const stop = 8
	widths := []int{stop, 2 * stop, stop, stop}
	if r.bytes {
		widths = []int{4, 4, 4, 4, 4, 4, 4, 4}
	}
	var line strings.Builder
	for i, field := range r.fields[:len(r.fields)-1] {
		to := widths[i]
		if len(field) >= to {
			to = (len(field)/stop + 1) * stop
		}
		fmt.Fprintf(&line, "%-*s", to, field)
	}
	fmt.Fprintln(t, line.String()+r.fields[len(r.fields)-1])
}
