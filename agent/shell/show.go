package shell

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"errors"
	"fmt"
	"strings"
	"time"

	"itlagent/agent"
	"itlagent/agent/alarm"
	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

func (s *Shell) showStatus(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	s.say("%s %s firmware %s", phone.Model.Name, phone.Device, phone.Model.Firmware)
	for _, l := range []struct {
		name, key string
		file      *trustlist.File
	}{{"CTL", holdings.CTL, phone.CTL}, {"ITL", holdings.ITL, phone.ITL}} {
		if err := phone.Damage(l.key); err != nil {
			s.say("%s: damaged: %v", l.name, err)
			continue
		}
		if l.file == nil {
			s.say("%s: Not Installed", l.name)
			continue
		}
		sum := sha1.Sum(l.file.Bytes())
		s.say("%s: %d bytes, signed by %s", l.name, len(l.file.Bytes()), string(l.file.Signer.Name))
		s.say("%s signature: %s", l.name, alarm.Signature(sum[:]))
	}
	r := phone.Last
	if r == nil {
		s.say("no cycle has run yet")
		return nil
	}
	locked := "no"
	if r.Locked() {
		locked = "yes"
	}
	s.say("locked: %s", locked)
	s.say("reason: %v (%s)", r.Reason(), r.Text())
	for _, m := range r.Messages {
		s.say("shown: %s", m)
	}
	return nil
}

func (s *Shell) showMessages(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	for _, e := range phone.Messages {
		times := ""
		if e.Count > 1 {
			times = fmt.Sprintf(" (%d times)", e.Count)
		}
		s.say("%s %s%s", phone.Model.LogStamp(e.Last), e.Text, times)
	}
	return nil
}

func (s *Shell) showList(kind trustlist.Kind) error {
	phone := s.phone.Snapshot()
	f := phone.ITL
	if kind == trustlist.CTL {
		f = phone.CTL
	}
	if f == nil {
		s.say("%v: Not Installed", kind)
		return nil
	}
	s.say("%v: %d bytes, version %v\nMD5  %x\nSHA1 %x\nsigner: %s, serial %s", kind, len(f.Bytes()), f.Version, md5.Sum(f.Bytes()), sha1.Sum(f.Bytes()),
		string(f.Signer.Name), trustlist.FormatSerial(f.Signer.Serial))
	for i := range f.Records {
		r := &f.Records[i]
		s.say("record %d: %v, %s, serial %s", i+1, r.Role(), string(r.Subject()), trustlist.FormatSerial(r.Serial()))
	}
	return nil
}

func (s *Shell) showTVS(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	for i, server := range phone.Settings.TVS {
		s.say("TVS %d: %s", i+1, server)
	}
	if len(phone.Settings.TVS) == 0 {
		s.say("the configuration names no TVS")
	}
	for _, a := range phone.Answers {
		s.say("cached until %s: serial %s of %s", a.Expires.UTC().Format(time.DateTime), trustlist.FormatSerial(a.Question.Serial), a.Question.Issuer)
	}
	return nil
}

func (s *Shell) showConfig(_ context.Context, _ []string) error {
	set := s.phone.Snapshot().Settings
	for _, v := range [][2]string{
		{"settingsAccess", set.Settings}, {"webAccess", set.Web}, {"sshAccess", set.SSH}, {"spanToPCPort", set.SPANToPCPort},
		{"deviceSecurityMode", set.Secure}, {"loadInformation", set.Load}, {"directoryURL", set.Directory}, {"servicesURL", set.Services},
	} {
		s.say("%s %s", v[0], v[1])
	}
	return nil
}

func (s *Shell) showFlash(_ context.Context, _ []string) error {
	if s.opts.Flash == nil {
		return errNone
	}
	var text bytes.Buffer
	err := s.opts.Flash(&text)
	s.sayLines(text.String())
	return err
}

func (s *Shell) showRegistration(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	s.say("%s", phone.Registered())
	if r := phone.Registration; r.Server != "" {
		s.say("since %s, again within %v", r.Since.UTC().Format(time.DateTime), r.Granted)
		if r.Standby != "" {
			s.say("back-up %s", r.Standby)
		}
	}
	if r := phone.Registration; r.Refused > 0 {
		s.say("%d requests refused, the last: %s", r.Refused, r.Refusal)
	}
	return nil
}

func (s *Shell) showAlarms(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	for _, i := range phone.Alarms {
		ctl, itl := "Not Installed", "Not Installed"
		if i.CTL != nil {
			ctl = alarm.Signature(i.CTL)
		}
		if i.ITL != nil {
			itl = alarm.Signature(i.ITL)
		}
		s.say("DeviceTLInfo CTL_Signature=%s ITL_Signature=%s StatusCode=%d", ctl, itl, i.Status)
	}
	s.say("%d waiting, %d dropped", len(phone.Alarms), phone.Dropped)
	return nil
}

func (s *Shell) showNetwork(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	for i, server := range phone.Servers {
		s.say("TFTP server %d: %s", i+1, server)
	}
	use := "No"
	if phone.Network.Alternate {
		use = "Yes"
	}
	s.say("Alternate TFTP: %s (tftp1 %s, tftp2 %s)", use, orNone(phone.Network.TFTP1), orNone(phone.Network.TFTP2))
	for i, m := range phone.Settings.CallManagers {
		s.say("CUCM server%d: %s", i+1, m)
	}
	if s.opts.Network != nil {
		for _, line := range s.opts.Network() {
			s.say("%s", line)
		}
	}
	return nil
}

func (s *Shell) showSystem(_ context.Context, _ []string) error {
	if s.opts.System == nil {
		return errNone
	}
	for _, line := range s.opts.System() {
		s.say("%s", line)
	}
	return nil
}

func orNone(v string) string {
	if v == "" {
		return "none"
	}
	return v
}

// why prints the verdict on each file of the last cycle in the words of the
// decision itself.
func (s *Shell) why(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	r := phone.Last
	if r == nil {
		return errors.New("no cycle has run yet")
	}
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Name == "" {
			continue
		}
		for _, line := range o.Verdict.Describe(o.Name) {
			s.say("%s", line)
		}
		if o.Verdict.Detail != "" {
			s.say("detail: %s", strings.ReplaceAll(o.Verdict.Detail, "\n", "; "))
		}
	}
	reason := r.Reason()
	s.say("phone: %v (%s)", reason, r.Text())
	s.say("%s", r.Summary())
	if next := r.Advice(); next != "" {
		s.say("do: %s", next)
	}
	if err := errors.Join(phone.Damage(holdings.CTL), phone.Damage(holdings.ITL)); err != nil {
		s.say("trusts nothing new: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil
	}
	state := trust.State{CTL: phone.CTL, ITL: phone.ITL, Servers: len(phone.Settings.TVS)}
	for _, line := range state.Trusts() {
		s.say("%s", line)
	}
	return nil
}

func (s *Shell) directory(ctx context.Context, _ []string) error {
	p := s.phone.Directory(ctx)
	if p.Err != nil {
		s.say("%s", agent.HostNotFound)
		for _, line := range p.Why() {
			s.say("%s", line)
		}
		return p.Err
	}
	s.sayLines(string(p.Text))
	return nil
}
