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
	"slices"
	"strings"
	"syscall"

	"itlagent/agent/printable"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/platform/limits"
	"itlagent/platform/serial"
	"itlagent/testbench/cluster"
	"itlagent/tools/expect"
	"itlagent/tools/flasher"
	"itlagent/tools/power"
	"itlagent/tools/qemu"
	"itlagent/tools/uboot"
)

// flashing is what flash was asked for.
type flashing struct {
	site
	env                           *env
	over, only                    string
	beside, listen, server        string
	mac, model                    string
	tftp                          []string
	dry, once, eraseVault, noBoot bool
	baud                          int

	emulated bool           // its emulator is started here
	set      serial.Control // of the line's rates, where it has any
	folder   string         // of the emulator's own TFTP server
}

func runFlash(e *env, args []string) int {
	f := e.flags("flash")
	r := &flashing{env: e}
	r.addLine(f)
	f.StringVar(&r.dir, "dir", "", "`DIR` of the image, made where it is missing; image-BOARD where none is given")
	f.StringVar(&r.beside, "cluster", "", "`PROFILE` of a cluster that runs beside an emulated board")
	f.StringArrayVar(&r.tftp, "tftp", nil, "`ADDR` of the phone's TFTP server as the board sees it, in the place of --cluster")
	f.StringVar(&r.mac, "mac", "64A0E71502CC", "the phone's MAC `address`")
	f.StringVar(&r.model, "model", "CP-7965G", "phone `model`")
	f.StringVar(&r.over, "over", "auto", "how files are sent: tftp, ymodem, xmodem or kermit; auto is TFTP, and YMODEM where that fails")
	f.StringVar(&r.listen, "listen", "", "`ADDR` where this machine serves TFTP to a real board, such as 192.0.2.1:69")
	f.StringVar(&r.server, "server", "", "`ADDR` of that server as the board sees it; that of --listen where none is given")
	f.StringVar(&r.only, "only", "", "flash `PART` alone: kernel, initramfs or env")
	f.BoolVar(&r.dry, "dry-run", false, "print every command for the boot loader, and send none")
	f.BoolVar(&r.once, "boot-once", false, "boot from memory, and write nothing")
	f.BoolVar(&r.eraseVault, "erase-vault", false, "erase what the phone keeps, too")
	f.BoolVar(&r.noBoot, "no-boot", false, "do not boot what was flashed")
	const maxBaud = 4_000_000
	f.Var(limits.Int(&r.baud, 1200, maxBaud), "baud", "`RATE` of the line while a file is sent over it; the console's own where it is not given")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	if code := r.find(e, f, f.Arg(0)); code != exitOK {
		return code
	}
	r.emulated = r.board.QEMU != nil && !r.found
	if text := r.wrong(); text != "" {
		return e.usage("flash: %s", text)
	}
	if r.dir == "" {
		r.dir = "image-" + r.board.Name
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := r.run(ctx)
	if err != nil {
		return e.flashFailed(ctx, err)
	}
	return code
}

// wrong says what of the arguments does not go together.
func (r *flashing) wrong() string {
	switch {
	case r.board.Bootloader == nil:
		return fmt.Sprintf("board %s has no boot loader in its description", r.board.Name)
	case !r.overLine() && !slices.Contains([]string{"auto", "tftp"}, r.over):
		return fmt.Sprintf("--over %s: want auto, tftp, ymodem, xmodem or kermit", r.over)
	case r.only != "" && r.only != "env" && !slices.ContainsFunc(r.board.Bootloader.Files, func(f board.Flashed) bool { return f.Partition == r.only }):
		return fmt.Sprintf("--only %s: want kernel, initramfs or env", r.only)
	case r.emulated && r.console != "":
		return "an emulated board has its own console; leave --console out"
	case r.emulated && r.power != "":
		return "an emulated board is turned on by itself; leave --power out"
	case !r.emulated && r.console == "" && !r.dry:
		return "--console says which line the board is at"
	case !r.emulated && r.beside != "":
		return "--cluster is for emulated boards; --tftp says where the phone's cluster is"
	case r.beside == "" && len(r.tftp) == 0:
		return "--cluster or --tftp"
	case !r.emulated && r.listen == "" && r.over == "tftp":
		return "--listen says where this machine serves TFTP to the board"
	}
	return ""
}

// run flashes, and returns the exit code.
func (r *flashing) run(ctx context.Context) (int, error) {
	if err := ensureImage(r.board, r.dir); err != nil {
		return 0, err
	}
	if r.beside != "" && !r.dry {
		c, err := r.cluster()
		if err != nil {
			return 0, err
		}
		defer c.Close()
	} else if r.beside != "" {
		r.tftp = append(r.tftp, r.clusterBefore()...)
	}
	job, err := r.job()
	if err != nil {
		return 0, err
	}
	f := &flasher.Flasher{Board: r.board, Say: func(line string) { fmt.Fprintln(r.env.stdout, printable.Text(line)) }}
	if r.dry {
		return r.dryRun(ctx, f, job)
	}
	line, done, err := r.open(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	transfer, closeTransfer, err := r.transfer()
	if err != nil {
		return 0, err
	}
	defer closeTransfer()
	e := expect.New(line)
	if f.Loader, err = uboot.Attach(ctx, e, flasher.Options(r.board)); err != nil {
		return 0, err
	}
	f.Transfer, f.Progress = transfer, r.progress
	if err := r.write(ctx, f, job); err != nil || r.noBoot {
		return exitOK, err
	}
	said, reason, err := flasher.WaitPhone(ctx, e, f.Say)
	if err != nil {
		return 0, err
	}
	f.Say(said)
	if reason != "accepted" {
		return exitNo, nil
	}
	return exitOK, nil
}

// clusterBefore returns the servers of the cluster of an earlier run, which keep their
// ports, or others in their place.
func (r *flashing) clusterBefore() []string {
	c, err := cluster.Open(cluster.Options{Dir: filepath.Join(r.dir, "cluster")})
	if err != nil {
		return []string{hostForGuest + ":6970"}
	}
	defer c.Close()
	return guestServers(c)
}

// cluster runs a cluster beside the board, in the folder of its image. There it keeps its
// ports from one run to the next, and with them the board's environment.
func (r *flashing) cluster() (*cluster.Cluster, error) {
	c, err := startForGuest(r.beside, filepath.Join(r.dir, "cluster"))
	if err == nil {
		r.tftp = guestServers(c)
	}
	return c, err
}

// write does the job, and starts the board with it.
func (r *flashing) write(ctx context.Context, f *flasher.Flasher, job flasher.Job) error {
	try := func() error {
		if r.once {
			return f.BootOnce(ctx, job)
		}
		wrote, err := f.Flash(ctx, job)
		if err == nil {
			f.Say(fmt.Sprintf("%d bytes written", wrote))
		}
		return err
	}
	err := try()
	if errors.Is(err, flasher.ErrTFTP) && r.over == "auto" && ctx.Err() == nil {
		f.Say("TFTP does not work: over the serial line")
		f.Transfer = r.serial(flasher.YMODEM)
		err = try()
	}
	if err != nil || r.once {
		return err
	}
	if err := f.Restart(ctx, job.Environment); err != nil || r.noBoot {
		return err
	}
	return f.Boot(ctx)
}

// dryRun prints what would be typed.
func (r *flashing) dryRun(ctx context.Context, f *flasher.Flasher, job flasher.Job) (int, error) {
	f.Transfer = &flasher.TFTP{Addresses: r.addresses(69)}
	if r.overLine() {
		f.Transfer = r.serial(flasher.Protocol(r.over))
	}
	if r.once {
		return exitOK, f.BootOnce(ctx, job)
	}
	if _, err := f.Flash(ctx, job); err != nil {
		return 0, err
	}
	if err := f.Restart(ctx, nil); err != nil {
		return 0, err
	}
	return exitOK, f.Boot(ctx)
}

// job reads the files of the image.
func (r *flashing) job() (job flasher.Job, err error) {
	var all []flasher.File
	for _, file := range r.board.Bootloader.Files {
		data, err := readLimited(filepath.Join(r.dir, file.File), image.MaxFile)
		if errors.Is(err, os.ErrNotExist) {
			return job, fmt.Errorf("%s is missing in %s: itlbench image makes it; see its --kernel and --dtb", file.File, r.dir)
		}
		if err != nil {
			return job, err
		}
		if err := image.CheckUImage(r.board, data); err != nil {
			return job, fmt.Errorf("%s: %w", file.File, err)
		}
		all = append(all, flasher.File{Flashed: file, Data: data})
	}
	whole, err := flasher.NewJob(r.board, all, qemu.PhoneArgs(r.mac, r.model, r.tftp))
	if err != nil {
		return job, err
	}
	job.EraseVault, job.Environment = r.eraseVault, whole.Environment
	for _, f := range whole.Files {
		if r.only == "" || r.only == f.Partition || r.only == "env" && f.Partition == flasher.BootPartition {
			job.Files = append(job.Files, f)
		}
	}
	return job, nil
}

// open returns the board's line, and what closes it.
func (r *flashing) open(ctx context.Context) (io.ReadWriter, func(), error) {
	if !r.emulated {
		line, err := r.openThere(ctx)
		if err != nil {
			return nil, nil, err
		}
		r.set = line
		return line, func() { line.Close() }, nil
	}
	if err := qemu.Check(r.board); err != nil {
		return nil, nil, err
	}
	o := qemu.Options{Dir: r.dir, Reboots: true}
	if !r.board.Bootloader.TFTPPort {
		r.folder = filepath.Join(r.dir, "tftp")
		if err := os.MkdirAll(r.folder, 0o700); err != nil {
			return nil, nil, err
		}
		o.TFTP = r.folder
	}
	m, err := qemu.Start(context.WithoutCancel(ctx), r.board, o)
	if err != nil {
		return nil, nil, err
	}
	return m.Console, m.PowerOff, nil
}

// progress draws a bar on a terminal.
func (r *flashing) progress(done, total int64) {
	if file, ok := r.env.stderr.(*os.File); !ok || !isTerminal(file) || total == 0 {
		return
	}
	const width = 40
	n := int(done * width / total)
	fmt.Fprintf(r.env.stderr, "\r[%s%s] %3d %% of %d KiB ", strings.Repeat("#", n), strings.Repeat(" ", width-n), done*100/total, total>>10)
	if done == total {
		fmt.Fprintln(r.env.stderr)
	}
}

// hints are what to try, by what went wrong.
var hints = []struct {
	err  error
	hint string
}{
	{uboot.ErrGarbage, "the rate of the line and of the board differ: --console LINE,RATE"},
	{uboot.ErrNoPrompt, "turn the board off and on; check cable, line, rate, and the board's prompt and stop text"},
	{uboot.ErrNoCommand, "this boot loader was built without it: another storage in the board's description, or --over"},
	{uboot.ErrEcho, "slow down the line, or check its flow control"},
	{flasher.ErrTFTP, "a firewall, the address, or the cable; --over ymodem needs no network"},
	{flasher.ErrTransfer, "run it again: what was written is not sent again"},
	{flasher.ErrTooLarge, "itlbench image --small makes a smaller one; docs/flash.md shows the partitions"},
	{flasher.ErrVerify, "write protection or worn flash; run it again"},
	{flasher.ErrArch, "this is the description of another board"},
	{flasher.ErrStorage, "check the partitions, and the storage, of the board's description"},
	{flasher.ErrMemory, "check load and the addresses of the board's description"},
	{image.ErrArch, "make the image of this board again: itlbench image"},
	{serial.ErrVanished, "plug it in, and run it again: what was written is not sent again"},
	{expect.ErrOff, "turn it on, and run it again: what was written is not sent again"},
	{expect.ErrSilent, "turn the board off and on, and run it again"},
	{os.ErrPermission, "join the group dialout, or see docs/flash.md"},
	{power.ErrSwitch, "run the command by hand; it is called with on, off or cycle behind it"},
}

// flashFailed prints one line, with a hint, and returns the code.
func (e *env) flashFailed(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		return e.fail(exitInfra, "flash: interrupted; the next flash goes on where this one ended")
	}
	text, hint := plainPath(err).Error(), ""
	if first, _, more := strings.Cut(text, ":\n"); more { // the board's last lines are in its log
		text = first
	}
	for _, h := range hints {
		if hint == "" && errors.Is(err, h.err) {
			hint = " (" + h.hint + ")"
		}
	}
	return e.fail(exitInfra, "flash: %s%s", text, hint)
}

// addresses are those of the transfer as the board sees them.
func (r *flashing) addresses(port int) flasher.Addresses {
	n := r.board.Network
	ip, network, err := net.ParseCIDR(n.Address)
	a := flasher.Addresses{Gateway: n.Gateway, Server: r.server}
	if err == nil {
		a.Board, a.Mask = ip.String(), net.IP(network.Mask).String()
	}
	host, _, _ := net.SplitHostPort(r.listen)
	if a.Server == "" {
		a.Server = host
	}
	if r.board.QEMU != nil {
		a.Server = hostForGuest
	}
	if r.board.Bootloader.TFTPPort {
		a.Port = port
	}
	return a
}
