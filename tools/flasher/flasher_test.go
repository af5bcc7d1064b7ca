package flasher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"itlagent/firmware/boards"
	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/flasher"
	"itlagent/tools/uboot"
)

// chip is a board with NOR flash in memory, its loader on the other end of a pipe. Its
// flash programs only what is erased, and counts what is done to it.
type chip struct {
	conn     net.Conn
	flash    []byte
	ram      map[uint64][]byte
	env      map[string]string
	broken   func(command string) (out string, code int, ok bool)
	commands []string
	fetched  []int // sizes
	saves    int
}

func newChip() *chip {
	return &chip{flash: bytes.Repeat([]byte{0xff}, 128<<20), ram: map[uint64][]byte{}, env: map[string]string{"bootdelay": "2"}}
}

var marked = regexp.MustCompile(`^(.*); echo (itl-\d+-)\$\?-$`)

func (c *chip) run() {
	line, buf := "", make([]byte, 1)
	for {
		if _, err := c.conn.Read(buf); err != nil {
			return
		}
		switch buf[0] {
		case 3:
			line = ""
			c.conn.Write([]byte("<INTERRUPT>\r\n=> "))
		case '\r':
			if g := marked.FindStringSubmatch(line); g != nil {
				out, code := c.do(g[1])
				fmt.Fprintf(c.conn, "\r\n%s\r\n%s%d-\r\n", out, g[2], code)
			}
			line = ""
			c.conn.Write([]byte("\r\n=> "))
		default:
			line += string(buf)
			c.conn.Write(buf)
		}
	}
}

func (c *chip) at(address uint64, n int) []byte {
	if data, ok := c.ram[address]; ok {
		return data[:n]
	}
	return c.flash[address:][:n]
}

func (c *chip) do(command string) (string, int) {
	c.commands = append(c.commands, command)
	if c.broken != nil {
		if out, code, ok := c.broken(command); ok {
			return out, code
		}
	}
	var a, b uint64
	var n int
	word := func(format string, to ...any) bool {
		got, err := fmt.Sscanf(command, format, to...)
		return got == len(to) && err == nil
	}
	switch {
	case command == "version":
		return "U-Boot 2023.01 (x)\r\n\r\narm-linux-gnueabihf-gcc 12", 0
	case command == "bdinfo":
		return "-> start    = 0x40000000\r\n-> size     = 0x10000000", 0
	case command == "printenv":
		var out strings.Builder
		for k, v := range c.env {
			fmt.Fprintf(&out, "%s=%s\r\n", k, v)
		}
		return out.String(), 0
	case command == "saveenv":
		c.saves++
	case word("crc32 %x %x", &a, &n):
		return fmt.Sprintf("crc32 for x ... y ==> %08x", crc32.ChecksumIEEE(c.at(a, n))), 0
	case word("erase %x %x", &a, &b):
		copy(c.flash[a:b+1], bytes.Repeat([]byte{0xff}, int(b+1-a)))
	case word("cp.b %x %x %x", &a, &b, &n):
		for i, v := range c.at(a, n) {
			c.flash[b+uint64(i)] &= v
		}
	case word("cmp.b %x %x %x", &a, &b, &n):
		if !bytes.Equal(c.at(a, n), c.at(b, n)) {
			return "byte at 0x1 (0x0) != byte at 0x2 (0x1)\r\nTotal of 0 byte(s) were the same", 1
		}
	case strings.HasPrefix(command, "setenv "):
		name, value, _ := strings.Cut(command[7:], " ")
		if strings.HasPrefix(value, `"`) {
			value = c.env[name] + c.env["itlpiece"]
		}
		if c.env[name] = strings.Trim(value, "'"); value == "" {
			delete(c.env, name)
		}
	}
	return "", 0
}

// Setup, Fetch and Command make a chip its own transfer.
func (c *chip) Setup() map[string]string { return map[string]string{"serverip": "10.0.2.2"} }

func (c *chip) Command(name string, at uint64) string { return fmt.Sprintf("tftpboot %x %s", at, name) }

