package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/evidence/showtext"
	"itlagent/testbench/listing"
	"itlagent/testbench/p12"
	"itlagent/testbench/vaultimage"
	"itlagent/testbench/wording"
)

// show shows a file of any kind.
func (s *shower) show(it *recogniser.Item) int {
	switch {
	case it.Err != nil:
		s.w.Flush()
		return s.e.fail(exitNo, "%s: %v", it.Name, it.Err)
	case it.File != nil:
		return s.trustFile(it)
	}
	switch it.Kind {
	case recogniser.ListText:
		return s.listText(it)
	case recogniser.Certificates:
		return s.certificates(it, it.Certificates)
	case recogniser.PKCS12:
		return s.pkcs12(it)
	case recogniser.Configuration:
		return s.configuration(it)
	case recogniser.Page:
		return s.page(it)
	case recogniser.AlarmLog, recogniser.ConsoleLog:
		return s.log(it)
	case recogniser.Capture:
		return s.capture(it)
	case recogniser.VaultImage:
		return s.image(it)
	case recogniser.Empty:
		s.w.Flush()
		return s.e.fail(exitNo, "%s: offset 0: empty file", it.Name)
	case recogniser.Unknown:
		s.w.Flush()
		return s.e.fail(exitNo, "%s: offset 0: it is %s", it.Name, it.About)
	}
	return s.plain(it, struct{}{})
}

// object prints a JSON object; of several files each has its name first.
func (s *shower) object(it *recogniser.Item, v any) {
	if !s.many {
		printJSON(s.w, v)
		return
	}
	var b bytes.Buffer
	printJSON(&b, v)
	name, _ := json.Marshal(it.Name)
	rest := strings.TrimPrefix(b.String(), "{")
	if rest != "}\n" {
		rest = "," + rest
	}
	fmt.Fprintf(s.w, "{\"file\":%s%s", wording.EscapeJSON(string(name)), rest)
}

// plain prints what a file is, and nothing of what is in it.
func (s *shower) plain(it *recogniser.Item, _ any) int {
	switch {
	case s.json:
		s.object(it, struct {
			Kind  string `json:"kind"`
			About string `json:"about"`
		}{string(it.Kind), it.About})
	case !s.many:
		fmt.Fprintln(s.w, it.About)
	}
	return exitOK
}

// listTextJSON is a list as far as its print tells.
type listTextJSON struct {
	*listing.File
	From     string   `json:"from"`
	Printed  string   `json:"printed"`
	Warnings []string `json:"warnings"`
}

func (s *shower) listText(it *recogniser.Item) int {
	for _, l := range it.Lists {
		if s.json {
			l.Reason = trust.UnknownSigner.String()
			s.object(it, listTextJSON{&l.File, string(recogniser.ListText), l.Printed, append([]string{}, l.Warnings...)})
			continue
		}
		l.Write(s.w)
		s.w.Flush()
		warnText(s.e, it.Name, l)
	}
	return exitOK
}

// warnText prints the lines of a text that do not fit.
func warnText(e *env, name string, l *showtext.List) {
	for _, w := range l.Warnings {
		fmt.Fprintln(e.stderr, printable.Text(fmt.Sprintf("itlbench: warning: %s: %s", name, w)))
	}
}

// certificateJSON is what `show --json` prints of a certificate.
type certificateJSON struct {
	Kind      string `json:"kind"`
	Subject   string `json:"subject"`
	Issuer    string `json:"issuer"`
	Serial    string `json:"serial"`
	Key       string `json:"key"`
	NotBefore int64  `json:"notBefore"`
	NotAfter  int64  `json:"notAfter"`
	SHA1      string `json:"sha1"`
}

func certificateOf(c *x509.Certificate) certificateJSON {
	key := fmt.Sprintf("%T", c.PublicKey)
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		key = fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		key = "EC, " + k.Params().Name
	}
	sum := sha1.Sum(c.Raw)
	return certificateJSON{string(recogniser.Certificates), trustlist.FormatName(c.Subject), trustlist.FormatName(c.Issuer),
		trustlist.FormatSerial(c.SerialNumber.Bytes()), key, c.NotBefore.Unix(), c.NotAfter.Unix(), hex.EncodeToString(sum[:])}
}

func (s *shower) certificates(it *recogniser.Item, certs []*x509.Certificate) int {
	for _, c := range certs {
		j := certificateOf(c)
		if s.json {
			s.object(it, j)
			continue
		}
		const day = time.DateTime
		fmt.Fprintf(s.w, "certificate of %s\n  issuer: %s\n  serial: %s\n  key:    %s\n  valid:  %s to %s UTC\n  SHA-1:  %s\n", printable.Text(j.Subject), printable.Text(j.Issuer),
			j.Serial, j.Key, c.NotBefore.UTC().Format(day), c.NotAfter.UTC().Format(day), j.SHA1)
	}
	return exitOK
}

