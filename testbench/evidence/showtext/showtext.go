// Package showtext reads what `show itl` and `show ctl` print, as people paste it from a
// terminal: in columns or squeezed, wrapped at any width from 40 on, with CRLF, prompts, pager
// lines and prose between.
//
//	lists, err := showtext.Read(data)
//	for _, l := range lists { fmt.Println(l.SHA1, l.Signer.Name, l.Warnings) }
//
// A text has names, serial numbers, lengths and hashes. It has neither certificates nor proof of
// the signature, so that Verified of what is read is always nil; Printed is what the cluster
// said. The lengths must add up: a line that does not fit is named in Warnings, and the rest is
// used. At most MaxSize bytes, MaxLists lists and MaxRecords records are read. The functions are
// pure and safe for concurrent use. Sources: the print of `show itl` in Cisco's note on ITL
// enhancements in release 10.0(1), and of `show ctl` in its guides.
package showtext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/listing"
)

// Limits of a text.
const (
	MaxSize    = 4 << 20 // bytes
	MaxLists   = 100
	MaxRecords = 1000 // of one list
	maxLine    = 4096 // bytes; what is longer is not of these commands
)

// ErrNone says that a text has no list in it.
var ErrNone = errors.New("no list as show itl or show ctl prints one")

// List is one list as far as its print tells.
type List struct {
	listing.File
	Modified  string // as it was printed; "" where it was not
	Printed   string // what the cluster said of the signature; "" where nothing
	Signature []byte // of the header; nil where it was not printed whole
	Warnings  []string
	Line      int // where it begins

	header   []element
	records  [][]element
	lengthAt int // line of "Length of ITL file"
}

// element is one printed element.
type element struct {
	line   int
	tag    trustlist.Tag
	name   string
	length int    // as printed
	value  string // without what was wrapped around it
	joins  []int  // places in it where it was wrapped
}

// Looks reports whether the head of a text looks like the print of a list.
func Looks(head []byte) bool {
	lower := bytes.ToLower(head)
	for _, mark := range []string{"length of itl file", "length of ctl file", "parse itl file", "parse ctl file", "itl record #", "ctl record #", "checksum value of the itl", "checksum value of the ctl"} {
		if bytes.Contains(lower, []byte(mark)) {
			return true
		}
	}
	return false
}

// Read returns the lists of a text, in their order. The error is ErrNone, or says that the text
// is too large.
func Read(data []byte) ([]*List, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("a text of %d bytes: at most %d are read", len(data), MaxSize)
	}
	r := reader{}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if len(line) <= maxLine {
			r.read(i+1, clean(string(line)))
		}
	}
	r.end()
	if len(r.lists) == 0 {
		return nil, ErrNone
	}
	return r.lists, nil
}

var (
	elementLine = regexp.MustCompile(`^(\d{1,2})\s+([A-Z]{4,}(?: [A-Z]{4,})?)\s+(\d{1,5})(?:\s+(.*))?$`)
	recordLine  = regexp.MustCompile(`(?i)^(ITL|CTL) Record #: ?(\d+)`)
	lengthLine  = regexp.MustCompile(`(?i)^Length of (ITL|CTL) file: (\d+)`)
	headLine    = regexp.MustCompile(`^HeaderLength:\s*(\d+)`)
	sumLine     = regexp.MustCompile(`^([0-9a-fA-F]+) ?\((MD5|SHA1)\)$`)
	sumsLine    = regexp.MustCompile(`(?i)^The checksum value of the (ITL|CTL) file`)
	modLine     = regexp.MustCompile(`(?i)^The (ITL|CTL) File was last modified on (.*)$`)
	hexLine     = regexp.MustCompile(`^[0-9a-f]{1,2}(?:\s+[0-9a-f]{1,2})*$`)
	noise       = regexp.MustCompile(`(?i)^(?:admin:|press <|options: |--more--|lines? \d+ ?- ?\d+)`)
)

// clean takes off a line what terminals and documents put around it.
func clean(line string) string {
	line = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' {
			return -1
		}
		return r
	}, line)
	line = strings.ReplaceAll(strings.ReplaceAll(line, "**", ""), `\_`, "_")
	return strings.TrimSpace(line)
}

// reader is what was read so far.
type reader struct {
	lists []*List
	l     *List    // that is being read
	open  *element // that may go on in the next line
	in    *listing.Record
	bytes []byte // of the header's signature

	begun  string // a sentence that was wrapped
	joined int    // lines of it
}

