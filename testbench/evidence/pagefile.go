package evidence

import (
	"errors"
	"html"
	"regexp"
	"strings"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/printable"
	"itlagent/testbench/sip"
)

// Page is what a saved page of a phone tells, in HTML or XML; what it does not is "".
type Page struct {
	Device   string   `json:"device"` // "SEP64A0E71502CC"
	Model    string   `json:"model"`
	ITL      string   `json:"itl"` // hash as ParseHash has it; "" also where none is installed
	CTL      string   `json:"ctl"`
	HasLists bool     `json:"hasLists"` // it is the page that says which lists the phone holds
	Messages []string `json:"messages"` // status messages, as the page orders them
}

// maxMessages bounds the status messages of a page. Phones keep 10 to 50.
const maxMessages = 200

var (
	pageDevice  = regexp.MustCompile(`(?i)\bSEP[0-9A-F]{12}\b`)
	pageModel   = regexp.MustCompile(`\bCP-[0-9A-Z]{4,8}(?:-[0-9A-Z]+)?\b`)
	pageMessage = regexp.MustCompile(`(?is)<status>(.*?)</status>`)
	pageCell    = regexp.MustCompile(`(?is)<(?:TD|B)[^>]*>\s*([^<>]*\d\d?:\d\d:\d\d[^<>]*?)\s*<`)
	pageTag     = regexp.MustCompile(`<[^>]*>`)
)

// ReadPage reads a page of a phone that was saved. Of more than 256 KiB the rest is left out.
func ReadPage(data []byte) Page {
	text := string(data[:min(len(data), maxPage)])
	p := Page{Messages: []string{}}
	if name, err := boot.Device(row(text, "MAC address")); err == nil {
		p.Device = name
	} else if m := pageDevice.FindString(text); m != "" {
		p.Device = strings.ToUpper(m)
	}
	if p.Model = row(text, "Model number"); p.Model == "" {
		p.Model = pageModel.FindString(text)
	}
	p.Model = printable.Clip(p.Model, 40)
	for _, list := range []struct {
		label string
		to    *string
	}{{"ITL signature", &p.ITL}, {"CTL signature", &p.CTL}} {
		value := row(text, list.label)
		if hash, err := ParseHash(value); value != "" && err == nil {
			*list.to, p.HasLists = hash, true
		}
	}
	found := pageMessage.FindAllStringSubmatch(text, maxMessages)
	if found == nil {
		found = pageCell.FindAllStringSubmatch(text, maxMessages)
	}
	for _, m := range found {
		line := html.UnescapeString(pageTag.ReplaceAllString(m[1], ""))
		p.Messages = append(p.Messages, printable.Clip(strings.TrimSpace(line), 200))
	}
	return p
}

// ReadAlarm adds an alarm that was saved as XML; of when it was sent nothing is known.
func (r *Reports) ReadAlarm(document []byte) error {
	alarm, err := (&sip.Request{Body: document}).Alarm()
	if err != nil {
		r.Fault("%v", err)
		return nil
	}
	report, err := FromAlarm(alarm, time.Time{})
	switch {
	case errors.Is(err, ErrOther):
		return nil
	case err != nil:
		r.Fault("%v", err)
		return nil
	}
	return r.Add(report)
}
