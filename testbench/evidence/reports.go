package evidence

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"time"

	"itlagent/testbench/events"
)

// Limits of reports.
const (
	MaxPhones = 2_000_000
	MaxLine   = 64 << 10 // bytes
	// maxSkipped bounds how far the end of a longer line is looked for, in bytes.
	maxSkipped = 64 << 20
	maxFaults  = 10 // that are described; all are counted
)

// ErrTooMany says that more phones report than are remembered.
var ErrTooMany = fmt.Errorf("more than %d phones", MaxPhones)

// entry is what is remembered of a phone.
type entry struct {
	at       int64  // Unix nanoseconds; 0 where not known
	node     uint64 // hash of its name; 0 where not known
	seq      uint64 // 0 where not known
	stream   uint32 // that it was read from
	disputed bool   // there are reports of one time, of which none is the later one
	itl, ctl Hash
}

// Reports collects the reports of phones, and keeps the last one of each.
type Reports struct {
	phones map[MAC]entry
	seed   maphash.Seed
	stream uint32

	Lines, Count int      // that were read: lines, and reports
	Unusable     int      // lines about lists that cannot be used
	Long         int      // lines of more than MaxLine bytes
	Faults       []string // the first unusable lines, described
}

// New returns no reports.
func New() *Reports { return &Reports{phones: make(map[MAC]entry), seed: maphash.MakeSeed()} }

// Read reads a log to its end. progress, if not nil, is told of bytes as they are read.
// A line without an end within 64 MiB is an error.
// Lines that are not about lists of phones are passed over.
func (r *Reports) Read(log io.Reader, progress func(bytes int)) error {
	if progress == nil {
		progress = func(int) {}
	}
	r.stream++
	defer func() { r.stream++ }()
	in := bufio.NewReaderSize(log, MaxLine)
	start := r.Lines
	for {
		line, err := in.ReadSlice('\n')
		progress(len(line))
		if err == bufio.ErrBufferFull {
			r.Long++
			for skipped := len(line); err == bufio.ErrBufferFull; skipped += len(line) {
				if skipped > maxSkipped {
					return fmt.Errorf("no line ends within %d bytes: this is not a log", maxSkipped)
				}
				line, err = in.ReadSlice('\n')
				progress(len(line))
			}
			line = nil
		}
		if len(line) > 0 || err == nil {
			r.Lines++
		}
		if len(line) > 0 {
			if err := r.line(line, r.Lines-start); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *Reports) line(line []byte, number int) error {
	report, err := ParseLine(bytes.TrimRight(line, "\r\n"))
	switch {
	case errors.Is(err, ErrOther):
		return nil
	case err != nil:
		r.Fault("line %d: %v", number, err)
		return nil
	}
	return r.Add(report)
}

// AddEvent adds an event of a cluster's own log; those that are not about lists are
// passed over.
func (r *Reports) AddEvent(e *events.Event) error {
	if e.Name != AlarmName {
		return nil
	}
	report, err := report(e.Tag("DeviceName"), e.Tag("ITL_Signature"), e.Tag("CTL_Signature"), e.Time)
	if err != nil {
		r.Fault("event %d: %v", e.Seq, err)
		return nil
	}
	report.Node, report.Seq = e.Node, e.Seq
	return r.Add(report)
}

// Fault counts something that cannot be used, and describes the first ones.
func (r *Reports) Fault(format string, args ...any) {
	if r.Unusable++; len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// Add adds one report. Of two of a phone the later one counts. Stamps are often of whole
// seconds: where they do not tell which is the later one, the sequence numbers of a node do,
// and else the order in which the reports of one log are added. Of different
// logs, reports of one time that say different things leave the phone in dispute.
func (r *Reports) Add(report Report) error {
	r.Count++
	next := entry{itl: report.ITL, ctl: report.CTL, seq: report.Seq, stream: r.stream}
	if !report.Time.IsZero() {
		next.at = report.Time.UnixNano()
	}
	if report.Node != "" {
		next.node = maphash.String(r.seed, report.Node)
	}
	old, ok := r.phones[report.MAC]
	if !ok && len(r.phones) == MaxPhones {
		return ErrTooMany
	}
	if ok {
		order := later(&old, &next)
		if order < 0 {
			return nil
		}
		differ := old.itl != next.itl || old.ctl != next.ctl
		next.disputed = sameTime(&old, &next) && (old.disputed || order == 0 && differ)
	}
	r.phones[report.MAC] = next
	return nil
}

// later compares a report with one that was added after it: 1 where the latter is
// later, -1 where it is earlier, 0 where nobody knows.
func later(old, next *entry) int {
	switch {
	case next.at == 0:
		return 1 // where no times are known, the one that comes later
	case !sameTime(old, next) && next.at < old.at:
		return -1
	case !sameTime(old, next):
		return 1
	case old.node == next.node && old.seq != 0 && next.seq != 0 && old.seq != next.seq:
		if next.seq < old.seq {
			return -1
		}
		return 1
	case old.stream == next.stream:
		return 1
	}
	return 0
}

// sameTime reports whether two stamps do not tell which is the later one. One of whole
// seconds is taken for any time of that second.
func sameTime(a, b *entry) bool {
	const second = int64(time.Second)
	if a.at%second == 0 || b.at%second == 0 {
		return a.at/second == b.at/second
	}
	return a.at == b.at
}

// ErrDisputed says that two reports of a phone, of the same time, contradict each other.
var ErrDisputed = errors.New("two reports of the same time contradict each other")

// Last returns the report of a phone that counts; ok is false where it has reported
// nothing. The error is ErrDisputed.
func (r *Reports) Last(m MAC) (report Report, ok bool, err error) {
	e, ok := r.phones[m]
	if e.disputed {
		err = ErrDisputed
	}
	report = Report{MAC: m, Seq: e.seq, ITL: e.itl, CTL: e.ctl}
	if e.at != 0 {
		report.Time = time.Unix(0, e.at).UTC()
	}
	return report, ok, err
}

// MACs returns the phones that have reported, in the order of their addresses.
func (r *Reports) MACs() []MAC {
	macs := make([]MAC, 0, len(r.phones))
	for m := range r.phones {
		macs = append(macs, m)
	}
	SortMACs(macs)
	return macs
}

// SortMACs sorts addresses.
func SortMACs(macs []MAC) {
	slices.SortFunc(macs, func(a, b MAC) int { return bytes.Compare(a[:], b[:]) })
}

// Len returns how many phones have reported.
func (r *Reports) Len() int { return len(r.phones) }