func (r *reader) read(n int, line string) {
	if line = r.join(line); line == "" {
		return
	}
	switch {
	case line == "" || noise.MatchString(line) || strings.Trim(line, "-` \t") == "" || strings.HasPrefix(line, "BYTEPOS"):
		return
	case sumsLine.MatchString(line):
		r.end()
		r.begin(n, sumsLine.FindStringSubmatch(line)[1])
	case r.frame(n, line):
	case elementLine.MatchString(line) && r.l != nil:
		r.element(n, elementLine.FindStringSubmatch(line))
	case r.signature(line):
	case r.open != nil:
		r.more(line)
	}
}

// unfinished are the beginnings of sentences that may be wrapped, with how they end.
var unfinished = []struct{ begins, ends *regexp.Regexp }{
	{regexp.MustCompile(`^[0-9a-fA-F]{32,}`), regexp.MustCompile(`\)$`)},
	{regexp.MustCompile(`(?i)^The (ITL|CTL) File was last mod`), regexp.MustCompile(`\d{4}<?$`)},
	{regexp.MustCompile(`^This etoken was`), regexp.MustCompile(`\.$`)},
	{regexp.MustCompile(`^The (ITL|CTL) file (was ver|does not)`), regexp.MustCompile(`\.$`)},
}

// join puts a sentence together that was wrapped. It returns "" as long as the end is not there.
func (r *reader) join(line string) string {
	const most = 4 // lines of a sentence
	if r.begun != "" && line != "" && !noise.MatchString(line) {
		line, r.begun = r.begun+line, ""
		r.joined++
	} else if r.begun == "" {
		r.joined = 0
	}
	for _, u := range unfinished {
		if u.begins.MatchString(line) && !u.ends.MatchString(line) && r.joined < most {
			r.begun = line
			return ""
		}
	}
	return line
}

// begin begins a list of a kind.
func (r *reader) begin(n int, kind string) {
	if len(r.lists) < MaxLists {
		r.l = &List{Line: n, File: listing.File{Kind: strings.ToUpper(kind), Records: []listing.Record{}}}
	}
}

// need begins a list where none was: pasted from its middle on.
func (r *reader) need(n int, kind string) bool {
	if r.l == nil || r.l.Kind != strings.ToUpper(kind) {
		r.end()
		r.begin(n, kind)
	}
	return r.l != nil
}

// frame reads a line that is none of an element.
func (r *reader) frame(n int, line string) bool {
	m := func(re *regexp.Regexp) []string { return re.FindStringSubmatch(line) }
	switch {
	case m(sumLine) != nil:
		if r.l != nil {
			to := map[string]*string{"MD5": &r.l.MD5, "SHA1": &r.l.SHA1}[m(sumLine)[2]]
			*to = strings.ToLower(m(sumLine)[1])
		}
	case m(lengthLine) != nil:
		if v := m(lengthLine); r.need(n, v[1]) {
			r.l.Length, r.l.lengthAt = number(v[2]), n
		}
	case m(modLine) != nil:
		if v := m(modLine); r.need(n, v[1]) {
			r.l.Modified = strings.TrimRight(v[2], "<")
		}
	case m(headLine) != nil && r.l != nil:
		r.l.HeaderLength = number(m(headLine)[1])
	case strings.HasPrefix(line, "Version:") && r.l != nil:
		r.l.Version = strings.TrimSpace(strings.TrimPrefix(line, "Version:"))
	case m(recordLine) != nil:
		if v := m(recordLine); r.need(n, v[1]) {
			r.record(n, number(v[2]))
		}
	default:
		return r.verdict(line)
	}
	r.open = nil
	return true
}

// verdict reads what is said of a record or of the list.
func (r *reader) verdict(line string) bool {
	is := func(text string) bool { return squeezed(line) == squeezed(text) }
	if r.l == nil {
		return false
	}
	k := r.l.Kind
	switch {
	case strings.HasPrefix(squeezed(line), "thisetokenwasnot"):
	case strings.HasPrefix(squeezed(line), "thisetokenwasused"):
		if r.in != nil {
			r.in.SignedThisFile = true
		}
	case is("The " + k + " file was verified successfully."):
		r.l.Printed = "verified successfully"
	case is("Verification of the " + k + " file failed."):
		r.l.Printed = "verification failed"
	case is("The " + k + " file does not hold its signer's certificate."):
		r.l.Printed = "it does not hold its signer's certificate"
	case strings.HasPrefix(line, "Parse "):
	default:
		return false
	}
	r.open = nil
	return true
}

func squeezed(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }

