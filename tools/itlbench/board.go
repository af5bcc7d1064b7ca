package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/platform/limits"
	"itlagent/platform/strictyaml"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/tools/flasher"
	"itlagent/tools/qemu"
	"itlagent/tools/rig"
)

// hostForGuest is the address by which a guest in QEMU's user networking reaches the
// host's loopback.
const hostForGuest = "10.0.2.2"

func runImage(e *env, args []string) int {
	f := e.flags("image")
	out := f.StringP("output", "o", "", "`DIR` for the files; image-BOARD where none is given")
	kernel := f.String("kernel", "", "kernel `FILE`; that of the board in the cache where none is given")
	dtb := f.String("dtb", "", "device tree `FILE`, for a board whose kernel needs one")
	mac := f.String("mac", "", "the phone's MAC `address`, for the command line")
	model := f.String("model", "CP-7965G", "phone `model`, for the command line")
	tftp := f.StringArray("tftp", nil, "`ADDR` of a TFTP server as the board sees it, for the command line")
	check := f.Bool("check", false, "check the board's description alone, and the kernel and device tree that are given")
	small := f.Bool("small", false, "a device program without pages")
	list := f.Bool("list", false, "list the boards")
	if code, ok := e.parse(f, args, -1); !ok {
		return code
	}
	if *list {
		return e.listBoards()
	}
	if f.NArg() != 1 {
		return e.usage("image: which board? There are: %s", strings.Join(boards.Names(), ", "))
	}
	b, code := e.board(f.Arg(0))
	if b == nil {
		return code
	}
	o := image.Options{Dir: *out, Kernel: *kernel, DTB: *dtb, Small: *small}
	if *check {
		if err := image.Check(b, o); err != nil {
			return e.fail(exitNo, "%s: %v", b.Name, plainPath(err))
		}
		fmt.Fprintf(e.stdout, "%s: sound\n", b.Name)
		return exitOK
	}
	if o.Dir == "" {
		o.Dir = "image-" + b.Name
	}
	if *mac != "" || len(*tftp) > 0 {
		o.Phone = qemu.PhoneArgs(*mac, *model, *tftp)
	}
	if o.Kernel == "" && b.Kernel.Minimal+b.Kernel.Debian != "" {
		var err error
		if o.Kernel, o.Modules, err = image.FindKernel(b); err != nil {
			return e.fail(exitInfra, "image: %v", err)
		}
	}
	o.Environment = func(files map[string][]byte) (map[string]string, error) {
		return environmentOf(b, files, o.Phone)
	}
	if b.Bootloader != nil && len(o.Phone) == 0 {
		fmt.Fprintln(e.stderr, "itlbench: without --mac and --tftp the board asks for them on its console")
	}
	m, err := image.Build(b, o)
	if err != nil {
		return e.fail(exitInfra, "image: %v", plainPath(err))
	}
	for _, file := range m.Files {
		fmt.Fprintf(e.stdout, "%-24s %10d %s\n", file.Name, file.Size, file.SHA256)
	}
	return exitOK
}

func (e *env) listBoards() int {
	for _, name := range boards.Names() {
		b, err := boards.Load(name)
		if err != nil {
			return e.fail(exitNo, "%v", err)
		}
		fmt.Fprintf(e.stdout, "%s\n    %s\n", b.Name, about(b))
	}
	return exitOK
}

// environmentOf returns what a boot loader has to know of the files of an image.
func environmentOf(b *board.Board, files map[string][]byte, phone []string) (map[string]string, error) {
	var all []flasher.File
	for _, f := range b.Bootloader.Files {
		all = append(all, flasher.File{Flashed: f, Data: files[f.File]})
	}
	return flasher.Wanted(b, all, phone)
}

// about tells of a board in one line.
func about(b *board.Board) string {
	switch {
	case b.Tried != "":
		return b.About + "; tried on " + b.Tried
	case b.QEMU == nil:
		return b.About + "; not tried on hardware"
	}
	return b.About
}

