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
flash: {device: /dev/mtd3, eraseSize: 64KiB, partitions: [{name: u-boot, offset: "0x0", size: 512KiB}, {name: kernel, offset: 1MiB, size: 2MiB}, {name: initramfs, offset: 3MiB, size: 2MiB}, {name: vault, offset: 5MiB, size: 1MiB}, {name: rest, offset: 6MiB, size: 2MiB}]}
kernel: {args: ["mtdparts=spi0.0:512k(u-boot)ro,2M@0x100000(kernel)ro,2048k(initramfs)ro,1M(vault),2M(rest)"]}
boot: {method: uboot, loadAddress: "0x80008000"}
`

func TestParse(t *testing.T) {
	b, err := board.Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.CommandLine(); got != "console=ttyS0,115200 panic=3 quiet mtdparts=spi0.0:512k(u-boot)ro,2M@0x100000(kernel)ro,2048k(initramfs)ro,1M(vault),2M(rest)" {
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
		"a partition":     {`"0x0"`, "-1", `size "-1"`},
		"a shell":         {"baud: 115200", "baud: 115200, shell: 'ttyS1,fast'", "invalid shell"},
		"no flash":        {"device: /dev/mtd3, ", "", "flash"},
		"a rate":          {"baud: 115200", "baud: 7", "console: impossible rate 7"},
		"a negative rate": {"baud: 115200", "baud: -115200", "impossible rate"},
		"erase size 3k":   {"eraseSize: 64KiB", "eraseSize: 3KiB", "eraseSize 3KiB is not a power of two"},
		"erase size 0":    {"eraseSize: 64KiB", `eraseSize: "0"`, "not a power of two"},
		"erase blocks":    {"offset: 1MiB", "offset: 1056KiB", "partition kernel: 2MiB at 1056KiB: not whole erase blocks of 64KiB"},
		"half a block":    {"size: 512KiB", "size: 480KiB", "partition u-boot: 480KiB"},
		"an overlap":      {"offset: 3MiB", "offset: 2MiB", "partition initramfs begins at 0x200000, before kernel ends at 0x300000"},
		"a small kernel":  {"offset: 1MiB, size: 2MiB", "offset: 1MiB, size: 512KiB", "partition kernel: 512KiB is too small"},
		"a small vault":   {"offset: 5MiB, size: 1MiB", "offset: 5MiB, size: 128KiB", "too small for what its name says: it needs 192 KiB"},
		"an empty one":    {"offset: 6MiB, size: 2MiB", `offset: 6MiB, size: "0"`, "partition rest is empty"},
		"two names":       {"name: rest", "name: vault", "two partitions vault"},
		"part's name":     {"name: rest", "name: 'a(b)'", "invalid name"},
		"a gateway":       {"gateway: 192.0.2.2", "gateway: 198.51.100.1", "gateway 198.51.100.1 is not in 192.0.2.0/24"},
		"an interface":    {"interface: eth0", "interface: a-name-of-16-char", "invalid interface"},
		"much memory":     {"memory: 64", "memory: 2000000", "memory"},
		"kernel's parts":  {"2048k(initramfs)", "2M(root)", "mtdparts= has 2M(root)ro at 3072 KiB where flash.partitions has initramfs, 2048 KiB at 3072 KiB"},
		"kernel's place":  {"2M@0x100000(kernel)", "2M(kernel)", "mtdparts= has 2M(kernel)ro at 512 KiB"},
		"kernel's size":   {"1M(vault)", "960k(vault)", "mtdparts= has 960k(vault) at"},
		"kernel's count":  {",2M(rest)", "", "mtdparts= has 4 partitions, flash.partitions 5"},
		"kernel's text":   {"1M(vault)", "1Q(vault)", `invalid partition "1Q(vault)"`},
		"vault's device":  {"/dev/mtd3", "/dev/mtd2", "device /dev/mtd2 is not the vault, which is partition 3 of mtdparts="},
		"vault's block":   {"mtdparts=spi0.0", "blkdevparts=mmcblk0", "device /dev/mtd3 is not the vault, which is partition 3 of blkdevparts="},
		"a device tree":   {"kernel: {args", "kernel: {dtb: ../x.dtb, args", `invalid dtb "../x.dtb"`},
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
