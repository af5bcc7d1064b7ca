package board_test

import (
	"strings"
	"testing"

	"itlagent/platform/board"
)

const good = `name: my-board
about: x
arch: arm
goarm: 7
memory: 64
console: {device: ttyS0, baud: 115200}
network: {interface: eth0, address: 192.0.2.1/24, gateway: 192.0.2.2}
flash: {device: /dev/mtd1, eraseSize: 64KiB, partitions: [{name: vault, offset: "0x1000", size: 1MiB}]}
kernel: {args: ["mtdparts=x"]}
boot: {method: uboot, loadAddress: "0x80008000"}
`

func TestParse(t *testing.T) {
	b, err := board.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.CommandLine(); got != "console=ttyS0,115200 panic=3 quiet mtdparts=x" {
		t.Error(got)
	}
	if got := strings.Join(b.GoEnv(), " "); got != "CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7" {
		t.Error(got)
	}
	for name, test := range map[string][3]string{
		"an unknown key":  {"about: x", "colour: x", "line 2: unknown field \"colour\""},
		"a wrong type":    {"memory: 64", "memory: [1]", "line 5: "},
		"no name":         {"name: my-board", "name: My Board", "name"},
		"an arch":         {"arch: arm", "arch: vax", `arch "vax"`},
		"a goarm":         {"goarm: 7", "goarm: 9", "goarm 9"},
		"little memory":   {"memory: 64", "memory: 8", "memory: 8 MiB"},
		"no console":      {"device: ttyS0, baud: 115200", "device: ttyS0", "console"},
		"an address":      {"192.0.2.1/24", "192.0.2.1", "network: invalid address"},
		"a size":          {"64KiB", "64 KB", `size "64 KB"`},
		"a partition":     {`"0x1000"`, "-1", `size "-1"`},
		"no flash":        {"device: /dev/mtd1, ", "", "flash"},
		"a method":        {"method: uboot", "method: magic", `method "magic"`},
		"no load address": {`, loadAddress: "0x80008000"`, "", "loadAddress"},
		"a load address":  {"0x80008000", "here", `invalid address "here"`},
		"an emulated one": {"method: uboot", "method: qemu", "needs the part qemu"},
		"not YAML":        {"name: my-board", "\tname", "line "},
	} {
		if !strings.Contains(good, test[0]) {
			t.Fatalf("%s: %q is not in the file", name, test[0])
		}
		if _, err := board.Parse([]byte(strings.Replace(good, test[0], test[1], 1))); err == nil || !strings.Contains(err.Error(), test[2]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, test[2])
		}
	}
	for text, want := range map[string]int64{"4096": 4096, "64KiB": 65536, "4MiB": 4 << 20, "0x1000": 4096, "0": 0} {
		if got, err := board.Size(text); err != nil || got != want {
			t.Errorf("Size(%q) = %d, %v", text, got, err)
		}
	}
}

// A board that is read has a name, and an error is one line.
func FuzzBoard(f *testing.F) {
	f.Add([]byte("name: a\nabout: b\narch: arm\ngoarm: 5\nconsole: {device: ttyS0, baud: 115200}\nmemory: 64\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := board.Parse(data)
		if err == nil && b.Name == "" {
			t.Fatal("a board without a name")
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