// board loads a board by name, or from a file.
func (e *env) board(name string) (*board.Board, int) {
	if !strings.HasSuffix(name, ".yaml") {
		b, err := boards.Load(name)
		if err != nil {
			return nil, e.usage("%v", err)
		}
		return b, exitOK
	}
	data, err := readYAML(name)
	if err != nil {
		return nil, e.usage("%v", plainPath(err))
	}
	b, err := board.Parse(data)
	if errors.Is(err, strictyaml.ErrLimit) {
		return nil, e.usage("%s: %v", name, err)
	}
	if err != nil {
		return nil, e.fail(exitNo, "%s: %v", name, err)
	}
	if file := strings.TrimSuffix(filepath.Base(name), ".yaml"); b.Name != file {
		return nil, e.fail(exitNo, "%s: its name is %q: want %q, as that of the file", name, b.Name, file)
	}
	return b, exitOK
}

// qemuFlags say what runs, and beside what.
type qemuFlags struct {
	dir, beside, mac, model string
	tftp                    []string
	memory, cuts            int
	seed                    uint64
	show                    bool
}

func (x *qemuFlags) add(f *pflag.FlagSet) {
	const minMemory, maxMemory = 16, 2048 // MiB: what a board must have, and what malta can
	const maxCuts = 1_000_000
	f.StringVar(&x.dir, "dir", "", "`DIR` of the image, made where it is missing; image-BOARD where none is given")
	f.StringVar(&x.beside, "cluster", "", "`PROFILE` of a cluster that runs beside the board")
	f.StringArrayVar(&x.tftp, "tftp", nil, "`ADDR` of a TFTP server as the board sees it, in the place of --cluster")
	f.StringVar(&x.mac, "mac", "64A0E71502CC", "the phone's MAC `address`")
	f.StringVar(&x.model, "model", "CP-7965G", "phone `model`")
	f.Var(limits.Int(&x.memory, minMemory, maxMemory), "memory", "`MiB` of memory; the board's own where it is not given")
	f.Var(limits.Int(&x.cuts, 1, maxCuts), "powercut", "cut the power `N` times at random moments, and report")
	f.Uint64Var(&x.seed, "seed", 0, "`SEED` of those moments; 0 takes the time")
	f.BoolVar(&x.show, "print", false, "print the emulator's command line alone")
}

// cut cuts the power of a board.
func (x *qemuFlags) cut(ctx context.Context, e *env, b *board.Board, opts qemu.Options, c *cluster.Cluster) int {
	emulated := qemu.NewRig(b, x.mac, x.model, opts)
	campaign := &rig.Campaign{Rig: emulated, Phone: rig.NewPhone(emulated, x.tftp), MAC: x.mac, Cluster: c, Cuts: x.cuts, Seed: x.seed}
	code, err := (&cutting{campaign, b.Name, false}).run(ctx, e)
	if err != nil {
		return e.fail(exitInfra, "qemu: %v", err)
	}
	return code
}

func runQEMU(e *env, args []string) int {
	f := e.flags("qemu")
	var x qemuFlags
	x.add(f)
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	b, code := e.board(f.Arg(0))
	if b == nil {
		return code
	}
	if b.QEMU == nil {
		return e.fail(exitInfra, "board %s is not an emulated one", b.Name)
	}
	if err := qemu.Check(b); err != nil && !x.show {
		return e.fail(exitInfra, "qemu: %v", err)
	}
	if x.dir == "" {
		x.dir = "image-" + b.Name
	}
	opts := qemu.Options{Dir: x.dir, Memory: x.memory, Reboots: b.QEMU.UBoot != ""}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c *cluster.Cluster
	if x.beside != "" {
		var err error
		if c, err = startForGuest(x.beside, filepath.Join(x.dir, "cluster")); err != nil {
			return e.fail(exitInfra, "%v", err)
		}
		defer c.Close()
		x.tftp = guestServers(c)
	}
	opts.Phone = qemu.PhoneArgs(x.mac, x.model, x.tftp)
	if x.show {
		fmt.Fprintln(e.stdout, strings.Join(quoteAll(qemu.Command(b, opts, ".")), " "))
		return exitOK
	}
	if len(x.tftp) == 0 && b.QEMU.UBoot == "" { // what is flashed has its servers
		return e.usage("qemu: --cluster or --tftp")
	}
	if err := ensureImage(b, x.dir); err != nil {
		return e.fail(exitInfra, "qemu: %v", plainPath(err))
	}
	if x.cuts > 0 {
		if b.QEMU.UBoot != "" {
			return e.usage("qemu: --powercut takes no board with a boot loader")
		}
		if c == nil {
			return e.usage("qemu: --powercut needs --cluster")
		}
		return x.cut(ctx, e, b, opts, c)
	}
	m, err := qemu.Start(context.WithoutCancel(ctx), b, opts) // attach ends it
	if err != nil {
		return e.fail(exitInfra, "qemu: %v", err)
	}
	defer m.Kill()
	fmt.Fprintf(e.stderr, "%s runs; all that its console says is in %s; Ctrl-C turns it off\r\n", b.Name, filepath.Join(x.dir, qemu.SerialLog))
	return e.attach(ctx, m)
}

