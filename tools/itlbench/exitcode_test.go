package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exitRow says how a command is told of a file, FILE in its line, and how it ends where the
// file is damaged. What has no file to read has an empty line.
type exitRow struct {
	line    string
	damaged int
}

// exitRows has a row for every command: one that is added is to have one.
func exitRows() map[string]exitRow {
	none := exitRow{}
	cluster := func(args string) exitRow { return exitRow{"--dir FILE " + args, exitInfra} }
	return map[string]exitRow{
		"show": {"FILE", exitNo}, "verify": {"FILE", exitNo}, "sign": {"FILE --signer FILE", exitNo},
		"build": none, "build itl": {"-o x.tlv --signer FILE --record sast=FILE", exitNo}, "build ctl": {"-o x.tlv --signer FILE --record sast=FILE", exitNo},
		"cert":  {"x.example.lab -o x.pem --signer FILE", exitNo},
		"phone": {"--tftp 127.0.0.1:1 --once --flash FILE/x --erase-size 4096", exitInfra},
		"vault": none, "vault show": {"FILE", exitNo}, "vault verify": {"FILE", exitNo},
		"sftp":     {"--user x --dir FILE/x", exitInfra},
		"scenario": none, "scenario list": none, "scenario run": {"FILE.yaml", exitUsage},
		"audit": {"--itl FILE --log FILE", exitNo}, "explain": {"FILE", exitNo}, "import": {"-o copy FILE", exitNo},
		"pages": {"FILE", exitInfra}, "check": {"--from FILE", exitNo}, "plan": {"regenerate tvs --from FILE", exitNo},
		"image": {"FILE.yaml --check", exitNo}, "qemu": {"FILE.yaml --cluster note", exitNo}, "flash": {"FILE.yaml --console unix:none", exitNo},
		"board": none, "board probe": {"--console FILE", exitInfra}, "board powercut": {"FILE.yaml --console unix:none --power true --listen 127.0.0.1 --yes", exitNo}, "console": {"unix:FILE", exitInfra},
		"serial": none, "serial list": none, "fleet": none, "fleet run": {"--count 2 --cluster FILE", exitInfra},
		"fleet worker": {"--nats nats://127.0.0.1:1 --nats-creds FILE", exitInfra}, "fleet status": {"--nats nats://127.0.0.1:1 --nats-creds FILE", exitInfra}, "demo": none, "help": none, "version": none, "completion": none,

		"cluster": none, "cluster up": {"--config FILE", exitUsage}, "cluster apply": {"--dir lab --config FILE", exitUsage},
		"cluster down": cluster(""), "cluster status": cluster(""), "cluster phone": cluster("add 64A0E71502CD"), "cluster phones": cluster(""),
		"cluster clock": cluster(""), "cluster fault": cluster("pub tvs none"), "cluster events": cluster(""), "cluster lists": cluster(""),
		"cluster serve": {"--dir lab FILE", exitNo}, "cluster set": cluster("64A0E71502CC webAccess 0"), "cluster encrypt": {"--dir lab 64A0E71502CC FILE", exitNo},
		"cluster rebuild": cluster("--security-password-file junk"), "cluster passwords": cluster(""), "admin": cluster("show itl"),
	}
}

// The exit codes are those of the README, whichever command ends: 3 for a file that is
// missing, 2 for a flag and a subcommand that do not exist, 1 for what is damaged, 2 where
// that is what the command is told by.
func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	aCluster(t, "lab")
	for _, path := range []string{"junk", "junk.yaml"} {
		if err := os.WriteFile(path, []byte("\x00\x01junk: [\xff"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("broken", 0o755); err != nil {
		t.Fatal(err)
	}
	state, err := filepath.Glob("lab/*")
	if err != nil || len(state) == 0 {
		t.Fatalf("lab: %q, %v", state, err)
	}
	for _, path := range state {
		os.WriteFile(filepath.Join("broken", filepath.Base(path)), []byte("\xc1\xff\xff"), 0o600)
	}
	rows := exitRows()
	expect := func(line string, want int) {
		t.Helper()
		_, stderr, code := runHere(strings.Fields(line)...)
		if first, _, _ := strings.Cut(stderr, "\n"); code != want || !strings.HasPrefix(first, "itlbench: ") {
			t.Errorf("itlbench %s: code %d, want %d: %q", line, code, want, stderr)
		}
		if strings.Count(stderr, "\n") > 2 || strings.Contains(stderr, "panic") {
			t.Errorf("itlbench %s: %q", line, stderr)
		}
	}
	for _, p := range allPages() {
		row, ok := rows[p.path]
		if !ok {
			t.Errorf("%s: no row in exitRows", p.path)
			continue
		}
		if p.flags != nil {
			expect(p.path+" --no-such-flag", exitUsage)
		}
		if len(p.subs) > 0 {
			expect(p.path+" no-such-command x", exitUsage)
		}
		if row.line == "" {
			continue
		}
		expect(p.path+" "+strings.ReplaceAll(row.line, "FILE", "missing"), exitInfra)
		damaged := "junk"
		if strings.HasPrefix(row.line, "--dir FILE") {
			damaged = "broken"
		}
		expect(p.path+" "+strings.ReplaceAll(row.line, "FILE", damaged), row.damaged)
	}
}

// A description that is nested too deeply is a wrong one for every command that reads it.
func TestTooDeepYAML(t *testing.T) {
	t.Chdir(t.TempDir())
	deep := strings.Repeat("[", 100_000)
	if err := os.WriteFile("deep.yaml", []byte(deep), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"image deep.yaml --check", "qemu deep.yaml --cluster note", "flash deep.yaml --console unix:none",
		"cluster up --config deep.yaml", "scenario run deep.yaml"} {
		if _, stderr, code := runHere(strings.Fields(line)...); code != exitUsage || !strings.Contains(stderr, "nested deeper than 32 levels") {
			t.Errorf("%s: code %d, %q", line, code, stderr)
		}
	}
}
