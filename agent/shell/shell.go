// Package shell is the debug shell of a phone, on its serial console: what the
// phone holds, why it trusts or distrusts its cluster, and the ways to change
// that by hand.
//
//	s := shell.New(phone, console, shell.Options{Reset: reset})
//	s.Loop(ctx)
//
// A shell asks for a login where the phone's configuration sets one. It is for
// one user; the phone goes on beside it. No input makes it fail: what is not a
// command gets one line. The commands are this project's; what they print is
// named as on phones.
package shell

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"itlagent/agent"
	"itlagent/agent/alarm"
	"itlagent/agent/boot"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/platform/console"
)

// Prompt is what the shell asks for commands with.
const Prompt = "$ "

// Options join a shell to what is around its phone. Fields that are nil leave
// their command out of use.
type Options struct {
	Reset   func()                  // the phone resets: another cycle
	Restart func()                  // the whole program starts again
	Flash   func(w io.Writer) error // tells of the flash
	Trace   *Trace                  // what trace on shows
	Network func() (lines []string) // more lines of show network
	System  func() (lines []string) // the lines of show system
}

// Shell is one user's shell.
type Shell struct {
	phone *agent.Agent
	io    console.Console
	opts  Options
}

// New returns a shell of a phone.
func New(a *agent.Agent, c console.Console, o Options) *Shell { return &Shell{a, c, o} }

type command struct {
	words string
	args  string
	about string
	run   func(s *Shell, ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"show status", "", "the phone, its lists, and what came of the last cycle", (*Shell).showStatus},
		{"show messages", "", "the status messages", (*Shell).showMessages},
		{"show itl", "", "the ITL in force", func(s *Shell, _ context.Context, _ []string) error { return s.showList(trustlist.ITL) }},
		{"show ctl", "", "the CTL in force", func(s *Shell, _ context.Context, _ []string) error { return s.showList(trustlist.CTL) }},
		{"show tvs", "", "the TVS servers, and the answers that are remembered", (*Shell).showTVS},
		{"show config", "", "the settings in force", (*Shell).showConfig},
		{"show flash", "", "the state of the flash", (*Shell).showFlash},
		{"show alarms", "", "the alarms that wait for a server", (*Shell).showAlarms},
		{"show network", "", "the servers that are asked", (*Shell).showNetwork},
		{"show system", "", "the board: uptime and memory", (*Shell).showSystem},
		{"why", "", "the last verdict on each file, its reason, the path to it, and what to do", (*Shell).why},
		{"directory", "", "open the directory of the configuration", (*Shell).directory},
		{"erase itl", "", "delete the ITL", func(s *Shell, _ context.Context, _ []string) error { return s.phone.Erase(trustlist.ITL) }},
		{"erase ctl", "", "delete the CTL", func(s *Shell, _ context.Context, _ []string) error { return s.phone.Erase(trustlist.CTL) }},
		{"clear messages", "", "empty the list of status messages", func(s *Shell, _ context.Context, _ []string) error { return s.phone.ClearMessages() }},
		{"reset", "", "fetch lists and configuration again", (*Shell).reset},
		{"restart", "", "start the phone's program again", (*Shell).restart},
		{"factory-reset", "", "delete all but what the phone was made with", (*Shell).factoryReset},
		{"set tftp1", "HOST[:PORT]|none", "the first alternate TFTP server", func(s *Shell, _ context.Context, a []string) error { return s.setTFTP(1, a[0]) }},
		{"set tftp2", "HOST[:PORT]|none", "the second alternate TFTP server", func(s *Shell, _ context.Context, a []string) error { return s.setTFTP(2, a[0]) }},
		{"set alttftp", "yes|no", "use the alternate TFTP servers", func(s *Shell, _ context.Context, a []string) error { return s.setAlternate(a[0]) }},
		{"trace on", "", "show what the phone does", func(s *Shell, _ context.Context, _ []string) error { return s.trace(true) }},
		{"trace off", "", "show it no more", func(s *Shell, _ context.Context, _ []string) error { return s.trace(false) }},
	}
}