func (c *chip) Fetch(_ context.Context, _ *uboot.Loader, name string, data []byte, at uint64) error {
	c.ram[at] = bytes.Clone(data)
	c.fetched = append(c.fetched, len(data))
	if c.broken != nil {
		if _, _, bad := c.broken("fetch " + name); bad {
			c.ram[at][0] ^= 1
		}
	}
	return nil
}

func (c *chip) flasher(t *testing.T, b *board.Board) *flasher.Flasher {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	c.conn = there
	go c.run()
	l, err := uboot.Attach(t.Context(), expect.New(here), flasher.Options(b))
	if err != nil {
		t.Fatal(err)
	}
	return &flasher.Flasher{Board: b, Loader: l, Transfer: c}
}

// small is a job of two files of several parts, on a board with NOR flash.
func small(t *testing.T) (*board.Board, flasher.Job) {
	t.Helper()
	b, err := boards.Load("qemu-arm-uboot")
	if err != nil {
		t.Fatal(err)
	}
	var files []flasher.File
	for i, f := range b.Bootloader.Files {
		files = append(files, flasher.File{Flashed: f, Data: bytes.Repeat([]byte{byte(i + 1), 7}, 300_000)})
	}
	job, err := flasher.NewJob(b, files, []string{"-mac", "x"})
	if err != nil {
		t.Fatal(err)
	}
	return b, job
}

// A flash writes the files and the environment, nothing of the boot loader or the vault,
// gives back the variables that it used, and does no work twice.
func TestFlashOfAChip(t *testing.T) {
	b, job := small(t)
	c := newChip()
	vaultAt, vaultSize, _ := b.Partition(flasher.VaultPartition)
	copy(c.flash, "U-Boot itself")
	copy(c.flash[vaultAt:], "the phone's lists")
	f := c.flasher(t, b)
	wrote, err := f.Flash(t.Context(), job)
	if err != nil || wrote != 1_200_000 || c.saves != 1 {
		t.Fatalf("%d bytes, %d saves, %v", wrote, c.saves, err)
	}
	for _, file := range job.Files {
		if at, _, _ := b.Partition(file.Partition); !bytes.HasPrefix(c.flash[at:], file.Data) {
			t.Errorf("%s is not there", file.File)
		}
	}
	if !bytes.HasPrefix(c.flash, []byte("U-Boot itself")) || !bytes.HasPrefix(c.flash[vaultAt:], []byte("the phone's lists")) {
		t.Error("the boot loader or the vault was written")
	}
	if _, there := c.env["serverip"]; there || c.env["bootcmd"] != job.Environment["bootcmd"] || c.env["bootdelay"] != "2" {
		t.Errorf("the environment is %q", c.env)
	}
	if last := c.commands[len(c.commands)-1]; last != "saveenv" {
		t.Errorf("the last command is %q", last)
	}
	if wrote, err := f.Flash(t.Context(), job); wrote != 0 || c.saves != 1 || err != nil {
		t.Errorf("again: %d bytes, %d saves, %v", wrote, c.saves, err)
	}
	c.changes(t, f, job)
	job.EraseVault = true
	if _, err := f.Flash(t.Context(), job); err != nil || len(bytes.Trim(c.flash[vaultAt:][:vaultSize], "\xff")) > 0 {
		t.Errorf("the vault is not erased: %v", err)
	}
}

// changes flashes a file of which two blocks differ, one of them the last: they alone are
// sent and written.
func (c *chip) changes(t *testing.T, f *flasher.Flasher, job flasher.Job) {
	t.Helper()
	file := job.Files[0]
	file.Data = bytes.Clone(file.Data)
	file.Data[300_000] ^= 1
	file.Data[len(file.Data)-1] ^= 1
	at, _, _ := f.Board.Partition(file.Partition)
	const block, part = 256 << 10, 512 << 10
	c.commands, c.fetched = nil, nil
	wrote, err := f.Flash(t.Context(), flasher.Job{Files: []flasher.File{file}})
	if want := int64(block + len(file.Data)%part); wrote != want || err != nil {
		t.Errorf("two blocks of a file: %d bytes, want %d; %v", wrote, want, err)
	}
	if !slices.Equal(c.fetched, []int{block, len(file.Data) % part}) || !bytes.HasPrefix(c.flash[at:], file.Data) {
		t.Errorf("pieces of %d bytes were sent", c.fetched)
	}
	for _, command := range c.commands {
		if strings.HasPrefix(command, "erase ") && command != "erase 4140000 417ffff" && command != "erase 4180000 41bffff" {
			t.Errorf("%s: that block is equal", command)
		}
	}
}

