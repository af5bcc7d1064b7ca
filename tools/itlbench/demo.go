package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/image"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/vaultimage"
	"itlagent/testbench/wording"
)

// runDemo shows how a phone is locked out by two certificate changes and recovered with
// the recovery key. Every sentence that states a fact is checked.
func runDemo(e *env, args []string) int {
	f := e.flags("demo")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	dir, err := os.MkdirTemp("", "itlagent-demo-")
	if err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	defer os.RemoveAll(dir)
	s := &demo{out: e.stdout}
	defer s.close()
	if err := s.setUp(dir); err != nil {
		return e.fail(exitInfra, "demo: %v", err)
	}
	if err := s.run(ctx); err != nil {
		var unmet unmetError
		if errors.As(err, &unmet) {
			return e.fail(exitNo, "demo: not as expected: %v", err)
		}
		return e.fail(exitInfra, "demo: %v", err)
	}
	fmt.Fprintf(e.stdout, "\nDone: %d cycles, %d files fetched, %d lists and configurations accepted, %d rejected, %d expectations held, %.1f s.\n",
		s.cycles, s.files, s.accepted, s.rejected, s.held, time.Since(begin).Seconds())
	h := s.vault.Health()
	fmt.Fprintf(e.stdout, "The phone's flash: %d erase blocks of 64 KiB raw NOR, %d updates, each block erased %d to %d times.\n",
		h.Blocks, h.Sequence, h.MinWear, h.MaxWear)
	return exitOK
}

// unmetError is an expectation that did not hold.
type unmetError string

func (e unmetError) Error() string { return string(e) }

// demo is the cluster, the phone, and what has been counted.
type demo struct {
	out     io.Writer
	cluster *cluster.Cluster
	phone   *agent.Agent
	booted  chan *boot.Report // of the phone that runs
	unplug  func()            // ends it; nil where it is not plugged in
	image   string            // the file of flash
	flash   *image.Device
	vault   *vault.Vault
	mac     string

	cycles, files, accepted, rejected, held, chapter int
}

func (s *demo) setUp(dir string) error {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		return err
	}
	s.cluster = c
	if err := c.Start(); err != nil {
		return err
	}
	s.image = filepath.Join(dir, "phone.img")
	if s.flash, err = image.Open(s.image, flash.Geometry{Size: 256 << 10, EraseSize: 64 << 10, ProgramSize: 1}); err != nil {
		return err
	}
	if s.vault, err = vault.Open(s.flash, vault.Options{Rand: rand.Reader, Format: vault.FormatErased}); err != nil {
		return err
	}
	spec := profile.Note().Phones[0]
	s.mac = spec.MAC
	var servers []string
	for _, n := range c.Nodes() {
		servers = append(servers, n.Address())
	}
	s.phone, err = agent.New(agent.Config{
		MAC: spec.MAC, Model: spec.Model, Servers: servers, Store: s.vault, Messages: s.vault,
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now, Rand: rand.Reader,
	})
	return err
}