func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// record begins a record.
func (r *reader) record(n, want int) {
	if len(r.l.records) == MaxRecords {
		r.l.warn(n, "more than %d records: the rest is left out", MaxRecords)
		r.end()
		return
	}
	r.close()
	if want != len(r.l.records)+1 {
		r.l.warn(n, "record %d stands where record %d was expected", want, len(r.l.records)+1)
	}
	r.l.records = append(r.l.records, nil)
	r.l.Records = append(r.l.Records, listing.Record{})
	r.in = &r.l.Records[len(r.l.Records)-1]
}

// element begins an element.
func (r *reader) element(n int, m []string) {
	r.close()
	e := element{line: n, tag: trustlist.Tag(number(m[1])), name: m[2], length: number(m[3]), value: m[4]}
	to := &r.l.header
	if len(r.l.records) > 0 {
		to = &r.l.records[len(r.l.records)-1]
	}
	*to = append(*to, e)
	r.open = &(*to)[len(*to)-1]
	r.bytes = nil
}

// more goes on with an element that was wrapped. What is complete takes nothing more.
func (r *reader) more(line string) {
	e := r.open
	if e.complete(len(r.l.records) > 0) {
		r.open = nil
		return
	}
	e.joins = append(e.joins, len(e.value))
	e.value += line
}

// spaced puts back the spaces that were lost where a name was wrapped, if its length tells where.
func (e *element) spaced() string {
	missing := e.length - 1 - len(e.value)
	if missing < 1 || missing > len(e.joins) {
		return e.value
	}
	// All of the joins, or, where fewer are missing, the last of them: wrapped lines of names have
	// no more than two.
	value := e.value
	for _, at := range slices.Backward(e.joins[len(e.joins)-missing:]) {
		value = value[:at] + " " + value[at:]
	}
	return value
}

// complete reports whether an element has all of its value.
func (e *element) complete(record bool) bool {
	switch form := e.form(record); form {
	case formName:
		return len(e.value) >= e.length-1
	case formSerial:
		return len(strings.ReplaceAll(e.value, ":", "")) >= 2*e.length
	case formHash:
		return len(hexOf(e.value)) >= 40 && (e.tag != trustlist.Certificate || strings.Contains(e.value, ")"))
	case formRole:
		_, ok := roleOf(e.value)
		return ok
	}
	return true
}

// signature reads a line of the header's signature.
func (r *reader) signature(line string) bool {
	if r.l == nil || r.open == nil || len(r.l.records) > 0 || r.open.tag != trustlist.Tag(12) || !hexLine.MatchString(line) || len(r.bytes) >= r.open.length {
		return false
	}
	for _, word := range strings.Fields(line) {
		b, _ := strconv.ParseUint(word, 16, 8)
		r.bytes = append(r.bytes, byte(b))
	}
	r.l.Signature = r.bytes
	return true
}

func (r *reader) close() { r.open = nil }

// end ends the list that is being read.
func (r *reader) end() {
	l := r.l
	*r = reader{lists: r.lists}
	if l == nil || l.Length == 0 && len(l.records) == 0 && len(l.header) == 0 {
		return
	}
	l.finish()
	r.lists = append(r.lists, l)
}

// Write prints the list as the commands do, without what was between, and then what is not
// known. Its warnings are left to the caller.
func (l *List) Write(w io.Writer) {
	line := func(format string, args ...any) {
		fmt.Fprintln(w, trustlist.Printable(fmt.Appendf(nil, format, args...)))
	}
	line("The checksum value of the %s file:", l.Kind)
	for _, sum := range [][2]string{{l.MD5, "MD5"}, {l.SHA1, "SHA1"}} {
		if sum[0] != "" {
			line("%s(%s)", sum[0], sum[1])
		}
	}
	line("")
	line("Length of %s file: %d", l.Kind, l.Length)
	if l.Modified != "" {
		line("The %s File was last modified on %s", l.Kind, l.Modified)
	}
	line("Version: %s", l.Version)
	line("HeaderLength: %d (BYTES)", l.HeaderLength)
	line("")
	for i := range l.header {
		l.header[i].write(line)
	}
	for i, record := range l.records {
		line("")
		line("%s Record #:%d", l.Kind, i+1)
		for j := range record {
			record[j].write(line)
		}
		if r := &l.Records[i]; r.Role == int(trustlist.SAST) {
			line("This etoken was %sused to sign the %s file.", map[bool]string{true: "", false: "not "}[r.SignedThisFile], l.Kind)
		}
	}
	line("")
	if l.Printed != "" {
		line("the cluster said of the signature: %s", l.Printed)
	}
	line("not known from a text: the certificates, their validity, and the proof of the signature")
}

func (e *element) write(line func(string, ...any)) {
	line("%s", strings.TrimRight(fmt.Sprintf("%-7d %-20s %-7d %s", e.tag, e.name, e.length, e.value), " "))
}