// Complete returns what a line can be completed to.
func Complete(line string) (string, []string) {
	words := []string{"help", "exit"}
	for _, c := range commands() {
		words = append(words, c.words)
	}
	return console.CompleteWords(words, line)
}

var (
	errUsage = errors.New("no such command; try help")
	errNone  = errors.New("not available here")
)

// maxTries is how often a login may fail before the shell ends.
const maxTries = 3

// Loop asks for a login and then for commands, until exit, the end of input, or
// the end of the context.
func (s *Shell) Loop(ctx context.Context) {
	if !s.login() {
		return
	}
	for ctx.Err() == nil {
		line, err := s.io.Ask(Prompt, console.Shown)
		if err != nil {
			return
		}
		if strings.TrimSpace(line) == "exit" {
			return
		}
		s.Run(ctx, line)
	}
}

// login asks for the user and password of the configuration, if it sets one.
func (s *Shell) login() bool {
	for range maxTries {
		set := s.phone.Snapshot().Settings
		if set.ShellUser == "" {
			return true
		}
		user, err := s.io.Ask("log in: ", console.Shown)
		if err != nil {
			return false
		}
		password, err := s.io.Ask("password: ", console.Hidden)
		if err != nil {
			return false
		}
		want, got := sha1.Sum([]byte(set.ShellUser+"\x00"+set.ShellPassword)), sha1.Sum([]byte(user+"\x00"+password))
		if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return true
		}
		s.say("Login incorrect")
	}
	return false
}

// Run runs one command. It reports whether that succeeded.
func (s *Shell) Run(ctx context.Context, line string) bool {
	words := strings.Fields(line)
	if len(words) == 0 {
		return true
	}
	err := s.run(ctx, words)
	if err != nil {
		s.say("%s: %v", trustlist.Printable([]byte(words[0])), err)
	}
	return err == nil
}

func (s *Shell) run(ctx context.Context, words []string) error {
	if words[0] == "help" || words[0] == "?" {
		for _, c := range commands() {
			s.say("%-32s %s", strings.TrimSpace(c.words+" "+c.args), c.about)
		}
		s.say("%-32s %s", "exit", "end the session")
		return nil
	}
	for _, c := range commands() {
		name := strings.Fields(c.words)
		if len(words) < len(name) || !slices.Equal(words[:len(name)], name) {
			continue
		}
		args := words[len(name):]
		want := 0
		if c.args != "" {
			want = 1
		}
		if len(args) != want {
			return fmt.Errorf("usage: %s", strings.TrimSpace(c.words+" "+c.args))
		}
		return c.run(s, ctx, args)
	}
	return errUsage
}

func (s *Shell) say(format string, args ...any) { fmt.Fprintf(s.io, format+"\n", args...) }