// What goes wrong is one error of its kind, and the environment is not saved.
func TestFlashFails(t *testing.T) {
	always := func(prefix, out string, code int) func(string) (string, int, bool) {
		return func(command string) (string, int, bool) { return out, code, strings.HasPrefix(command, prefix) }
	}
	for name, test := range map[string]struct {
		broken func(string) (string, int, bool)
		change func(*flasher.Job)
		want   error
	}{
		"another architecture":  {always("version", "U-Boot 2023.01\r\nmips-linux-gnu-gcc 12", 0), nil, flasher.ErrArch},
		"no command":            {always("help erase", "Unknown command 'erase' - try 'help'", 1), nil, uboot.ErrNoCommand},
		"no memory there":       {always("bdinfo", "-> start    = 0x40000000\r\n-> size     = 0x4000000", 0), nil, flasher.ErrMemory},
		"a broken transfer":     {always("fetch ", "", 0), nil, flasher.ErrTransfer},
		"it says done, but not": {always("cp.b", "Copy to Flash... done", 0), nil, flasher.ErrVerify},
		"write protection":      {always("erase", "Error: sector is protected", 1), nil, uboot.ErrResult},
		"larger than its place": {nil, func(j *flasher.Job) { j.Files[0].Data = make([]byte, 3<<20+1) }, flasher.ErrTooLarge},
		"no flash there":        {always("flinfo", "Bank # 1: CFI\r\n  Size: 64 MB in 256 Sectors\r\n  Sector Start Addresses:\r\n  00000000   RO   00040000\r\n", 0), nil, flasher.ErrStorage},
		"saveenv fails":         {always("saveenv", "Error", 1), nil, uboot.ErrResult},
	} {
		b, job := small(t)
		c := newChip()
		c.broken = test.broken
		f := c.flasher(t, b)
		if test.change != nil {
			test.change(&job)
		}
		if _, err := f.Flash(t.Context(), job); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if c.saves != 0 {
			t.Errorf("%s: the environment is saved", name)
		}
	}
}

// A part that is written wrongly once is written again, and a transfer that broke once is
// sent again.
func TestFlashTriesAgain(t *testing.T) {
	b, job := small(t)
	c := newChip()
	once := map[string]bool{"cp.b": true, "fetc": true}
	c.broken = func(command string) (string, int, bool) {
		bad := once[command[:4]]
		delete(once, command[:4])
		return "done", 0, bad
	}
	if wrote, err := c.flasher(t, b).Flash(t.Context(), job); err != nil || wrote != 1_200_000 || len(once) > 0 {
		t.Errorf("%d bytes, %v", wrote, err)
	}
}

// A dry run prints each command that is typed for an erased board, and types none.
func TestDryRun(t *testing.T) {
	b, job := small(t)
	var said []string
	f := &flasher.Flasher{Board: b, Transfer: newChip(), Say: func(line string) { said = append(said, line) }}
	if _, err := f.Flash(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(said, "\n")
	if strings.Contains(all, "written") {
		t.Error("a dry run claims that it wrote")
	}
	for _, want := range []string{"setenv serverip '10.0.2.2'", "tftpboot 48000000 kernel.0", "protect off 4100000 417ffff", "erase 4100000 417ffff", "cp.b 48000000 4100000 80000", "cmp.b 48000000 4100000 80000", "tftpboot 48000000 initramfs.1", "saveenv"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not printed", want)
		}
	}
}
