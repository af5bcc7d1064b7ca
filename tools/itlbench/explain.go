package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
	"itlagent/testbench/audit"
	"itlagent/testbench/events"
	"itlagent/testbench/lockout"
	"itlagent/testbench/vaultimage"
)

// explainFlags are what is known of a phone and of a cluster.
type explainFlags struct {
	installed, dirs, tftp         []string
	config, flash, eraseSize      string
	state, page, hash, mac, model string
	p12                           string
	asJSON, all                   bool
	files                         []string
	macGiven, modelGiven          bool
	recalled                      bool // the phone is put together from hashes
}

func runExplain(e *env, args []string) int {
	f := e.flags("explain")
	var x explainFlags
	f.StringArrayVar(&x.installed, "installed", nil, "`LIST` that the phone holds; at most one ITL and one CTL")
	f.StringVar(&x.config, "config", "", "`FILE` with the configuration that the phone holds, for its TVS servers")
	f.StringVar(&x.flash, "flash", "", "`IMAGE` of the phone's flash")
	f.StringVar(&x.eraseSize, "erase-size", "", "`SIZE` of an erase block, where the image does not tell")
	f.StringVar(&x.state, "state", "", "`DIR` that keeps what the phone holds")
	f.StringVar(&x.page, "phone", "", "`URL` of a running phone's pages")
	f.StringVar(&x.hash, "hash", "", "`SHA1` of the phone's ITL, from its alarm or its page")
	f.StringVar(&x.mac, "mac", "", "MAC `address` of the phone; with nothing else, what it reported last is looked up")
	f.StringVar(&x.model, "model", "CP-7965G", "phone `model`")
	f.StringArrayVar(&x.dirs, "dir", nil, "`DIR` of a cluster; the first is the one that serves the phone")
	f.StringArrayVar(&x.tftp, "tftp", nil, "`ADDR` of a TFTP server that the phone is given")
	f.StringVar(&x.p12, "p12", "", "`FILE`: a saved ITLRecovery.p12")
	f.BoolVar(&x.all, "all", false, "print what was tried of no avail, too")
	f.BoolVar(&x.asJSON, "json", false, "print one JSON object")
	const maxFiles = 3
	if code, ok := e.parse(f, args, -maxFiles); !ok {
		return code
	}
	x.files, x.macGiven, x.modelGiven = f.Args(), f.Changed("mac"), f.Changed("model")
	if code := x.check(e); code != exitOK {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, code := e.world(x.dirs)
	if code != exitOK {
		return code
	}
	defer closeWorld(w)
	p, notes, err := x.phone(ctx, w)
	switch {
	case errors.Is(err, lockout.ErrUnknownList), errors.Is(err, errSilentPhone), errors.Is(err, audit.ErrDisputed):
		return e.fail(exitInfra, "explain: nothing can be said: %v", err)
	case err != nil:
		return e.fail(exitNo, "explain: %v", plainPath(err))
	}
	ex, err := x.explain(ctx, w, p)
	if err != nil {
		return e.fail(exitNo, "explain: %v", plainPath(err))
	}
	ex.Notes = append(notes, ex.Notes...)
	if x.asJSON {
		printJSON(e.stdout, explanationOf(ex))
	} else {
		printExplanation(e.stdout, ex, x.all)
	}
	switch reason := ex.Report.Reason(); {
	case reason == trust.DownloadFailed:
		return exitInfra
	case ex.Locked:
		return exitNo
	}
	return exitOK
}

// check reports contradictions.
func (x *explainFlags) check(e *env) int {
	phones := 0
	for _, given := range []bool{len(x.installed) > 0 || x.config != "", x.flash != "", x.state != "", x.page != "", x.hash != ""} {
		if given {
			phones++
		}
	}
	clusters := 0
	for _, given := range []bool{len(x.dirs) > 0, len(x.files) > 0, len(x.tftp) > 0 && len(x.dirs) == 0} {
		if given {
			clusters++
		}
	}
	switch {
	case phones > 1:
		return e.usage("explain: --installed, --flash, --state, --phone and --hash are different ways to say what the phone holds; give one")
	case clusters != 1:
		return e.usage("explain: what the cluster serves is wanted one way: --dir, files, or --tftp")
	case len(x.dirs) == 0 && (x.hash != "" || x.page != "" || phones == 0 && x.macGiven):
		return e.usage("explain: a hash is looked up among the lists that a cluster has served: give its --dir")
	case x.p12 != "" && len(x.dirs) == 0:
		return e.usage("explain: --p12 needs the --dir of the cluster whose key it is")
	}
	return exitOK
}

// world opens the clusters of directories.
func (e *env) world(dirs []string) (lockout.World, int) {
	var w lockout.World
	for _, dir := range dirs {
		c, code := e.openCluster(dir)
		if c == nil {
			closeWorld(w)
			return nil, code
		}
		w = append(w, c)
	}
	return w, exitOK
}

func closeWorld(w lockout.World) {
	for _, c := range w {
		c.Close()
	}
}

// phone finds out what the phone holds.
func (x *explainFlags) phone(ctx context.Context, w lockout.World) (p lockout.Phone, notes []string, err error) {
	mac := strings.TrimPrefix(strings.ToUpper(strings.NewReplacer(":", "", "-", "", ".", "").Replace(x.mac)), "SEP")
	if mac == "" {
		mac = "64A0E71502CC"
		if len(w) > 0 {
			if known := w[0].State().Phones; len(known) > 0 {
				mac = known[0].MAC
			}
		}
	}
	hash := x.hash
	var kept lockout.Kept
	switch {
	case x.flash != "":
		kept, err = readFlash(x.flash, x.eraseSize)
	case x.state != "":
		kept, err = readState(x.state)
	case x.page != "":
		var page phonePage
		if page, err = readPage(ctx, x.page); err == nil {
			return x.recall(w, page.mac, page.itl, page.ctl, page.model)
		}
	case len(x.installed) > 0 || x.config != "":
		kept, err = x.readFiles()
	case hash != "":
		if hash, err = lockout.Hash(hash); err == nil {
			return x.recall(w, mac, hash, "", "")
		}
	case x.macGiven:
		m, ok := audit.ParseMAC("SEP" + mac)
		if !ok {
			return p, nil, fmt.Errorf("MAC address %q is not 12 hex digits", x.mac)
		}
		a, err := reports(w)
		if err != nil {
			return p, nil, err
		}
		last, found, err := a.Last(m)
		switch {
		case err != nil:
			return p, nil, fmt.Errorf("SEP%s: %w", mac, err)
		case !found:
			return p, nil, fmt.Errorf("SEP%s %w", mac, errSilentPhone)
		}
		return x.recall(w, mac, last.ITL.String(), last.CTL.String(), "")
	default:
		kept = lockout.Kept{}
		notes = append(notes, "the phone is taken to be new: it holds nothing")
	}
	if err == nil {
		err = kept.Check()
	}
	if err != nil {
		return p, nil, err
	}
	p = lockout.Phone{MAC: mac, Model: x.model, Kept: kept, Servers: x.tftp}
	if len(p.Servers) == 0 {
		p.Servers = serversOf(w)
	}
	if kept["config"] == nil && (kept["itl"] != nil || kept["ctl"] != nil) {
		notes = append(notes, "the phone's configuration is not known: it is taken to name no TVS; give --config")
	}
	return p, notes, nil
}

// errSilentPhone says that a phone has reported nothing.
var errSilentPhone = errors.New("has not reported a list to the cluster")

func (x *explainFlags) recall(w lockout.World, mac, itl, ctl, model string) (lockout.Phone, []string, error) {
	x.recalled = true
	p, notes, err := w.Recall(mac, itl, ctl)
	if len(x.tftp) > 0 {
		p.Servers = x.tftp
	}
	switch {
	case x.modelGiven:
		p.Model = x.model
	case model != "":
		p.Model = model
	}
	return p, notes, err
}

// serversOf returns the TFTP servers that the phones of the first cluster are given.
func serversOf(w lockout.World) []string {
	if len(w) == 0 {
		return []string{"served"} // files: the server has no name
	}
	return lockout.Servers(w[0])
}

// readFiles reads the files that the phone holds.
func (x *explainFlags) readFiles() (lockout.Kept, error) {
	kept := make(lockout.Kept)
	for _, path := range x.installed {
		list, err := openTrustFile(path)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(list.Kind.String())
		switch {
		case !list.Kind.IsList():
			return nil, fmt.Errorf("%s: it is a %v, and phones hold an ITL and a CTL", path, list.Kind)
		case kept[key] != nil:
			return nil, fmt.Errorf("%s: a second %v: a phone holds one", path, list.Kind)
		}
		kept[key] = list.Bytes()
	}
	if x.config != "" {
		data, err := readTrustFile(x.config)
		if err != nil {
			return nil, err
		}
		if !trust.Plain(data) {
			f, err := trustlist.Parse(trustlist.SGN, data)
			if err != nil {
				return nil, fmt.Errorf("%s: neither XML nor a signed file: %w", x.config, err)
			}
			data = f.Content()
		}
		if _, err := settings.Parse(data); err != nil {
			return nil, fmt.Errorf("%s: %w", x.config, err)
		}
		kept["config"] = data
	}
	return kept, nil
}

// readFlash reads what the phone holds out of an image of its flash.
func readFlash(path, eraseSize string) (lockout.Kept, error) {
	erase := 0
	if eraseSize != "" {
		var err error
		if erase, err = parseSize(eraseSize); err != nil {
			return nil, err
		}
	}
	data, err := readImage(path)
	if err != nil {
		return nil, err
	}
	img, err := vaultimage.Read(data, erase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	kept := make(lockout.Kept)
	for i := range img.Keys {
		k := &img.Keys[i]
		for _, key := range holdings.Deciding() {
			if k.Name != key {
				continue
			}
			if k.Degraded() {
				return nil, fmt.Errorf("%s: the newest value of %s is damaged: the phone itself does not know what it holds", path, key)
			}
			if !k.Deleted {
				kept[key] = k.Value
			}
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("%s: %w", path, lockout.ErrNothingKept)
	}
	return kept, nil
}

// readState reads what the phone holds out of its directory.
func readState(dir string) (lockout.Kept, error) {
	store, err := filestore.OpenReadOnly(dir) // the phone may be running
	if err != nil {
		return nil, err
	}
	kept, err := holdings.Read(store)
	if err == nil && len(kept) == 0 {
		err = fmt.Errorf("%s: %w", dir, lockout.ErrNothingKept)
	}
	return kept, err
}

// phonePage is what a phone's own pages tell.
type phonePage struct{ mac, model, itl, ctl string }

// readPage reads a phone's pages.
func readPage(ctx context.Context, url string) (p phonePage, err error) {
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	get := func(name string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(url, "/")+"/CGI/Java/Serviceability?adapter="+name, nil)
		if err != nil {
			return "", err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		const maxPage = 256 << 10
		body, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", name, res.Status)
		}
		return string(body), err
	}
	device, err := get("device.statistics.device")
	if err != nil {
		return p, err
	}
	network, err := get("device.statistics.configuration")
	if err != nil {
		return p, err
	}
	p.mac, p.model = strings.ToUpper(pageRow(device, "MAC address")), pageRow(device, "Model number")
	signature := pageRow(network, "ITL signature")
	if p.mac == "" || signature == "" {
		return p, fmt.Errorf("%s: not the pages of a phone with trust lists", url)
	}
	if p.itl, err = lockout.Hash(signature); err == nil {
		p.ctl, err = lockout.Hash(pageRow(network, "CTL signature"))
	}
	return p, err
}

// pageRow returns the value behind a label of a phone's page.
func pageRow(page, label string) string {
	m := regexp.MustCompile(`(?is)<B>\s*` + regexp.QuoteMeta(label) + `\s*</B>.*?<B>(.*?)</B>`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return strings.TrimSpace(html.UnescapeString(m[1]))
}

// reports reads what phones have reported to clusters.
func reports(w lockout.World) (*audit.Audit, error) {
	a := audit.New()
	for _, c := range w {
		if c.Dir() == "" {
			continue // one that exists on paper alone
		}
		for _, path := range events.Files(filepath.Join(c.Dir(), "events.log")) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			err = a.Read(f, nil)
			f.Close()
			if err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

// explain asks the cluster of directories, of files, or of the network.
func (x *explainFlags) explain(ctx context.Context, w lockout.World, p lockout.Phone) (*lockout.Explanation, error) {
	switch {
	case len(w) > 0:
		hints := lockout.Hints{Open: x.recalled}
		if x.p12 != "" {
			data, err := readTrustFile(x.p12)
			if err != nil {
				return nil, err
			}
			hints.P12 = data
		}
		return lockout.Explain(ctx, w, p, hints)
	case len(x.files) == 0:
		return lockout.ExplainServed(ctx, &lockout.Network{Network: boot.Network{Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP}}, p)
	}
	served := lockout.Files{At: time.Now(), Dial: new(net.Dialer).DialContext}
	for _, path := range x.files {
		data, err := readTrustFile(path)
		if err != nil {
			return nil, err
		}
		to := &served.Config
		if kind, err := trustlist.Recognise(data); err == nil && kind == trustlist.ITL {
			to = &served.ITL
		} else if err == nil && kind == trustlist.CTL {
			to = &served.CTL
		} else if err != nil && !trust.Plain(data) {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if *to != nil {
			return nil, fmt.Errorf("%s: a second file of its kind", path)
		}
		*to = data
	}
	return lockout.ExplainServed(ctx, served, p)
}

// wayJSON and explanationJSON are the object that `explain --json` prints.
type wayJSON struct {
	Name     string   `json:"name"`
	What     string   `json:"what"`
	Commands []string `json:"commands"`
	Touch    bool     `json:"touch"`
	Works    bool     `json:"works"`
	Outcome  string   `json:"outcome"`
	Later    string   `json:"later"` // reason after the next ordinary start of TFTP; "" where that changes nothing
}

type explanationJSON struct {
	Device     string      `json:"device"`
	Locked     bool        `json:"locked"`
	Reason     string      `json:"reason"`
	Text       string      `json:"text"`
	File       string      `json:"file"`
	Signer     signerJSON  `json:"signer"`
	Server     string      `json:"server"`
	Detail     string      `json:"detail"`
	Steps      []stepJSON  `json:"steps"`
	Ways       []wayJSON   `json:"ways"`
	Vain       []wayJSON   `json:"vain"`
	TouchOnly  bool        `json:"touchOnly"` // no way but at the phone itself
	Notes      []string    `json:"notes"`
	Trusts     []string    `json:"trusts"`
	ITL        outcomeJSON `json:"itl"`
	CTL        outcomeJSON `json:"ctl"`
	ConfigFile outcomeJSON `json:"config"`
}

func explanationOf(ex *lockout.Explanation) explanationJSON {
	r := reportOf(ex.Report)
	out := explanationJSON{
		Device: r.Device, Locked: ex.Locked, Reason: r.Reason, Text: ex.Report.Reason().Text(), Steps: []stepJSON{},
		Ways: []wayJSON{}, Vain: []wayJSON{}, TouchOnly: ex.TouchOnly(), Notes: append([]string{}, ex.Notes...),
		Trusts: trusts(ex), ITL: r.ITL, CTL: r.CTL, ConfigFile: r.Config,
	}
	if o := ex.Refused(); o != nil {
		out.File, out.Server, out.Detail = o.Name, o.Server, o.Verdict.Detail
		if f := o.Verdict.File; f != nil {
			out.Signer = signerOf(f.Signer)
		}
		for _, s := range o.Verdict.Steps {
			out.Steps = append(out.Steps, stepJSON{s.Where, s.Record, s.Result.String(), s.Detail})
		}
	}
	for _, list := range []struct {
		from []lockout.Way
		to   *[]wayJSON
	}{{ex.Ways, &out.Ways}, {ex.Vain, &out.Vain}} {
		for i := range list.from {
			w := &list.from[i]
			j := wayJSON{Name: w.Name, What: w.What, Commands: []string{}, Touch: w.Touch, Works: w.Works, Outcome: w.Outcome()}
			for _, c := range w.Commands {
				j.Commands = append(j.Commands, c.String())
			}
			if w.Later != nil {
				j.Later = w.Later.Reason().String()
			}
			*list.to = append(*list.to, j)
		}
	}
	return out
}

// trusts says whom the phone trusts now.
func trusts(ex *lockout.Explanation) []string {
	r := ex.Report
	s := trust.State{CTL: r.HeldCTL, ITL: r.HeldITL, Servers: len(r.Settings.TVS)}
	return s.Trusts()
}

// printExplanation says in the first lines what is wrong and what to do.
func printExplanation(w io.Writer, ex *lockout.Explanation, all bool) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	reason := ex.Report.Reason()
	line("%s", ex.Report.Summary())
	if !ex.Locked {
		for _, o := range []*boot.Outcome{&ex.Report.CTL, &ex.Report.ITL, &ex.Report.Config} {
			if o.Name != "" {
				line("%s", outcomeLine(o))
			}
		}
		printNotes(w, ex)
		return
	}
	refused := ex.Refused()
	if refused != nil {
		from := ""
		if f := refused.Verdict.File; f != nil {
			from = fmt.Sprintf(", signed by %s, serial %s", trustlist.Printable(f.Signer.Name), trustlist.FormatSerial(f.Signer.Serial))
		}
		line("refused: %s%s", refused.Name, from)
	}
	switch {
	case ex.Partial:
		line("to do: %s", reason.Advice())
	case len(ex.Ways) == 0:
		line("to do: %s", reason.Advice())
		line("no way back was found among those that could be tried")
	default:
		best := &ex.Ways[0]
		line("to do: %s", best.What)
		for _, c := range best.Commands {
			line("       %s", c)
		}
		line("       then reset the phone: %s", best.Outcome())
		if ex.TouchOnly() {
			line("nothing but touching the phone helps")
		} else {
			line("nobody has to touch the phone")
		}
	}
	line("\nwhat was tried:")
	for _, o := range []*boot.Outcome{&ex.Report.CTL, &ex.Report.ITL, &ex.Report.Config} {
		if o.Name == "" {
			continue
		}
		line("  %s: %v [%s]", o.Name, o.Verdict.Reason, strings.TrimSpace(o.Transport+" "+o.Server))
		for _, s := range o.Verdict.Steps {
			line("    %s", s)
		}
	}
	for _, b := range trusts(ex) {
		line("  the phone %s", b)
	}
	for i := range ex.Ways {
		way := &ex.Ways[i]
		if i == 0 {
			where := "each tried on a copy of the cluster"
			if ex.Partial {
				where = "as far as could be tried here"
			}
			line("\nways back, cheapest first, %s:", where)
		}
		touch := ""
		if way.Touch {
			touch = " (at the phone)"
		}
		line("  %d. %s%s", i+1, way.What, touch)
		for _, c := range way.Commands {
			line("       %s", c)
		}
		line("     then reset the phone: %s", way.Outcome())
		switch {
		case way.Later == nil:
		case way.Later.Reason() == trust.Accepted:
			line("     then restart Cisco Tftp on every node and reset the phone again: it follows")
		default:
			line("     an ordinary restart of Cisco Tftp would lock the phone again: %v", way.Later.Reason())
		}
	}
	if all {
		line("\nof no avail:")
		for i := range ex.Vain {
			line("  %s: %s", ex.Vain[i].What, strings.ReplaceAll(ex.Vain[i].Outcome(), "\n", "; "))
		}
	}
	printNotes(w, ex)
}

func printNotes(w io.Writer, ex *lockout.Explanation) {
	for i, n := range ex.Notes {
		if i == 0 {
			fmt.Fprintln(w, "\nnot known:")
		}
		fmt.Fprintf(w, "  %s\n", n)
	}
}