func (s *Shell) showStatus(_ context.Context, _ []string) error {
	phone := s.phone.Snapshot()
	s.say("%s %s firmware %s", phone.Model.Name, phone.Device, phone.Model.Firmware)
	for _, l := range []struct {
		name string
		file *trustlist.File
	}{{"CTL", phone.CTL}, {"ITL", phone.ITL}} {
		if l.file == nil {
			s.say("%s: Not Installed", l.name)
			continue
		}
		sum := sha1.Sum(l.file.Bytes())
		s.say("%s: %d bytes, signed by %s", l.name, len(l.file.Bytes()), trustlist.Printable(l.file.Signer.Name))
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
	s.say("reason: %v (%s)", r.Reason(), r.Reason().Text())
	for _, m := range r.Messages {
		s.say("shown: %s", trustlist.Printable([]byte(m)))
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
		s.say("%s %s%s", phone.Model.LogStamp(e.Last), trustlist.Printable([]byte(e.Text)), times)
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
		trustlist.Printable(f.Signer.Name), trustlist.FormatSerial(f.Signer.Serial))
	for i := range f.Records {
		r := &f.Records[i]
		s.say("record %d: %v, %s, serial %s", i+1, r.Role(), trustlist.Printable(r.Subject()), trustlist.FormatSerial(r.Serial()))
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
		s.say("cached until %s: serial %s of %s", a.Expires.UTC().Format(time.DateTime), trustlist.FormatSerial(a.Question.Serial), trustlist.Printable([]byte(a.Question.Issuer)))
	}
	return nil
}

func (s *Shell) showConfig(_ context.Context, _ []string) error {
	set := s.phone.Snapshot().Settings
	for _, v := range [][2]string{
		{"settingsAccess", set.Settings}, {"webAccess", set.Web}, {"sshAccess", set.SSH}, {"spanToPCPort", set.SPANToPCPort},
		{"deviceSecurityMode", set.Secure}, {"loadInformation", set.Load}, {"directoryURL", set.Directory}, {"servicesURL", set.Services},
	} {
		s.say("%s %s", v[0], trustlist.Printable([]byte(v[1])))
	}
	return nil
}

func (s *Shell) showFlash(_ context.Context, _ []string) error {
	if s.opts.Flash == nil {
		return errNone
	}
	return s.opts.Flash(s.io)
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
			s.say("detail: %s", trustlist.Printable([]byte(strings.ReplaceAll(o.Verdict.Detail, "\n", "; "))))
		}
	}
	reason := r.Reason()
	s.say("phone: %v (%s)", reason, reason.Text())
	s.say("%s", r.Summary())
	if next := reason.Advice(); next != "" {
		s.say("do: %s", next)
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
		for _, line := range p.Verdict.Describe(p.URL) {
			s.say("%s", line)
		}
		return p.Err
	}
	s.say("%s", trustlist.Printable(p.Text))
	return nil
}

func (s *Shell) reset(_ context.Context, _ []string) error {
	if s.opts.Reset == nil {
		return errNone
	}
	s.opts.Reset()
	return nil
}

func (s *Shell) restart(_ context.Context, _ []string) error {
	if s.opts.Restart == nil {
		return errNone
	}
	s.opts.Restart()
	return nil
}

func (s *Shell) factoryReset(_ context.Context, _ []string) error {
	answer, err := s.io.Ask("delete lists, configuration and settings (yes|no)? ", console.Shown)
	if err != nil || strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed")
	}
	return s.phone.FactoryReset()
}

func (s *Shell) setTFTP(n int, server string) error {
	if server == "none" {
		server = ""
	}
	network := s.phone.Snapshot().Network
	if n == 1 {
		network.TFTP1 = server
	} else {
		network.TFTP2 = server
	}
	network.Alternate = network.Alternate && network.TFTP1+network.TFTP2 != ""
	return s.phone.SetNetwork(network)
}

func (s *Shell) setAlternate(word string) error {
	if word != "yes" && word != "no" {
		return errors.New("yes or no")
	}
	network := s.phone.Snapshot().Network
	network.Alternate = word == "yes"
	return s.phone.SetNetwork(network)
}

func (s *Shell) trace(on bool) error {
	if s.opts.Trace == nil {
		return errNone
	}
	if on {
		s.opts.Trace.To(s.io)
	} else {
		s.opts.Trace.To(nil)
	}
	return nil
}

// Trace is a log that a shell can show, in the form of the phone's own console
// lines. The zero value shows nothing. It is safe for concurrent use.
type Trace struct {
	Line func(n int, text string) string // as model.Trace writes it

	mu sync.Mutex
	n  int
	to io.Writer
}

// To shows the log on a writer from now on; nil shows it no more.
func (t *Trace) To(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.to = w
}

// Logf adds a line.
func (t *Trace) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	if t.to == nil {
		return
	}
	text := trustlist.Printable([]byte(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")))
	if t.Line != nil {
		text = t.Line(t.n, text)
	}
	fmt.Fprintln(t.to, text)
}