func (s *shower) pkcs12(it *recogniser.Item) int {
	if !s.hasPassword {
		return s.plain(it, nil)
	}
	id, err := p12.Open(it.Data, s.password)
	if err == nil {
		return s.certificates(it, []*x509.Certificate{id.Certificate})
	}
	certs, err2 := p12.OpenTrustStore(it.Data, s.password)
	if err2 != nil {
		s.w.Flush()
		return s.e.fail(exitNo, "%s: %v", it.Name, err)
	}
	return s.certificates(it, certs)
}

func (s *shower) configuration(it *recogniser.Item) int {
	c := &it.Settings
	out := struct {
		Kind     string   `json:"kind"`
		Device   string   `json:"device"`
		Default  bool     `json:"default"`
		TVS      []string `json:"tvs"`
		Managers []string `json:"callManagers"`
		Secure   string   `json:"securityMode"`
		Settings string   `json:"settingsAccess"`
		Web      string   `json:"webAccess"`
		Encrypt  bool     `json:"encrypted"`
		Warnings []string `json:"warnings"`
	}{string(it.Kind), c.Name, c.Default, append([]string{}, c.TVS...), append([]string{}, c.CallManagers...), c.SecurityMode().String(), word(c.SettingsAccess()), word(c.WebAccess()), c.Encrypt,
		append([]string{}, c.Warnings...)}
	if s.json {
		s.object(it, out)
		return exitOK
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(s.w, "  %-15s %s\n", name, printable.Text(value))
		}
	}
	fmt.Fprintln(s.w, it.About)
	line("device", c.Name)
	line("TVS", strings.Join(c.TVS, " "))
	line("call managers", strings.Join(c.CallManagers, " "))
	line("security mode", out.Secure)
	line("settings menu", out.Settings)
	line("web access", out.Web)
	if c.Encrypt {
		line("encrypted", "the whole one is in the .enc.sgn file")
	}
	for _, w := range c.Warnings {
		line("warning", w)
	}
	return exitOK
}

// word is what a configuration says about access, "not said" where nothing.
func word(a settings.Access) string {
	if a == settings.AccessUnset {
		return "not said"
	}
	return a.String()
}

func (s *shower) page(it *recogniser.Item) int {
	p := evidence.ReadPage(it.Data)
	if s.json {
		s.object(it, struct {
			Kind string `json:"kind"`
			evidence.Page
		}{string(it.Kind), p})
		return exitOK
	}
	fmt.Fprintln(s.w, it.About)
	for _, row := range [][2]string{{"device", p.Device}, {"model", p.Model}, {"ITL", p.ITL}, {"CTL", p.CTL}} {
		if row[1] != "" {
			fmt.Fprintf(s.w, "  %-8s %s\n", row[0], printable.Text(row[1]))
		}
	}
	for _, m := range p.Messages {
		fmt.Fprintf(s.w, "  %s\n", printable.Text(m))
	}
	return exitOK
}

// log shows how much is in a log.
func (s *shower) log(it *recogniser.Item) int {
	if it.Kind != recogniser.AlarmLog {
		return s.plain(it, nil)
	}
	r := evidence.New()
	if err := readReports(r, it, nil); err != nil {
		return s.e.fail(exitInfra, "%s: %v", it.Name, err)
	}
	if s.json {
		s.object(it, struct {
			Kind     string `json:"kind"`
			Lines    int    `json:"lines"`
			Reports  int    `json:"reports"`
			Phones   int    `json:"phones"`
			Unusable int    `json:"unusable"`
		}{string(it.Kind), r.Lines, r.Count, r.Len(), r.Unusable + r.Long})
		return exitOK
	}
	fmt.Fprintf(s.w, "%s: %d lines, %d reports of %s\n", it.About, r.Lines, r.Count, evidence.Count(r.Len()))
	return exitOK
}

func (s *shower) image(it *recogniser.Item) int {
	img, err := vaultimage.Read(it.Data, 0)
	if err != nil {
		return s.e.fail(exitNo, "%s: %v", it.Name, err)
	}
	if s.json {
		s.object(it, describeImage(img))
	} else {
		printImage(s.w, img)
	}
	return exitOK
}

// readReports reads the alarms of a log, or one that was saved as XML.
func readReports(r *evidence.Reports, it *recogniser.Item, progress func(int)) error {
	if it.Data != nil {
		return r.ReadAlarm(it.Data)
	}
	in, err := it.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	return r.Read(in, progress)
}