func quoteAll(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = w; strings.ContainsAny(w, " ()$\"'") {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return out
}

// startForGuest starts a cluster whose phones are told the address that a guest has
// for the host.
func startForGuest(name, dir string) (*cluster.Cluster, error) {
	p, err := profile.Builtin(name)
	if err != nil {
		return nil, err
	}
	p.Advertise = hostForGuest
	c, err := cluster.New(p, cluster.Options{Dir: dir, Tick: true})
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// guestServers returns the cluster's TFTP servers as a guest sees them.
func guestServers(c *cluster.Cluster) []string { return serversAt(c, hostForGuest) }

// serversAt returns the cluster's TFTP servers by an address of this machine.
func serversAt(c *cluster.Cluster, host string) (servers []string) {
	for _, name := range c.State().TFTPNodes() {
		if n, err := c.Node(name); err == nil {
			_, port, _ := net.SplitHostPort(n.Address())
			servers = append(servers, net.JoinHostPort(host, port))
		}
	}
	return servers
}

// ensureImage makes an image where there is none; one that is there, with its flash,
// stays.
func ensureImage(b *board.Board, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, image.ManifestFile)); err == nil {
		return nil
	}
	kernel, modules, err := image.FindKernel(b)
	if err != nil {
		return err
	}
	_, err = image.Build(b, image.Options{Dir: dir, Kernel: kernel, Modules: modules})
	return err
}

// attach joins the user's terminal to the console until either ends.
func (e *env) attach(ctx context.Context, m *qemu.Machine) int {
	in, ok := e.stdin.(*os.File)
	tty := ok && term.IsTerminal(int(in.Fd()))
	if tty {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return e.fail(exitInfra, "%v", err)
		}
		defer term.Restore(int(in.Fd()), old)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		const interrupt = 3 // Ctrl-C, which a terminal in raw mode hands on
		buf := make([]byte, 256)
		for {
			n, err := e.stdin.Read(buf)
			for _, c := range buf[:n] {
				if tty && c == interrupt {
					stop()
					return
				}
			}
			if n > 0 {
				m.Console.Write(buf[:n])
				if !tty {
					time.Sleep(typing) // a serial line takes no more at once
				}
			}
			if err != nil {
				return // the board goes on
			}
		}
	}()
	output := make(chan error, 1)
	go func() {
		_, err := io.Copy(e.stdout, m.Console)
		output <- err
	}()
	select {
	case <-ctx.Done():
		m.PowerOff()
		return exitOK
	case <-m.Done():
		return e.boardEnded(m)
	case err := <-output:
		if err == nil {
			<-m.Done() // the console ends with the board
			return e.boardEnded(m)
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return e.fail(exitInfra, "console: %v", err)
		}
		return exitOK
	}
}

// boardEnded tells a power-off from an emulator that died.
func (e *env) boardEnded(m *qemu.Machine) int {
	if err := m.Err(); err != nil {
		return e.fail(exitInfra, "qemu: %v", err)
	}
	return exitOK
}

// typing is the pause after a piece of input that is piped in.
const typing = 50 * time.Millisecond
