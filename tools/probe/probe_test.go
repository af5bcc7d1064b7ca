package probe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/probe"
)

// answers are those of U-Boot on an emulated board, with what a real one has besides.
func answers() map[string]string {
	return map[string]string{
		"version": "U-Boot 2023.01 (Jan 01 1970 - 00:00:00 +0000)\r\n\r\narm-linux-gnueabihf-gcc (Debian 12.2.0-14) 12.2.0",
		"bdinfo":  "boot_params = 0x00000000\r\nDRAM bank   = 0x00000000\r\n-> start    = 0x40000000\r\n-> size     = 0x10000000\r\nflashstart  = 0x00000000\r\n",
		"printenv": "baudrate=115200\r\nbootargs=console=ttyAMA0,57600 quiet\r\nipaddr=192.0.2.7\r\nnetmask=255.255.255.0\r\ngatewayip=192.0.2.1\r\n" +
			"kernel_addr_r=0x40400000\r\nramdisk_addr_r=44000000\r\nloadaddr=0x40200000\r\nmtdparts=mtdparts=physmap-flash.0:512k(u-boot),-(rest)\r\n\r\nEnvironment size: 300/262140 bytes",
		"help":   "bootm     - boot application image from memory\r\ncrc32     - checksum calculation\r\nsaveenv   - save environment variables\r\n",
		"flinfo": "\r\nBank # 1: CFI conformant flash (32 x 16)  Size: 64 MB in 256 Sectors\r\n  Intel Extended command set\r\n\r\n  Sector Start Addresses:\r\n  00000000   RO   00040000   RO\r\n\r\nBank # 2: CFI conformant flash (32 x 16)  Size: 32 MB in 256 Sectors\r\n  Sector Start Addresses:\r\n  04000000   RO   04020000   RO\r\n",
	}
}

func TestDescribe(t *testing.T) {
	text, open := probe.Describe("my-board", "=> ", "Hit any key to stop autoboot", answers())
	b, err := board.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	l := b.Bootloader
	if b.Arch != "arm" || b.Memory != 256 || b.Console.Device != "ttyAMA0" || b.Console.Baud != 57600 || b.Network.Address != "192.0.2.7/24" || b.Network.Gateway != "192.0.2.1" ||
		b.Flash.EraseSize != "131072" || l.Prompt != "=> " || l.Stop != "Hit any key to stop autoboot" || l.Storage.Kind != "nor" || l.Storage.Base != "0x4000000" ||
		l.Load != "0x40200000" || l.Files[0].Address != "0x40400000" || l.Files[1].Address != "0x44000000" || !strings.Contains(b.CommandLine(), "mtdparts=physmap-flash.0:4096k(u-boot)ro,") {
		t.Errorf("%+v\n%s", b, text)
	}
	if strings.Count(text, "# ? ") != len(open) || len(open) != 5 {
		t.Errorf("open: %q\n%s", open, text)
	}
	// Of a board that answers nothing there is a description with a question for all of it.
	text, none := probe.Describe("my-board", "x# ", "", nil)
	if err := probe.Sound(text); err != nil || len(none) < 9 || !strings.Contains(text, "which architecture") {
		t.Errorf("%v, %q\n%s", err, none, text)
	}
	for name, test := range map[string]struct {
		question, answer, want string
	}{
		"SPI flash":        {"sf probe", "SF: Detected w25q128 with page size 256 Bytes, erase size 64 KiB, total 16 MiB", "storage: {kind: sf, device: \"0\"}"},
		"a card":           {"mmc info", "Device: mmc@0\nCapacity: 7.4 GiB", "blkdevparts=mmcblk0:"},
		"big endian":       {"version", "U-Boot 2023.01 (x)\nmips-linux-gnu-gcc (Debian) 12", "arch: mips\n"},
		"another compiler": {"version", "U-Boot 2023.01 (x)\nclang 15", "which architecture"},
		"hostile text":     {"version", "U-Boot \x1b[2J\"\nboot: {method: qemu}\n", `about: "a board with U-Boot`},
		"a bad mask":       {"printenv", "ipaddr=192.0.2.7\nnetmask=255.0.255.0\n", "# ? which address"},
		"another gateway":  {"printenv", "ipaddr=192.0.2.7\nnetmask=255.255.255.0\ngatewayip=10.0.0.1\n", "address: 192.0.2.7/24}\n"},
	} {
		all := answers()
		delete(all, "flinfo")
		all[test.question] = test.answer
		text, _ := probe.Describe("my-board", "=> ", "", all)
		if err := probe.Sound(text); err != nil || !strings.Contains(text, test.want) {
			t.Errorf("%s: %v, no %q in\n%s", name, err, test.want, text)
		}
	}
	all := answers()
	all["help"] = "go        - start application\n"
	if _, open := probe.Describe("my-board", "=> ", "", all); !strings.Contains(strings.Join(open, "\n"), "no crc32") || !strings.Contains(strings.Join(open, "\n"), "no saveenv") {
		t.Errorf("open: %q", open)
	}
}

