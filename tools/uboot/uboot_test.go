package uboot_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/tools/expect"
	"itlagent/tools/uboot"
)

// loader is a board on the other end of a pipe: it echoes, and answers lines.
type loader struct {
	conn   net.Conn
	prompt string
	lose   int // characters of the first lines that are not echoed
	answer func(command string) (out string, code int)
}

var marked = regexp.MustCompile(`^(.*); echo (itl-\d+-)\$\?-$`)

func (l *loader) say(text string) { l.conn.Write([]byte(text)) }

func (l *loader) run() {
	line := ""
	buf := make([]byte, 1)
	for {
		if _, err := l.conn.Read(buf); err != nil {
			return
		}
		switch c := buf[0]; c {
		case 3:
			line = ""
			l.say("<INTERRUPT>\r\n" + l.prompt)
		case '\r':
			if g := marked.FindStringSubmatch(line); g != nil {
				out, code := l.answer(g[1])
				l.say(fmt.Sprintf("\r\n%s\r\n%s%d-\r\n%s", out, g[2], code, l.prompt))
			} else {
				l.say("\r\n" + l.prompt)
			}
			line = ""
		default:
			if l.lose > 0 {
				l.lose--
				continue
			}
			line += string(c)
			l.say(string(c))
		}
	}
}

func attach(t *testing.T, l *loader) (*uboot.Loader, error) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	l.conn, l.prompt = there, "=> "
	go l.run()
	return uboot.Attach(t.Context(), expect.New(here), uboot.Options{Prompt: "=> ", Limit: 20 * time.Second})
}

// A command's result is known; its echo is not taken for it, and a line that lost
// characters is typed again.
func TestRun(t *testing.T) {
	env := map[string]string{}
	l := &loader{answer: func(c string) (string, int) {
		switch {
		case c == "version":
			return "U-Boot 2023.01 (x)\r\n\r\narm-linux-gnueabihf-gcc (Debian) 12", 0
		case c == "cmp.b 0 1 2":
			return "byte at 0x0 (0x1) != byte at 0x1 (0x2)\r\nTotal of 0 byte(s) were the same", 1
		case c == "help sf":
			return "Unknown command 'sf' - try 'help' without arguments for list of all known commands", 1
		case strings.HasPrefix(c, "help "):
			return "sf - something\r\nUsage:", 1
		case c == "saveenv":
			return "Unknown command 'saveenv' - try 'help'", 1
		case c == "crc32 0 10":
			return "crc32 for 00000000 ... 0000000f ==> 1234abcd", 0
		}
		if g := regexp.MustCompile(`^setenv (\w+)(?: (.*))?$`).FindStringSubmatch(c); g != nil {
			value := g[2]
			if strings.HasPrefix(value, `"`) { // "${name}${itlpiece}"
				value = env[g[1]] + env["itlpiece"]
			}
			env[g[1]] = strings.Trim(value, "'")
			return "", 0
		}
		return "", 0
	}}
	u, err := attach(t, l)
	if err != nil {
		t.Fatal(err)
	}
	v, err := u.Version(t.Context())
	if err != nil || v.Text != "U-Boot 2023.01 (x)" || v.Arch != "arm" {
		t.Errorf("version %+v, %v", v, err)
	}
	if out, err := u.Run(t.Context(), time.Minute, "cmp.b 0 1 2"); !errors.Is(err, uboot.ErrResult) || strings.Contains(err.Error(), "\n") || !strings.Contains(out, "byte at") {
		t.Errorf("a failure: %q, %v", out, err)
	}
	if err := u.Save(t.Context()); !errors.Is(err, uboot.ErrNoCommand) {
		t.Errorf("no saveenv: %v", err)
	}
	for command, want := range map[string]bool{"sf": false, "crc32": true} {
		if ok, err := u.Has(t.Context(), command); ok != want || err != nil {
			t.Errorf("%s: %v, %v", command, ok, err)
		}
	}
	if sum, err := u.Checksum(t.Context(), time.Minute, 0, 16); sum != 0x1234abcd || err != nil {
		t.Errorf("checksum %x, %v", sum, err)
	}
	long := strings.Repeat("0123456789 ${fdt} ", 40)
	l.lose = 2
	if err := u.Set(t.Context(), "bootcmd", long); err != nil || env["bootcmd"] != long || env["itlpiece"] != "" {
		t.Errorf("a long value: %v, %d bytes of %d", err, len(env["bootcmd"]), len(long))
	}
	if err := u.Set(t.Context(), "bootargs", "it's"); err == nil {
		t.Error("a value with a quote is set")
	}
}