func (s *demo) close() {
	if s.unplug != nil {
		s.unplug()
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
	if s.flash != nil {
		s.flash.Close()
	}
}

// title begins a chapter.
func (s *demo) title(text string) {
	s.chapter++
	fmt.Fprintf(s.out, "\n%d. %s\n", s.chapter, text)
}

func (s *demo) say(format string, args ...any) { fmt.Fprintf(s.out, "   "+format+"\n", args...) }

// expect states a fact and checks it.
func (s *demo) expect(ok bool, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if !ok {
		s.say("NOT SO: %s", text)
		return unmetError(text)
	}
	s.held++
	s.say("ok: %s", text)
	return nil
}

// showITL prints who signs the list that the publisher serves.
func (s *demo) showITL() *trustlist.File {
	list, err := trustlist.Parse(trustlist.ITL, s.cluster.Publisher().ITL())
	if err != nil {
		s.say("%v", err)
		return &trustlist.File{}
	}
	s.say("show itl: %d bytes, header %d, signed by %s", len(list.Bytes()), list.Length, list.Signer.Name)
	return list
}

func message(r *boot.Report, text string) bool {
	return len(r.Messages) > 0 && r.Messages[0] == text
}

// run runs the chapters. It stops at the first expectation that does not hold.
func (s *demo) run(ctx context.Context) error {
	for _, chapter := range []func() error{
		s.firstBoot, s.changedSetting, s.callManagerAlone, s.bothRegenerated, s.recovery, s.backToNormal, s.postMortem,
	} {
		if err := chapter(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (s *demo) firstBoot() error {
	s.title("A new phone boots and installs the trust list of its cluster.")
	for _, n := range s.cluster.Nodes() {
		s.say("%s: HTTP and TFTP %s, TVS %s", n.State().FQDN(), n.Address(), n.TVSAddress())
	}
	list := s.showITL()
	if err := s.expect(len(list.Bytes()) == 5302 && list.Length == 324, "the list has the 5302 bytes of the note, 324 of them header"); err != nil {
		return err
	}
	r, err := s.plug()
	if err != nil {
		return err
	}
	if err := s.expect(message(r, "ITL installed") && r.ITL.Verdict.Via == trust.ViaFirstUse, "the first list is taken on trust: ITL installed"); err != nil {
		return err
	}
	return s.expect(r.Config.Verdict.Accepted && r.Config.Verdict.Via == trust.ViaITL, "the signed configuration is vouched for by that list")
}

// set changes a setting on the cluster, resets the phone, and returns the value
// that is in force there.
func (s *demo) set(name, value string) (string, *boot.Report, error) {
	if err := s.cluster.Apply(operation.Set(s.mac, name, value)); err != nil {
		return "", nil, err
	}
	s.say("administrator sets %s to %s", name, value)
	r, err := s.reset()
	if err != nil {
		return "", nil, err
	}
	got := map[string]string{"webAccess": r.Settings.Web, "sshAccess": r.Settings.SSH}[name]
	return got, r, nil
}

func (s *demo) changedSetting() error {
	s.title("A changed setting reaches the phone.")
	got, _, err := s.set("webAccess", "0")
	if err != nil {
		return err
	}
	return s.expect(got == "0", "webAccess on the phone is %s", got)
}

// regenerate is `set cert regen` on a node, past the hold of the last one.
func (s *demo) regenerate(n *cluster.Node, u profile.Unit) error {
	s.say("admin:set cert regen %s (on %s)", u, n.Name())
	return s.cluster.Apply(operation.Regenerate(n.Name(), u))
}

// restart restarts TVS and TFTP on every node.
func (s *demo) restart() error {
	s.say("Cisco Trust Verification Service and Cisco Tftp are restarted on every node")
	for _, n := range s.cluster.Nodes() {
		if err := s.cluster.Apply(operation.RestartTVS(n.Name())); err != nil {
			return err
		}
	}
	for _, n := range s.cluster.Nodes() {
		if err := s.cluster.Apply(operation.RestartTFTP(n.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (s *demo) callManagerAlone() error {
	s.title("The CallManager certificate alone is regenerated: TVS vouches for the new signer.")
	pub := s.cluster.Publisher()
	r, err := s.resets(func() error { return s.regenerate(pub, profile.CallManager) })
	if err != nil {
		return err
	}
	if err := s.expect(!r.ITL.Changed, "the phone is told to reset at once; TFTP still serves the list of before"); err != nil {
		return err
	}
	var hold *operation.HoldError
	err = s.regenerate(pub, profile.TVS)
	if err := s.expect(errors.As(err, &hold), "the hold timer keeps TVS from following at once: %v", err); err != nil {
		return err
	}
	if err := s.restart(); err != nil {
		return err
	}
	if r, err = s.reset(); err != nil {
		return err
	}
	return s.expect(message(r, "Trust List updated") && r.ITL.Verdict.Via == trust.ViaTVS, "the phone asks TVS and takes the new list: Trust List updated")
}

func (s *demo) bothRegenerated() error {
	s.title("CallManager and TVS certificates are regenerated before the phone resets: it is locked.")
	s.say("the phone is unplugged")
	s.unplug()
	pub := s.cluster.Publisher()
	for _, step := range []struct {
		node *cluster.Node
		unit profile.Unit
	}{{pub, profile.CallManager}, {pub, profile.TVS}, {s.cluster.Nodes()[1], profile.TVS}} {
		s.cluster.Apply(operation.Advance(6 * time.Minute))
		s.say("the bench clock moves 6 minutes ahead, past the hold")
		if err := s.regenerate(step.node, step.unit); err != nil {
			return err
		}
	}
	if err := s.restart(); err != nil {
		return err
	}
	r, err := s.plug()
	if err != nil {
		return err
	}
	if err := s.expect(message(r, "Trust List Update Failed") && r.Locked(), "Trust List Update Failed: %v", r.Reason()); err != nil {
		return err
	}
	if err := s.expect(r.ITL.Verdict.Reason == trust.TVSUntrusted, "%s", r.ITL.Verdict.Reason.Text()); err != nil {
		return err
	}
	got, r, err := s.set("sshAccess", "0")
	if err != nil {
		return err
	}
	if err := s.expect(len(wording.Registered(s.cluster)) == 1, "the locked phone is registered, with its old configuration"); err != nil {
		return err
	}
	return s.expect(got == "1" && r.Locked(), "the setting is not applied: sshAccess on the phone is still %s", got)
}

func (s *demo) recovery() error {
	s.title("The list is reset with the recovery key, which the phone has trusted all along.")
	before := s.showITL()
	s.say("admin:utils itl reset localkey")
	names := s.cluster.State().TFTPNodes()
	if err := s.cluster.Apply(operation.ResetITL(nil)); err != nil {
		return err
	}
	s.say("The reset ITL file was generated successfully; transferred to %v", names)
	after := s.showITL()
	if err := s.expect(string(before.Signer.Name) != string(after.Signer.Name), "the signer has changed"); err != nil {
		return err
	}
	if err := s.expect(len(after.Bytes()) == 5322 && after.Length == 344, "the list has the 5322 bytes of the note, 344 of them header"); err != nil {
		return err
	}
	r, err := s.reset()
	if err != nil {
		return err
	}
	if err := s.expect(message(r, "Trust List updated") && r.ITL.Verdict.Via == trust.ViaITL, "the phone takes the list, vouched for by the recovery record it holds"); err != nil {
		return err
	}
	return s.expect(!r.Locked() && r.Settings.SSH == "0", "the setting is applied: sshAccess on the phone is %s", r.Settings.SSH)
}

func (s *demo) backToNormal() error {
	s.title("TFTP is restarted and signs with the CallManager key again.")
	for _, n := range s.cluster.Nodes() {
		if err := s.cluster.Apply(operation.RestartTFTP(n.Name())); err != nil {
			return err
		}
	}
	list := s.showITL()
	if err := s.expect(len(list.Bytes()) == 5302, "the list has 5302 bytes again"); err != nil {
		return err
	}
	r, err := s.reset()
	if err != nil {
		return err
	}
	if err := s.expect(message(r, "Trust List updated") && r.ITL.Verdict.Via == trust.ViaITL, "the phone takes it without TVS"); err != nil {
		return err
	}
	if r, err = s.reset(); err != nil {
		return err
	}
	return s.expect(r.Reason() == trust.Accepted && !r.ITL.Changed, "one more reset changes nothing: trusted")
}

// postMortem reads the phone's flash as it is, with code that shares nothing
// with the vault.
func (s *demo) postMortem() error {
	s.title("The phone loses power. Its flash is read by a program of its own.")
	s.unplug()
	data, err := readLimited(s.image, evidence.MaxImage)
	if err != nil {
		return err
	}
	img, err := vaultimage.Read(data, 0)
	if err != nil {
		return err
	}
	for _, m := range img.Messages {
		times := ""
		if m.Count > 1 {
			times = fmt.Sprintf(" (%d times)", m.Count)
		}
		s.say("   %s %s%s", time.Unix(m.Time, 0).UTC().Format("15:04:05"), m.Text, times)
	}
	served := s.cluster.Publisher().ITL()
	i := slices.IndexFunc(img.Keys, func(k vaultimage.Key) bool { return k.Name == "itl" })
	return s.expect(i >= 0 && bytes.Equal(img.Keys[i].Value, served) && len(img.Damage) == 0,
		"the list on the flash is the one that the cluster serves, and nothing is damaged")
}