// boardSays is the far end of a line: it says something first, and answers what is typed, a
// byte at a time as lines do.
func boardSays(t *testing.T, first string, answer func(typed string) string) *expect.Expect {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	say := func(text string) {
		for i := range len(text) {
			io.WriteString(there, text[i:i+1])
		}
	}
	go func() {
		say(first)
		buf := make([]byte, 64)
		for {
			n, err := there.Read(buf)
			if err != nil {
				return
			}
			say(answer(string(buf[:n])))
		}
	}()
	return expect.New(here)
}

func TestPrompt(t *testing.T) {
	prompt := func(typed string) string { return "\r\nap143 # " }
	for name, test := range map[string]struct {
		first  string
		answer func(string) string
		stop   string
		err    error
	}{
		"while it waits":     {"U-Boot 2023.01\r\nHit any key to stop autoboot:  3 ", prompt, "Hit any key to stop autoboot", nil},
		"at its prompt":      {"", prompt, "", nil},
		"after other output": {"Net: eth0\r\nap143 # ", prompt, "", nil},
		"a system":           {"\r\nrouter login: ", func(string) string { return "\r\nrouter login: " }, "", probe.ErrSystem},
		"the phone":          {"itlagent: first process, the kernel is up 1 s\r\n", func(string) string { return "" }, "", probe.ErrSystem},
		"silent":             {"", func(string) string { return "" }, "", probe.ErrSilent},
		"noise":              {"\xf8\x80\x11\xfe", func(string) string { return "\xf8\x80\x11\xfe" }, "", probe.ErrPrompt},
		"a prompt that changes": {"", func() func(string) string {
			n := 0
			return func(string) string { n++; return "\r\n" + strings.Repeat("x", n%9+1) + "# " }
		}(), "", probe.ErrPrompt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 20 * time.Second
			if test.err != nil {
				limit = 3 * time.Second
			}
			got, stop, err := probe.Prompt(t.Context(), boardSays(t, test.first, test.answer), limit)
			if !errors.Is(err, test.err) || test.err == nil && (got != "ap143 # " || stop != test.stop) {
				t.Errorf("%q, %q, %v; want %q, %v", got, stop, err, test.stop, test.err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := probe.Prompt(ctx, boardSays(t, "", prompt), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// Whatever a board answers, its description is a bounded text that can be read.
func FuzzDescribe(f *testing.F) {
	for q, a := range answers() {
		f.Add(q, a, "=> ")
	}
	f.Fuzz(func(t *testing.T, question, answer, prompt string) {
		all := answers()
		all[question] = answer
		text, open := probe.Describe("my-board", prompt[:min(len(prompt), 40)], "", all)
		if len(text) > 16<<10 || len(open) > 20 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }) {
			t.Fatalf("%d bytes, %d questions: %q", len(text), len(open), text)
		}
		if err := probe.Sound(text); err != nil && (strings.Contains(err.Error(), "unknown field") || strings.Contains(err.Error(), "\n")) {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
