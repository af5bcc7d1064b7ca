package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"itlagent/agent/boot"
	"itlagent/agent/printable"
	"itlagent/agent/trust"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/capture"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/lockout"
	"itlagent/testbench/wording"
)

// captureEventJSON, captureBootJSON, capturePhoneJSON and captureJSON are the object that
// `explain --pcap --json` prints.
type captureEventJSON struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`
	Server string    `json:"server"`
	Text   string    `json:"text"`
	File   string    `json:"file"`
	Result string    `json:"result"`
	Bytes  int64     `json:"bytes"` // -1 where they are not known
}

type captureBootJSON struct {
	Start       time.Time                `json:"start"`
	Whole       bool                     `json:"whole"` // the capture has its beginning
	Events      []captureEventJSON       `json:"events"`
	Known       bool                     `json:"known"`
	Reason      string                   `json:"reason"` // "not-known" where the capture does not show it
	Text        string                   `json:"text"`
	Shows       []string                 `json:"shows"` // TVS certificates that the held list lacks
	Notes       []string                 `json:"notes"`
	Explanation *wording.ExplanationJSON `json:"explanation"` // of the last boot; null where it is not known, or an alert alone tells it
}

type capturePhoneJSON struct {
	Device    string            `json:"device"`
	MAC       string            `json:"mac"`
	Addresses []string          `json:"addresses"`
	Boots     []captureBootJSON `json:"boots"`
}

type captureJSON struct {
	File    string             `json:"file"`
	Packets int                `json:"packets"`
	First   time.Time          `json:"first"`
	Last    time.Time          `json:"last"`
	Notes   []string           `json:"notes"`
	Phones  []capturePhoneJSON `json:"phones"`
}

// explainCapture says what the phones of a capture were served, and what they made of it.
func (x *explainFlags) explainCapture(e *env, macGiven bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := e.readCapture(ctx, x.pcap)
	switch {
	case errors.Is(err, capture.ErrFormat):
		return e.fail(exitNo, "explain: %s: it is %v", x.pcap, err)
	case err != nil:
		return e.fail(exitInfra, "explain: %v", plainPath(err))
	}
	phones, err := x.chosen(c, macGiven)
	if err != nil {
		return e.fail(exitNo, "explain: %s: %v", x.pcap, err)
	}
	held, err := x.heldBeside(ctx)
	if err != nil {
		return e.fail(exitNo, "explain: %v", plainPath(err))
	}
	if held.Stored != nil && len(phones) > 1 {
		return e.usage("explain: the capture has %d phones: say with --mac which one holds that", len(phones))
	}
	out := captureJSON{File: x.pcap, Packets: c.Packets, First: c.First, Last: c.Last, Notes: append([]string{}, c.Notes...), Phones: []capturePhoneJSON{}}
	if !x.asJSON {
		printCapture(e.stdout, x.pcap, c)
	}
	worst := exitOK
	for _, p := range phones {
		j, code, err := x.explainPhone(ctx, e, p, held)
		if err != nil {
			return e.fail(exitInfra, "explain: %s: %v", p.Name(), err)
		}
		if out.Phones = append(out.Phones, j); worst != exitNo && code != exitOK {
			worst = code
		}
	}
	if x.asJSON {
		printJSON(e.stdout, out)
	}
	return worst
}

// readCapture reads a capture, and says on the way how far it is.
func (e *env) readCapture(ctx context.Context, path string) (*capture.Capture, error) {
	if path == recogniser.Stdin {
		return capture.Read(ctx, e.stdin, capture.Limits{}, nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s: it is a directory", path)
	}
	progress, done := e.readProgress(filepath.Base(path), info.Size())
	defer done()
	c, err := capture.Read(ctx, f, capture.Limits{}, progress)
	if err != nil && !errors.Is(err, capture.ErrFormat) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return c, err
}

// readProgress returns what is told of bytes of a long file as they are read: a bar on a terminal,
// and else a line now and then.
func (e *env) readProgress(name string, size int64) (progress func(int), done func()) {
	const step, line = 1 << 20, 256 << 20 // bytes between looks at the bar, and between lines
	since, read := 0, int64(0)
	if tty, ok := e.stderr.(*os.File); ok && term.IsTerminal(int(tty.Fd())) {
		bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(e.stderr), progressbar.OptionShowBytes(true),
			progressbar.OptionSetDescription(printable.Text(name)), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		return func(n int) {
			if since += n; since >= step {
				bar.Add(since)
				since = 0
			}
		}, func() { bar.Finish() }
	}
	return func(n int) {
		if since, read = since+n, read+int64(n); since >= line {
			fmt.Fprintf(e.stderr, "itlbench: %s: %d of %d MiB\n", printable.Text(name), read>>20, size>>20)
			since = 0
		}
	}, func() {}
}

// chosen returns the phones that are asked about.
func (x *explainFlags) chosen(c *capture.Capture, macGiven bool) ([]*capture.Phone, error) {
	if len(c.Phones) == 0 {
		return nil, errors.New("no phone that asks for its files is in it")
	}
	if !macGiven {
		return c.Phones, nil
	}
	device, err := boot.Device(x.phone.MAC)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Phones {
		if p.Device == device {
			return []*capture.Phone{p}, nil
		}
	}
	return nil, fmt.Errorf("%s is not in it", device)
}

// heldBeside returns what is given of a phone beside the capture.
func (x *explainFlags) heldBeside(ctx context.Context) (h capture.Held, err error) {
	h.Model = x.phone.Model
	if x.phone.Given() == 0 {
		return h, nil
	}
	p, err := x.phone.Phone(ctx, nil, lockout.Files{})
	h.Stored = p.Stored
	return h, err
}

// explainPhone explains one phone, and prints it unless JSON is wanted. The code is that of its
// last boot.
func (x *explainFlags) explainPhone(ctx context.Context, e *env, p *capture.Phone, held capture.Held) (capturePhoneJSON, int, error) {
	j := phoneOfCapture(p)
	verdicts, err := p.Judge(ctx, held)
	if err != nil {
		return j, exitInfra, err
	}
	if !x.asJSON {
		printCapturedPhone(e.stdout, p)
	}
	code, at := exitInfra, 0
	for i, b := range p.Boots() {
		jb := bootOfCapture(&b)
		if !x.asJSON {
			printBoot(e.stdout, i+1, &b)
		}
		if at < len(verdicts) && verdicts[at].Boot.Start.Equal(b.Start) {
			v := verdicts[at]
			at++
			jb.Known, jb.Reason, jb.Text, jb.Notes = v.Known, v.Word(), v.Text(), append(jb.Notes, v.Notes...)
			jb.Shows = append(jb.Shows, v.Shows...)
			for _, line := range v.Shows {
				if !x.asJSON {
					fmt.Fprintf(e.stdout, "  %s\n", line)
				}
			}
			if at == len(verdicts) {
				if jb.Explanation, code, err = x.last(ctx, e, v); err != nil {
					return j, exitInfra, err
				}
			} else if !x.asJSON {
				fmt.Fprintf(e.stdout, "  %s\n", v.Text())
			}
		} else if !x.asJSON {
			fmt.Fprintln(e.stdout, "  neither a list nor a configuration was asked for")
		}
		j.Boots = append(j.Boots, jb)
	}
	return j, code, nil
}

// last explains the last boot of a phone.
func (x *explainFlags) last(ctx context.Context, e *env, v *capture.Verdict) (*wording.ExplanationJSON, int, error) {
	code := exitOK
	switch {
	case !v.Known, v.Reason == trust.DownloadFailed:
		code = exitInfra
	case v.Reason != trust.Accepted:
		code = exitNo
	}
	if !v.Paper {
		if !x.asJSON {
			printVerdict(e.stdout, v)
		}
		return nil, code, nil
	}
	hints := lockout.Hints{}
	if x.p12 != "" {
		var err error
		if hints.P12, err = evidence.ReadFile(x.p12); err != nil {
			return nil, code, err
		}
	}
	p := evidence.Phone{Phone: v.Phone}
	var served, installed []*recogniser.Item
	for name, data := range v.Served() {
		served = append(served, recogniser.Recognise(name, data))
	}
	for _, key := range []string{"ctl", "itl"} {
		if data := v.Phone.Stored[key]; data != nil {
			installed = append(installed, recogniser.Recognise(key, data))
		}
	}
	defer x.copyOf(served, installed, &p, &hints)()
	ex, err := lockout.Explain(ctx, v.Around, v.Phone, hints)
	if err != nil {
		return nil, code, err
	}
	ex.Notes = append(append([]string{}, v.Notes...), ex.Notes...)
	if x.asJSON {
		j := wording.ExplanationOf(ex)
		return &j, code, nil
	}
	fmt.Fprintln(e.stdout)
	wording.Explanation(e.stdout, ex, x.all)
	return nil, code, nil
}

func printVerdict(w io.Writer, v *capture.Verdict) {
	fmt.Fprintf(w, "\n%s\n", v.Text())
	if v.Known && v.Reason != trust.Accepted {
		fmt.Fprintf(w, "to do: %s\n", v.Reason.Advice())
	}
	for i, n := range v.Notes {
		if i == 0 {
			fmt.Fprintln(w, "\nnot known:")
		}
		fmt.Fprintf(w, "  %s\n", printable.Text(n))
	}
}

func printCapture(w io.Writer, name string, c *capture.Capture) {
	count := fmt.Sprintf("%d phones", len(c.Phones))
	if len(c.Phones) == 1 {
		count = "1 phone"
	}
	fmt.Fprintf(w, "%s: %d packets, %s to %s UTC, %s\n", printable.Text(name), c.Packets, c.First.UTC().Format(time.DateTime), c.Last.UTC().Format(time.DateTime), count)
	for _, n := range c.Notes {
		fmt.Fprintf(w, "  %s\n", printable.Text(n))
	}
}

func printCapturedPhone(w io.Writer, p *capture.Phone) {
	fmt.Fprintf(w, "\n%s at %s\n", printable.Text(p.Name()), strings.Join(phoneOfCapture(p).Addresses, ", "))
}

func printBoot(w io.Writer, n int, b *capture.Boot) {
	begins := ""
	if !b.Whole {
		begins = "; the capture lacks its beginning"
	}
	fmt.Fprintf(w, "boot %d, %s UTC%s\n", n, b.Start.UTC().Format("2006-01-02 15:04:05.000"), begins)
	for _, ev := range b.Events {
		fmt.Fprintf(w, "  %+9.3f s  %-4s  %-21s  %s\n", ev.Time.Sub(b.Start).Seconds(), ev.Kind(), ev.Server, ev.Text())
	}
}

func phoneOfCapture(p *capture.Phone) capturePhoneJSON {
	j := capturePhoneJSON{Device: p.Device, Addresses: []string{}, Boots: []captureBootJSON{}}
	if p.MAC != ([6]byte{}) {
		j.MAC = strings.ToUpper(net.HardwareAddr(p.MAC[:]).String())
	}
	for _, a := range p.Addresses {
		j.Addresses = append(j.Addresses, a.String())
	}
	return j
}

func bootOfCapture(b *capture.Boot) captureBootJSON {
	j := captureBootJSON{Start: b.Start, Whole: b.Whole, Events: []captureEventJSON{}, Shows: []string{}, Notes: []string{}, Reason: "not-known"}
	for _, ev := range b.Events {
		row := captureEventJSON{Time: ev.Time, Kind: ev.Kind(), Server: ev.Server.String(), Text: ev.Text(), Bytes: -1}
		if ev.File != nil {
			row.File, row.Result, row.Bytes = printable.Text(ev.File.Name), string(ev.File.Result), ev.File.Size
		}
		j.Events = append(j.Events, row)
	}
	return j
}

// capture shows whose boots are in a capture.
func (s *shower) capture(it *recogniser.Item) int {
	in, err := it.Open()
	if err != nil {
		return s.e.fail(exitInfra, "%s: %v", it.Name, err)
	}
	defer in.Close()
	c, err := capture.Read(context.Background(), in, capture.Limits{}, nil)
	if err != nil {
		s.w.Flush()
		return s.e.fail(exitNo, "%s: %v", it.Name, err)
	}
	if s.json {
		phones := []capturePhoneJSON{}
		for _, p := range c.Phones {
			j := phoneOfCapture(p)
			for _, b := range p.Boots() {
				j.Boots = append(j.Boots, bootOfCapture(&b))
			}
			phones = append(phones, j)
		}
		s.object(it, struct {
			Kind    string             `json:"kind"`
			Packets int                `json:"packets"`
			Notes   []string           `json:"notes"`
			Phones  []capturePhoneJSON `json:"phones"`
		}{string(it.Kind), c.Packets, append([]string{}, c.Notes...), phones})
		return exitOK
	}
	printCapture(s.w, it.About, c)
	for _, p := range c.Phones {
		printCapturedPhone(s.w, p)
		for i, b := range p.Boots() {
			printBoot(s.w, i+1, &b)
		}
	}
	return exitOK
}
