package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "write pictures of the pages to this `DIR`")

// browserWait bounds every wait for a page: many times what a busy machine takes.
const browserWait = 60 * time.Second

// tab is a page in a browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *tab) open(path string) { b.t.Helper(); b.do(path, chromedp.Navigate(b.base+path)) }

// click clicks an element by its CSS selector, and waits for another one.
func (b *tab) click(selector, then string) {
	b.t.Helper()
	b.do("click "+selector+", then "+then, chromedp.Click(chromedp.CSS(selector)), chromedp.WaitVisible(chromedp.CSS(then)))
}

// wait waits for a condition in the page.
func (b *tab) wait(what, expression string) {
	b.t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		if time.Since(begin) > browserWait {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			b.t.Fatalf("%s: not so, %v:\n%s", what, err, text)
		}
	}
}

func (b *tab) shows(text string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("%q is shown", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// browser starts a browser with one tab.
func browser(t *testing.T, base string) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: ./.ci/deps installs what tests need")
	}
	ctx, end := chromedp.NewExecAllocator(t.Context(), chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 1000), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true))
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return &tab{t, ctx, base}
}

// watch fails the test for whatever a console reports as wrong, and for requests to other
// hosts. The function that it returns ends that.
func (b *tab) watch(allowed *regexp.Regexp) (end func()) {
	ctx, cancel := context.WithCancel(b.ctx)
	console, requests := chromedp.Console(ctx), chromedp.Events(ctx, network.RequestWillBeSent)
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	done := make(chan int, 2)
	go func() {
		for m, err := range console {
			if err != nil {
				break
			}
			if bad := m.IsException() || m.Type == "error" || m.Type == "warning"; bad && !allowed.MatchString(m.Text) {
				b.t.Errorf("console: %s", m)
			}
		}
		done <- 0
	}()
	go func() {
		n := 0
		for r, err := range requests {
			if err != nil {
				break
			}
			n++
			if u, err := url.Parse(r.Request.URL); err != nil || !strings.HasPrefix(b.base, u.Scheme+"://"+u.Host) && u.Scheme != "about" {
				b.t.Errorf("a request to %s", r.Request.URL)
			}
		}
		done <- n
	}()
	return func() {
		cancel()
		if n := <-done + <-done; n == 0 {
			b.t.Error("no request was seen")
		}
	}
}

// itlbench runs a command in this process.
func itlbench(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if code := run(args, &env{stdin: strings.NewReader(""), stdout: &out, stderr: &out}); code != want {
		t.Fatalf("itlbench %v: exit code %d, want %d:\n%s", args, code, want, out.String())
	}
	return out.String()
}

// benchWithPages runs a cluster with pages that may act, and returns its first TFTP server
// and where the pages are.
func benchWithPages(t *testing.T, dir string) (tftp, pages string) {
	t.Helper()
	in, out := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run([]string{"cluster", "up", "--dir", dir, "--pages", "127.0.0.1:0", "--actions"}, &env{stdin: strings.NewReader(""), stdout: out, stderr: io.Discard})
		out.Close()
	}()
	t.Cleanup(func() {
		itlbench(t, exitOK, "cluster", "down", "--dir", dir)
		if code := <-done; code != exitOK {
			t.Errorf("cluster up: exit code %d", code)
		}
	})
	var text strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(text.String(), "pages at ") || !strings.HasSuffix(text.String(), "\n") {
		n, err := in.Read(buf)
		if err != nil {
			t.Fatalf("%v:\n%s", err, text.String())
		}
		text.Write(buf[:n])
	}
	go io.Copy(io.Discard, in)
	at := regexp.MustCompile(`(?s)publisher tftp (\S+).*pages at (http://\S+)/`).FindStringSubmatch(text.String())
	if at == nil {
		t.Fatalf("no addresses in:\n%s", text.String())
	}
	return at[1], at[2]
}

