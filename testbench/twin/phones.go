package twin

import (
	"bytes"
	"encoding/csv"
	"io"
	"regexp"
	"strings"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
)

// maxPhones bounds the phones of a twin.
const maxPhones = 100_000

// reports reads the alarms of logs.
func reports(items []*recogniser.Item) (*evidence.Reports, error) {
	r := evidence.New()
	for _, it := range items {
		if it.Kind != recogniser.AlarmLog {
			continue
		}
		if it.Data != nil {
			if err := r.ReadAlarm(it.Data); err != nil {
				return nil, err
			}
			continue
		}
		in, err := it.Open()
		if err == nil {
			err = r.Read(in, nil)
			in.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

var (
	deviceName = regexp.MustCompile(`(?i)\bSEP[0-9A-F]{12}\b`)
	modelName  = regexp.MustCompile(`(?i)\b(?:CP-|Cisco )(\d{4}[A-Z0-9-]*)\b`)
)

// Device is a phone of an export.
type Device struct {
	MAC   evidence.MAC
	Model string // "CP-8845"; "" where it is not said
}

// Devices reads an export of RIS or AXL: CSV with the name of the device in a column, or XML.
func Devices(data []byte) (all []Device) {
	seen := make(map[evidence.MAC]bool)
	add := func(text string) {
		name := deviceName.FindString(text)
		m, ok := evidence.ParseMAC(name)
		if !ok || seen[m] || len(all) == maxPhones {
			return
		}
		seen[m] = true
		d := Device{MAC: m}
		if model := modelName.FindStringSubmatch(text); model != nil {
			d.Model = "CP-" + strings.ToUpper(model[1])
		}
		all = append(all, d)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		places := deviceName.FindAllIndex(data, maxPhones)
		for i, at := range places { // the model stands in the same element, behind the name
			end := len(data)
			if i+1 < len(places) {
				end = places[i+1][0]
			}
			add(string(data[at[0]:end]))
		}
		return all
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	if first, _, _ := bytes.Cut(data, []byte("\n")); bytes.Count(first, []byte(";")) > bytes.Count(first, []byte(",")) {
		r.Comma = ';'
	} else if bytes.Count(first, []byte("\t")) > bytes.Count(first, []byte(",")) {
		r.Comma = '\t'
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return all
		}
		if err == nil {
			add(strings.Join(row, " , "))
		} else if len(row) == 0 {
			return all
		}
	}
}

// phones gives the twin its phones: of exports, and those that have reported.
func (b *builder) phones(items []*recogniser.Item, r *evidence.Reports) {
	unknown := 0
	add := func(d Device) {
		mac := d.MAC.String()
		if b.s.Phone(mac) != nil || len(b.s.Phones) == maxPhones {
			return
		}
		spec := profile.PhoneSpec{MAC: mac, Model: d.Model}
		if profile.CheckPhone(&spec) != nil {
			spec.Model = "CP-7965G"
			unknown++
		}
		b.s.Phones = append(b.s.Phones, state.WithDefaults(spec))
	}
	for _, it := range items {
		if it.Kind == recogniser.Phones {
			for _, d := range Devices(it.Data) {
				add(d)
			}
		}
		if it.Settings.Name != "" {
			if m, ok := evidence.ParseMAC(it.Settings.Name); ok {
				add(Device{MAC: m})
			}
		}
	}
	for _, m := range r.MACs() {
		add(Device{MAC: m})
	}
	if unknown > 0 {
		b.note("the model of %s is not known: CP-7965G is taken", evidence.Count(unknown))
	}
	if len(b.s.Phones) == 0 {
		b.note("no phone is known: exports of RIS or AXL, or logs with alarms, name them")
	}
}

// AddPhone makes a phone known to the twin; a model of "" is CP-7965G.
func (t *Twin) AddPhone(mac, model string) error {
	if t.Cluster.State().Phone(mac) != nil {
		return nil
	}
	if model == "" {
		model = "CP-7965G"
	}
	return t.Cluster.Apply(operation.AddPhone(mac, model))
}

// WriteReports writes what phones have reported to an event log, in the form of a cluster's own.
func (t *Twin) WriteReports(path string) error {
	log, err := events.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	installed := func(h evidence.Hash) string {
		if h == (evidence.Hash{}) {
			return "Not Installed"
		}
		return strings.ToUpper(h.String())
	}
	for _, m := range t.Reports.MACs() {
		r, ok, err := t.Reports.Last(m)
		if !ok || err != nil {
			continue // reports that contradict each other tell nothing
		}
		err = log.Add(events.Event{Time: r.Time, Node: t.Cluster.Publisher().Name(), App: "UC_CALLMANAGER", Severity: 6, Name: evidence.AlarmName, Text: "imported",
			Tags: []events.Tag{{Key: "DeviceName", Value: "SEP" + m.String()}, {Key: "ITL_Signature", Value: installed(r.ITL)}, {Key: "CTL_Signature", Value: installed(r.CTL)}}})
		if err != nil {
			return err
		}
	}
	return nil
}
