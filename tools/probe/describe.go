package probe

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"itlagent/agent/printable"
	"itlagent/platform/board"
	"itlagent/tools/uboot"
)

// facts are what the answers say, as far as it was recognized.
type facts struct {
	version  string
	arch     string // "" unknown
	memory   []uboot.Range
	env      map[string]string
	commands []string
	nor      []norBank
	sf       []int64 // erase size and size, in bytes
	mmc      bool
}

// norBank is one bank of NOR flash.
type norBank struct {
	base        uint64
	size, erase int64 // bytes
}

// The forms of answers. Numbers have as many digits as they need, and no more.
var (
	commandLine = regexp.MustCompile(`(?m)^([a-z][a-z0-9_.]{0,20})\s+- `)
	bankSize    = regexp.MustCompile(`Size: (\d{1,6}) (MB|kB) in (\d{1,6}) Sectors`)
	sectorStart = regexp.MustCompile(`(?m)^\s+([0-9A-Fa-f]{8})\b`)
	sfLine      = regexp.MustCompile(`erase size (\d{1,5}) KiB, total (\d{1,5}) MiB`)
	consoleArg  = regexp.MustCompile(`\b(tty[A-Za-z]{1,6}\d{1,2})(?:,(\d{3,7}))?`)
	mtdpartsArg = regexp.MustCompile(`mtdparts=([A-Za-z0-9._-]{1,40}):([A-Za-z0-9@(),._-]{1,500})`)
)

func recognize(answers map[string]string) facts {
	clean := func(q string) string {
		text := strings.ReplaceAll(answers[q], "\r", "")
		return text[:min(len(text), maxAnswer)]
	}
	v := uboot.ParseVersion(clean("version"))
	f := facts{version: printable.Clip(v.Text, 80), arch: v.Arch, memory: uboot.ParseMemory(clean("bdinfo")), env: uboot.ParseEnvironment(clean("printenv"))}
	for _, g := range commandLine.FindAllStringSubmatch(clean("help"), -1) {
		f.commands = append(f.commands, g[1])
	}
	f.nor = norBanks(clean("flinfo"))
	if g := sfLine.FindStringSubmatch(clean("sf probe")); g != nil {
		erase, size := number(g[1])<<10, number(g[2])<<20
		if erase > 0 && size > erase {
			f.sf = []int64{erase, size}
		}
	}
	f.mmc = strings.Contains(clean("mmc info"), "Capacity")
	return f
}

// number reads digits that a pattern has bounded.
func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}

// norBanks reads the output of flinfo: for each bank its size, its sectors, and behind
// them where each begins.
func norBanks(out string) (banks []norBank) {
	at := bankSize.FindAllStringSubmatchIndex(out, -1)
	for i, m := range at {
		end := len(out)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		size := number(out[m[2]:m[3]]) << map[string]int{"MB": 20, "kB": 10}[out[m[4]:m[5]]]
		sectors := number(out[m[6]:m[7]])
		first := sectorStart.FindStringSubmatch(out[m[1]:end])
		if sectors == 0 || size == 0 || size%sectors != 0 || first == nil {
			continue
		}
		base, err := strconv.ParseUint(first[1], 16, 64)
		if err == nil {
			banks = append(banks, norBank{base, size, size / sectors})
		}
	}
	return banks
}

// Describe writes the first description of a board: what was recognized, and questions
// where something was not. open are those questions.
func Describe(name, prompt, stop string, answers map[string]string) (text string, open []string) {
	f := recognize(answers)
	w := &writer{}
	w.line("name: %s", name)
	w.line("about: %s", quote(f.about()))
	w.line("# Written by itlbench board probe from what the boot loader says. Lines with a")
	w.line("# question have a guess: answer it, and take the question away.")
	w.processor(f)
	w.console(f)
	w.network(f)
	w.flash(f)
	w.loader(f, prompt, stop)
	return w.text.String(), w.open
}

func (f facts) about() string {
	if f.version == "" {
		return "a board with an unknown boot loader"
	}
	return "a board with " + f.version
}