// The lock-out of the CUCM 10.0 note and its recovery, done by clicking alone, while the
// overview follows. The console has nothing to report, and no other host is asked.
func TestBrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	tftp, base := benchWithPages(t, dir)
	phone := func(want int) {
		t.Helper()
		itlbench(t, want, "phone", "--tftp", tftp, "--once", "--state", filepath.Join(dir, "phone"))
	}
	phone(exitOK)
	b := browser(t, base)
	end := b.watch(regexp.MustCompile(`^$`))
	begin := time.Now()
	b.open("/")
	b.shows("1 phone, by what a reset comes to")
	t.Logf("the first page after %v", time.Since(begin))

	token, err := os.ReadFile(filepath.Join(dir, "pages-token"))
	if err != nil {
		t.Fatal(err)
	}
	b.click("a[href='/login']", "input[name=token]")
	b.do("the token", chromedp.SendKeys(chromedp.CSS("input[name=token]"), strings.TrimSpace(string(token))))
	b.click("main button.main", "button[value=reset]")
	regenerate := func(node, unit, then string) {
		t.Helper()
		b.click("nav a[href='/certificates']", "table")
		b.click(fmt.Sprintf("a[href='/regenerate/%s/%s']", node, unit), "input[name=confirm]")
		b.do("confirm", chromedp.Click(chromedp.CSS("input[name=confirm]")))
		b.click("button.danger", ".said")
		b.shows(then)
	}
	service := func(button, then string) {
		t.Helper()
		b.click("nav a[href='/services']", "button[value=reset]")
		b.click(button, ".said")
		b.shows(then)
	}
	const renewed = "Successfully Regenerated Certificate"
	regenerate("test10pub", "CallManager", renewed)
	regenerate("test10pub", "TVS", "CallManager certificate was modified in the last 5 minutes. Please re-try regenerating TVS certificate at a later time")
	service("button[value=clock]", "moved ahead")
	regenerate("test10pub", "TVS", renewed)
	regenerate("test10sub", "TVS", renewed)
	for _, node := range []string{"test10pub", "test10sub"} {
		for _, name := range []string{"Cisco Trust Verification Service", "Cisco Tftp"} {
			service(fmt.Sprintf("button[aria-label='Restart %s on %s']", name, node), "was restarted")
		}
	}
	b.click("nav a[href='/']", "#numbers")
	b.do("mark the page", chromedp.WaitVisible(chromedp.CSS("#timeline")))
	b.wait("it is live", "document.getElementById('live').textContent === 'live'")
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("window.notReloaded = true")); err != nil {
		t.Fatal(err)
	}
	tile := func(state string, n int) {
		t.Helper()
		b.wait(fmt.Sprintf("%d %s, without loading the page again", n, state), fmt.Sprintf("window.notReloaded && document.querySelector('.tile.%s strong')?.textContent === '%d'", state, n))
	}
	tile("locked", 1)
	phone(exitNo)
	b.wait("the time line is drawn", "document.querySelector('#timeline canvas') !== null")
	pictures(b, dir)
	b.open("/phones")
	b.click("td a[href='/phones/SEP64A0E71502CC']", ".remedy")
	b.shows("utils itl reset localkey")
	service("button[value=itl-reset]", "generated successfully")
	phone(exitOK)
	b.click("nav a[href='/']", "#numbers")
	b.wait("trusted again", "document.querySelector('.tile.trusted strong')?.textContent === '1'")
	b.open("/phones")
	b.do("leave the stream")
	end()
}

// pictures takes one of each page, in each form, where they are wanted.
func pictures(b *tab, dir string) {
	if *shots == "" {
		return
	}
	if err := os.MkdirAll(*shots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for name, path := range map[string]string{"overview": "/", "phones": "/phones", "phone": "/phones/SEP64A0E71502CC", "certificates": "/certificates",
		"plan": "/plan?change=regen+CallManager@test10pub&change=regen+TVS@all&change=itl-reset&ask=1", "events": "/events", "services": "/services", "regenerate": "/regenerate/test10sub/TVS"} {
		for form, size := range map[string][2]int64{"light": {1280, 1000}, "dark": {1280, 1000}, "narrow": {390, 844}} {
			scheme := "light"
			if form == "dark" {
				scheme = form
			}
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
				b.t.Fatal(err)
			}
			b.do("size", chromedp.EmulateViewport(size[0], size[1]))
			b.open(path)
			b.do("shown", chromedp.WaitVisible(chromedp.CSS("main")))
			if name == "overview" {
				b.wait("drawn", "document.querySelector('#timeline canvas') !== null")
			}
			picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err == nil {
				err = os.WriteFile(filepath.Join(*shots, name+"-"+form+".png"), picture, 0o644)
			}
			if err != nil {
				b.t.Fatalf("%s: %v", path, err)
			}
		}
	}
	b.do("size", chromedp.EmulateViewport(1280, 1000))
}
