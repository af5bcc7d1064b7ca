package itlagent_test

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/logger"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/scenario"
)

// Secrets stand in files that their owner alone can read, and in no log, event or
// transcript. The scenarios that handle all kinds of them are run.
func TestSecretsStayWhereTheyAre(t *testing.T) {
	for _, name := range []string{"saved-recovery-key", "backup-alert", "publisher-rebuilt", "restored-backup", "mixed-mode", "migration-right"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var secrets []string
			var mu sync.Mutex
			note := func(clusters map[string]*cluster.Cluster) {
				mu.Lock()
				defer mu.Unlock()
				for _, c := range clusters {
					a, b := c.State().AdminPassword, c.State().SecurityPassword
					secrets = append(secrets, a, b)
				}
			}
			var logged strings.Builder
			opts := scenario.Options{Dir: dir, Ready: note}
			opts.Boot = func(_ context.Context, p scenario.Phone, c *cluster.Cluster, servers []string) (scenario.Handset, error) {
				return scenario.NewHost(p, c, servers)
			}
			r := scenario.Run(t.Context(), s, opts)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			logged.WriteString(r.Journal)
			files := 0
			err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				if err != nil {
					return err
				}
				switch {
				case path == dir:
				case d.IsDir() && info.Mode().Perm() != 0o700:
					t.Errorf("%s: mode %v, want 0700", path, info.Mode().Perm())
				case info.Mode().IsRegular() && info.Mode().Perm() != 0o600 && !strings.HasPrefix(path, filepath.Join(dir, "sftp")):
					t.Errorf("%s: mode %v, want 0600", path, info.Mode().Perm())
				}
				if d.Name() == "events.log" {
					files++
					data, err := os.ReadFile(path)
					logged.Write(data)
					return err
				}
				return nil
			})
			if err != nil || files == 0 {
				t.Fatalf("%d event logs, %v", files, err)
			}
			secrets = append(secrets, "PRIVATE KEY")
			for _, secret := range secrets {
				if strings.Contains(logged.String(), secret) {
					t.Errorf("the secret %.6q... stands in a log", secret)
				}
			}
			if len(secrets) < 3 {
				t.Errorf("only %d secrets were looked for", len(secrets))
			}
		})
	}
}

// A phone that logs every step logs no secret of its configuration or of its own.
func TestPhoneLogsNoSecret(t *testing.T) {
	p := profile.Note()
	p.Phones[0].Settings = map[string]string{"sshPassword": "the-secret-of-the-shell"}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var log strings.Builder
	a, err := agent.New(agent.Config{MAC: p.Phones[0].MAC, Model: p.Phones[0].Model, Servers: []string{c.Publisher().Address()}, Store: new(holdings.MemStore),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Log: logger.To(func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(&log, format+"\n", args...)
		})})
	if err != nil {
		t.Fatal(err)
	}
	a.Cycle(t.Context())
	if log.Len() == 0 || strings.Contains(log.String(), "the-secret") || strings.Contains(log.String(), "PRIVATE KEY") {
		t.Errorf("the log of a cycle:\n%s", log.String())
	}
}

// Every port of a cluster that names no address is on loopback.
func TestListenersAreOnLoopback(t *testing.T) {
	p, err := profile.Builtin("14")
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(p, cluster.Options{SSH: func(conn net.Conn, _ *cluster.Node) { conn.Close() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ports := 0
	for _, st := range c.Status() {
		for name, at := range st.Addresses {
			ports++
			if host, _, err := net.SplitHostPort(at); err != nil || !net.ParseIP(host).IsLoopback() {
				t.Errorf("%s of %s is at %s", name, st.Name, at)
			}
		}
	}
	if ports < 14 {
		t.Errorf("only %d ports", ports)
	}
}

// Private keys stand in no file of the tree.
func TestNoKeysInTheTree(t *testing.T) {
	out, err := exec.Command("git", "grep", "-lIE", "^-----BEGIN [A-Z ]*PRIVATE KEY-----$").Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("git grep: %v", err)
	}
	if len(out) > 0 {
		t.Errorf("private keys:\n%s", out)
	}
}

// The page about dependencies names the modules of go.mod, and no others.
func TestDependenciesAreListed(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(string(mod), -1) {
		want = append(want, m[1])
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [A-Z]").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 10 || !slices.Equal(want, got) {
		t.Errorf("docs/dependencies.md lists %q, go.mod has %q", got, want)
	}
	linked, err := os.ReadFile("firmware/itlagent/packages.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| (yes|no) \\|").FindAllStringSubmatch(string(page), -1) {
		if in := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(m[1])).Match(linked); in != (m[2] == "yes") {
			t.Errorf("%s: in the device program: %v, the page says %s", m[1], in, m[2])
		}
	}
}