// quote is text as YAML takes it in double quotes.
func quote(text string) string { return strconv.QuoteToASCII(text) }

// writer writes a description, and keeps the questions.
type writer struct {
	text strings.Builder
	open []string
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

// ask writes a line with a question behind it.
func (w *writer) ask(question, format string, args ...any) {
	w.open = append(w.open, question)
	w.line(format+" # ? "+question, args...)
}

func (w *writer) processor(f facts) {
	switch {
	case f.arch == "arm":
		w.line("arch: arm")
		w.ask("which ARM is it: 5, 6 or 7?", "goarm: 7")
	case slices.Contains([]string{"mips", "mipsle", "amd64"}, f.arch):
		w.line("arch: %s", f.arch)
	default:
		w.ask("which architecture: arm, mips or mipsle?", "arch: arm")
		w.line("goarm: 7")
	}
	total := uint64(0)
	for _, m := range f.memory {
		total += m.Size >> 20
	}
	if total < 16 || total > 1<<16 {
		w.ask("how much memory, in MiB?", "memory: 64")
		return
	}
	w.line("memory: %d", total)
}

func (w *writer) console(f facts) {
	device, baud := "", 0
	for _, text := range []string{f.env["console"], f.env["bootargs"]} {
		if g := consoleArg.FindStringSubmatch(text); g != nil && device == "" {
			device, baud = g[1], int(number(g[2]))
		}
	}
	if baud == 0 {
		baud = int(number(regexp.MustCompile(`^\d{3,7}`).FindString(f.env["baudrate"])))
	}
	if baud == 0 {
		baud = 115200
	}
	if device == "" {
		w.ask("how does the kernel call its console?", "console: {device: ttyS0, baud: %d}", baud)
		return
	}
	w.line("console: {device: %s, baud: %d}", device, baud)
}

func (w *writer) network(f facts) {
	ip, mask, gateway := net.ParseIP(f.env["ipaddr"]).To4(), net.ParseIP(f.env["netmask"]).To4(), f.env["gatewayip"]
	ones, bits := net.IPMask(mask).Size()
	if ip == nil || bits != 32 || ones == 0 {
		w.ask("which address has it, and which gateway?", "network: {interface: eth0, address: 192.0.2.15/24, gateway: 192.0.2.1}")
		return
	}
	prefix := fmt.Sprintf("%s/%d", ip, ones)
	p, _ := netip.ParsePrefix(prefix) // made of an address and a mask
	if g, err := netip.ParseAddr(gateway); err == nil && p.Contains(g) {
		w.line("network: {interface: eth0, address: %s, gateway: %s}", prefix, g)
		return
	}
	w.line("network: {interface: eth0, address: %s}", prefix)
}

// storage is what the description takes as the board's storage.
func (f facts) storage() (kind, place string, erase, size int64) {
	switch {
	case len(f.nor) > 0:
		b := f.nor[len(f.nor)-1]
		return "nor", fmt.Sprintf("base: \"%#x\"", b.base), b.erase, b.size
	case f.sf != nil:
		return "sf", `device: "0"`, f.sf[0], f.sf[1]
	}
	return "mmc", `device: "0"`, 64 << 10, 32 << 20
}

func (w *writer) flash(f facts) {
	kind, _, erase, size := f.storage()
	if kind == "mmc" && !f.mmc {
		w.ask("neither flinfo, sf probe nor mmc info tells of a storage: which is it?", "flash:")
	} else {
		w.line("flash:")
	}
	device, key, chip := "/dev/mtd4", "mtdparts", "0.flash"
	switch kind {
	case "sf":
		chip = "spi0.0"
	case "mmc":
		device, key, chip = "/dev/mmcblk0p5", "blkdevparts", "mmcblk0"
	}
	if g := mtdpartsArg.FindStringSubmatch(f.env["mtdparts"]); g != nil && key == "mtdparts" {
		chip = g[1]
		w.line("  # the loader's mtdparts=%s:%s", g[1], g[2])
	}
	w.line("  device: %s", device)
	w.line("  eraseSize: %d", erase)
	w.ask("where are the loader and its environment? What must stay?", "  partitions:")
	var parts []string
	at := int64(0)
	// What comes first is taken for the loader's; a vault needs three erase blocks.
	for _, p := range []struct {
		name string
		kib  int64
	}{{"u-boot", size >> 13}, {"env", 256}, {"kernel", 3 << 10}, {"initramfs", 4 << 10}, {"vault", 512}} {
		n := whole(max(p.kib<<10, erase), erase)
		if p.name == "vault" {
			n = max(n, 3*erase)
		}
		w.line("    - {name: %s, offset: %d, size: %d}", p.name, at, n)
		parts = append(parts, fmt.Sprintf("%dk(%s)%s", n>>10, p.name, map[bool]string{false: "ro"}[p.name == "vault"]))
		at += n
	}
	if at > size {
		w.open = append(w.open, fmt.Sprintf("the flash has %d KiB, kernel, initramfs and vault need %d", size>>10, at>>10))
	}
	w.line("kernel:")
	w.line("  image: uimage")
	w.ask("where does the kernel run?", "  load: %q", fmt.Sprintf("%#x", f.ram(32<<10)))
	w.ask("how does the kernel call the flash? dmesg says it", "  args: [\"%s=%s:%s\"]", key, chip, strings.Join(parts, ","))
	w.line("boot: {method: uboot, loadAddress: \"0\", entryPoint: \"0\"}")
}

// whole rounds up to erase blocks.
func whole(n, erase int64) int64 { return (n + erase - 1) / erase * erase }

// ram is an address so far into the first bank of memory.
func (f facts) ram(offset uint64) uint64 {
	base := map[string]uint64{"mips": 0x80000000, "mipsle": 0x80000000}[f.arch]
	if len(f.memory) > 0 && base == 0 {
		base = f.memory[0].Start
	}
	return (base + offset) & (1<<32 - 1)
}

// address is a variable of the loader's that names a place in memory, or one so far into
// memory.
func (f facts) address(offset uint64, names ...string) string {
	for _, name := range names {
		text := strings.TrimPrefix(strings.ToLower(f.env[name]), "0x")
		if n, err := strconv.ParseUint(text, 16, 32); err == nil && n > 0 {
			return fmt.Sprintf("%#x", n)
		}
	}
	return fmt.Sprintf("%#x", f.ram(offset))
}

func (w *writer) loader(f facts, prompt, stop string) {
	kind, place, _, _ := f.storage()
	w.line("bootloader:")
	w.line("  prompt: %s", quote(prompt))
	if stop == "" {
		w.ask("what does it say while a key stops its boot?", "  stop: Hit any key to stop autoboot")
	} else {
		w.line("  stop: %s", quote(stop))
	}
	const mib = 1 << 20
	kernel, initramfs := f.address(24*mib, "kernel_addr_r"), f.address(40*mib, "ramdisk_addr_r", "rdaddr")
	w.line("  load: %q", f.address(16*mib, "loadaddr", "fileaddr"))
	w.line("  storage: {kind: %s, %s}", kind, place)
	w.line("  own: u-boot")
	w.line("  files:")
	w.line("    - {partition: kernel, file: kernel.uimage, address: %q}", kernel)
	w.line("    - {partition: initramfs, file: initramfs.uimage, address: %q}", initramfs)
	w.ask("does the kernel need a device tree? Then its address is the third argument", "  boot: bootm %s %s", kernel[2:], initramfs[2:])
	w.line("  environment: saveenv")
	if !slices.Contains(f.commands, "saveenv") {
		w.open = append(w.open, "the loader has no saveenv: how are its variables kept?")
	}
	for _, need := range []string{"crc32", "bootm"} {
		if len(f.commands) > 0 && !slices.Contains(f.commands, need) {
			w.open = append(w.open, "the loader has no "+need+", which itlbench flash needs")
		}
	}
}

// Sound reports whether a description can be read, with what --check would say.
func Sound(text string) error {
	_, err := board.Parse([]byte(text))
	return err
}