// A key that the board loses, as while it changes its rate, is typed again.
func TestPress(t *testing.T) {
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	const lost = 2
	pressed := make(chan int, 1)
	go func() {
		fmt.Fprint(there, "\r\n=> ")
		buf, n := make([]byte, 16), 0
		for {
			got, err := there.Read(buf)
			if err != nil {
				return
			}
			if n += strings.Count(string(buf[:got]), "\x1b"); n > lost {
				fmt.Fprint(there, "\r\nitl-1-0-\r\n=> ")
				pressed <- n
				return
			}
		}
	}()
	u, err := uboot.Attach(t.Context(), expect.New(here), uboot.Options{Prompt: "=> "})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.EndByKey(t.Context(), time.Minute, "loady", "itl-1-", "\x1b"); err != nil {
		t.Fatal(err)
	}
	if n := <-pressed; n != lost+1 {
		t.Errorf("the key was typed %d times, want %d", n, lost+1)
	}
}

// A loader that boots unless it hears its word stops for that word alone.
func TestStopWord(t *testing.T) {
	for key, want := range map[string]error{"let-me-in": nil, "": uboot.ErrNoPrompt, "let-me-out": uboot.ErrNoPrompt} {
		here, there := net.Pipe()
		go func() {
			there.Write([]byte("U-Boot 2023.01\r\nAutoboot in 3 seconds\r\n"))
			heard, buf := "", make([]byte, 1)
			for {
				if _, err := there.Read(buf); err != nil {
					return
				}
				if heard += string(buf); strings.HasSuffix(heard, "let-me-in") || buf[0] == 3 && strings.Contains(heard, "let-me-in") {
					there.Write([]byte("\r\n=> "))
				}
			}
		}()
		_, err := uboot.Attach(t.Context(), expect.New(here), uboot.Options{Prompt: "=> ", Stop: "Autoboot in", Key: key, Limit: 10 * time.Millisecond})
		if !errors.Is(err, want) {
			t.Errorf("%q: %v", key, err)
		}
		here.Close()
		there.Close()
	}
}

// A board without a prompt is told apart: silent, garbage, or something else.
func TestNoPrompt(t *testing.T) {
	for name, c := range map[string]struct {
		says string
		want error
		text string
	}{
		"silent":    {"", uboot.ErrNoPrompt, "silent"},
		"garbage":   {strings.Repeat("\xf0\x81\x00\xfe", 50), uboot.ErrGarbage, "rate"},
		"a console": {"Debian GNU/Linux\r\nlogin: ", uboot.ErrNoPrompt, "login:"},
	} {
		here, there := net.Pipe()
		go func() {
			there.Write([]byte(c.says))
			buf := make([]byte, 64)
			for {
				if _, err := there.Read(buf); err != nil {
					return
				}
			}
		}()
		_, err := uboot.Attach(t.Context(), expect.New(here), uboot.Options{Prompt: "=> ", Stop: "Hit any key", Limit: time.Millisecond})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		here.Close()
		there.Close()
	}
}

