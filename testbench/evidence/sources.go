package evidence

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"itlagent/testbench/events"
	"itlagent/testbench/lockout"
)

// EventLog is the name of a cluster's event log in its directory.
const EventLog = "events.log"

// EventLogs reads what phones have reported to the clusters of a world.
func EventLogs(w lockout.World) (*Reports, error) {
	r := New()
	for _, c := range w {
		if c.Dir() == "" {
			continue // one that exists on paper alone
		}
		for _, path := range events.Files(filepath.Join(c.Dir(), EventLog)) {
			if err := r.readFile(path); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (r *Reports) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.Read(f, nil)
}

// audited is what of an object that `audit --json` prints says what a phone holds.
type audited struct {
	Device   string `json:"device"`
	Status   string `json:"status"`
	ITL      string `json:"itl"`
	CTL      string `json:"ctl"`
	Reported int64  `json:"reported"` // Unix seconds; 0 where it is not known
	Disputed bool   `json:"disputed"`
}

// AuditOutput reads what `audit --json` wrote.
func AuditOutput(path string) (*Reports, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := New()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var p audited
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return nil, fmt.Errorf("%s: line %d: not what audit --json writes: %w", path, n, err)
		}
		if p.Device == "" || p.Status == "unknown" && !p.Disputed {
			continue // totals, or a phone of which nothing is known
		}
		if err := r.addAudited(&p); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%s: not what audit --json writes: a line of more than %d bytes", path, bufio.MaxScanTokenSize)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *Reports) addAudited(p *audited) error {
	var at time.Time
	if p.Reported != 0 {
		at = time.Unix(p.Reported, 0)
	}
	itl := p.ITL
	if itl == "" {
		itl = "Not Installed"
	}
	report, err := report(p.Device, itl, p.CTL, at)
	if err == nil {
		err = r.Add(report)
	}
	if e := r.phones[report.MAC]; err == nil && p.Disputed {
		e.disputed = true
		r.phones[report.MAC] = e
	}
	return err
}