func TestParse(t *testing.T) {
	banks := uboot.ParseMemory("boot_params = 0x0\r\nDRAM bank   = 0x00000000\r\n-> start    = 0x40000000\r\n-> size     = 0x10000000\r\nflashstart = 0x0\r\n")
	if !slices.Equal(banks, []uboot.Range{{Start: 0x40000000, Size: 0x10000000}}) {
		t.Errorf("memory %v", banks)
	}
	banks = uboot.ParseMemory("memstart    = 0x80000000\nmemsize     = 0x10000000\n")
	if !slices.Equal(banks, []uboot.Range{{Start: 0x80000000, Size: 0x10000000}}) {
		t.Errorf("memory %v", banks)
	}
	if got := uboot.ParseFlash("Bank # 1: CFI\n  Size: 64 MB in 256 Sectors\nBank # 2\n  Size: 512 kB in 8 Sectors\n"); !slices.Equal(got, []int64{64 << 20, 512 << 10}) {
		t.Errorf("flash %v", got)
	}
	const bank = "Bank # %d: CFI conformant flash (32 x 16)  Size: %d MB in 256 Sectors\r\n  AMD Standard\r\n  Sector Start Addresses:\r\n  %08X        %08X   RO\r\n"
	banks = uboot.ParseBanks(fmt.Sprintf(bank+bank, 1, 32, 0, 0x20000, 2, 4, 0xbe000000, 0xbe020000) + "Bank # 3:  Size: 8 MB in 8 Sectors\n")
	if !slices.Equal(banks, []uboot.Range{{Start: 0, Size: 32 << 20}, {Start: 0xbe000000, Size: 4 << 20}}) {
		t.Errorf("banks %x", banks)
	}
	for _, c := range []struct {
		kind, device, out string
		want              int64
	}{
		{"sf", "0", "SF: Detected sst25vf016b with page size 256 Bytes, erase size 4 KiB, total 2 MiB", 2 << 20},
		{"mtd", "nor1", "* nor0\r\n  - 0x000000000000-0x000002000000 : \"nor0\"\r\n* nor1\r\n  - 0x000000000000-0x000001000000 : \"nor1\"\r\n", 16 << 20},
		{"mtd", "nor2", "  - 0x000000000000-0x000002000000 : \"nor0\"", 0},
		{"mmc", "0", "SD version 2.0\r\nHigh Capacity: No\r\nCapacity: 64 MiB\r\nBus Width: 4-bit", 64 << 20},
		{"mmc", "0", "Capacity: 3.7 GiB", 3<<30 + 8*(1<<30/10)},
		{"virtio", "0", "Type: Hard Disk\r\n            Capacity: 16.0 MB = 0.0 GB (32768 x 512)\r\n", 16 << 20},
		{"virtio", "0", "no device", 0},
	} {
		if got := uboot.ParseStorage(c.kind, c.device, c.out); got != c.want {
			t.Errorf("%s: %d bytes of %q, want %d", c.kind, got, c.out, c.want)
		}
	}
	env := uboot.ParseEnvironment("a=1\r\nboot=x; y=z\r\nlines=one\r\ntwo\r\n\r\nEnvironment size: 20/65532 bytes\r\nb=no\r\n")
	if want := map[string]string{"a": "1", "boot": "x; y=z", "lines": "one\ntwo", "b": "no"}; !maps.Equal(env, want) {
		t.Errorf("environment %q", env)
	}
	if got := uboot.Difference(map[string]string{"a": "1", "x": "2"}, map[string]string{"a": "3", "b": ""}); !slices.Equal(got, []string{`a: "1" -> "3"`}) {
		t.Errorf("difference %q", got)
	}
	for text, want := range map[string]string{"mipsel-linux-gnu-gcc 12": "mipsle", "mips-linux-gnu-gcc 12": "mips", "aarch64-linux-gnu-gcc": "arm64", "clang": ""} {
		if v := uboot.ParseVersion("U-Boot 2023.01\n\n" + text); v.Arch != want {
			t.Errorf("%s: %q, want %q", text, v.Arch, want)
		}
	}
	if _, err := uboot.ParseChecksum("crc32 for 0 ... f ==> 1234"); !errors.Is(err, uboot.ErrResult) {
		t.Errorf("half a checksum: %v", err)
	}
}

// Whatever a loader prints, reading it ends, and gives bounded results.
func FuzzOutput(f *testing.F) {
	f.Add("a=1\r\nb=2\r\n\r\nEnvironment size: 20/65532 bytes\r\n")
	f.Add("-> start    = 0x40000000\n-> size     = 0x10000000\n==> 12345678\nSize: 64 MB in 256 Sectors\n")
	f.Add("U-Boot 2023.01\narm-linux-gcc\n")
	f.Fuzz(func(t *testing.T, out string) {
		if n := len(uboot.ParseEnvironment(out)); n > 4096 {
			t.Fatalf("%d variables", n)
		}
		for _, b := range uboot.ParseMemory(out) {
			if b.Size == 0 || b.Start+b.Size < b.Start {
				t.Fatalf("bank %+v", b)
			}
		}
		for _, n := range uboot.ParseFlash(out) {
			if n < 0 {
				t.Fatalf("flash of %d bytes", n)
			}
		}
		for _, b := range uboot.ParseBanks(out) {
			if b.Size == 0 || b.Start+b.Size < b.Start {
				t.Fatalf("bank %+v", b)
			}
		}
		for _, kind := range []string{"sf", "mtd", "mmc"} {
			if n := uboot.ParseStorage(kind, "nor0", out); n < 0 {
				t.Fatalf("%s of %d bytes", kind, n)
			}
		}
		uboot.ParseVersion(out)
		if _, err := uboot.ParseChecksum(out); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
