package flasher_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/testbench/vaultimage"
	"itlagent/tools/expect"
	"itlagent/tools/flasher"
	"itlagent/tools/qemu"
	"itlagent/tools/uboot"
)

var (
	cuts       = flag.Int("cuts", 2, "how often each board is cut while it is flashed")
	cutSeed    = flag.Uint64("cutseed", 0, "seed of the moments; 0 takes the time")
	serialOnly = flag.Bool("serial", false, "flash each board over its serial line alone, which takes minutes")
)

const mac = "64A0E71502CC"

// bench is an emulated board beside a cluster. Its image is that of all tests, its flash
// its own.
type bench struct {
	t     *testing.T
	board *board.Board
	dir   string
	*base
}

// flashed runs a test for every emulated board with a boot loader for which there are
// an emulator, a kernel and the loader: boards beside each other.
func flashed(t *testing.T, f func(*bench)) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	for _, name := range boards.Names() {
		b, err := boards.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.QEMU == nil || b.Bootloader == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			_, _, err := image.FindKernel(b)
			_, loader := image.FindUBoot(b)
			if err := errors.Join(qemu.Check(b), err, loader); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			t.Parallel()
			x := &bench{t: t, board: b, dir: t.TempDir(), base: prepare(t, b)}
			x.link()
			t.Cleanup(func() {
				if log, err := os.ReadFile(filepath.Join(x.dir, qemu.SerialLog)); t.Failed() && err == nil {
					t.Logf("the end of the console:\n%s", log[max(0, len(log)-6000):])
				}
			})
			f(x)
		})
	}
}

// job is what the image's folder has.
func (x *bench) job() flasher.Job {
	x.t.Helper()
	var job flasher.Job
	for _, f := range x.board.Bootloader.Files {
		data, err := os.ReadFile(filepath.Join(x.dir, f.File))
		if err != nil {
			x.t.Fatal(err)
		}
		job.Files = append(job.Files, flasher.File{Flashed: f, Data: data})
	}
	job, err := flasher.NewJob(x.board, job.Files, qemu.PhoneArgs(mac, "CP-7965G", x.servers))
	if err != nil {
		x.t.Fatal(err)
	}
	return job
}

// start turns the board on.
func (x *bench) start() (*qemu.Machine, *expect.Expect) {
	x.t.Helper()
	o := qemu.Options{Dir: x.dir, Reboots: true}
	if !x.board.Bootloader.TFTPPort {
		o.TFTP = x.folder()
	}
	m, err := qemu.Start(x.t.Context(), x.board, o)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(m.Kill)
	return m, expect.New(m.Console)
}

func (x *bench) folder() string {
	dir := filepath.Join(x.dir, "tftp")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		x.t.Fatal(err)
	}
	return dir
}

// tftp is a server for the board.
func (x *bench) tftp() flasher.Transfer {
	x.t.Helper()
	a := flasher.Addresses{Board: "10.0.2.15", Mask: "255.255.255.0", Gateway: "10.0.2.2", Server: "10.0.2.2", Port: -1}
	if !x.board.Bootloader.TFTPPort {
		a.Port = 0
		return flasher.Folder{Addresses: a, Dir: x.folder()}
	}
	s, err := flasher.NewTFTP("127.0.0.1:0", a)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(s.Close)
	return s
}

// flash brings a board that was just turned on to its prompt, and does a job.
func (x *bench) flash(ctx context.Context, e *expect.Expect, transfer flasher.Transfer, job flasher.Job) (*flasher.Flasher, int64, error) {
	l, err := uboot.Attach(ctx, e, flasher.Options(x.board))
	if err != nil {
		return nil, 0, err
	}
	f := &flasher.Flasher{Board: x.board, Loader: l, Transfer: transfer, Say: func(line string) { x.t.Log(line) }}
	wrote, err := f.Flash(ctx, job)
	return f, wrote, err
}

// accepted waits until the phone has its list.
func (x *bench) accepted(e *expect.Expect) {
	x.t.Helper()
	line, reason, err := flasher.WaitPhone(x.t.Context(), e, func(line string) { x.t.Log(line) })
	if err != nil {
		x.t.Fatal(err)
	}
	if x.t.Log(line); reason != "accepted" {
		x.t.Fatalf("the phone says %s, want accepted", line)
	}
}

// From an erased flash to a phone that has its list; then the power is cut, and it boots
// by itself; then only what has changed is written, and then nothing.
func TestFlash(t *testing.T) {
	flashed(t, func(x *bench) {
		t := x.t
		job := x.first()
		m, e := x.start()
		x.accepted(e)
		m.Kill()
		vault, err := qemu.Vault(x.board, x.dir)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := vaultimage.Read(vault, 0)
		if err != nil || len(kept.Keys) < 2 {
			t.Fatalf("the vault: %d keys, %v", len(kept.Keys), err)
		}

		x.changed(job)
		if vault, err = qemu.Vault(x.board, x.dir); err != nil {
			t.Fatal(err)
		}
		if now, err := vaultimage.Read(vault, 0); err != nil || now.Sequence < kept.Sequence || len(now.Keys) < len(kept.Keys) {
			t.Errorf("the vault was not left alone: %d keys of %d, %v", len(now.Keys), len(kept.Keys), err)
		}
	})
}

// fresh flashes the board from an erased flash, and waits until the phone has its list.
// It returns how long the flash took.
func (x *bench) fresh(job flasher.Job) time.Duration {
	t := x.t
	t.Helper()
	all := int64(0)
	for _, f := range job.Files {
		all += int64(len(f.Data))
	}
	m, e := x.start()
	defer m.Kill()
	begin := time.Now()
	f, wrote, err := x.flash(t.Context(), e, x.tftp(), job)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	if wrote != all {
		t.Errorf("%d bytes written, want %d", wrote, all)
	}
	if err := errors.Join(f.Restart(t.Context(), job.Environment), f.Boot(t.Context())); err != nil {
		t.Fatal(err)
	}
	x.accepted(e)
	return took
}

// changed writes a changed initramfs by YMODEM, of which one block differs; then the old
// one again by TFTP, and then nothing.
func (x *bench) changed(job flasher.Job) {
	t := x.t
	t.Helper()
	files := append([]flasher.File{}, job.Files...)
	last := &files[len(files)-1]
	data := last.Data
	last.Data = append(append([]byte{}, data[:len(data)-1]...), data[len(data)-1]^1)
	m, e := x.start()
	_, wrote, err := x.flash(t.Context(), e, flasher.Serial{Protocol: flasher.YMODEM}, flasher.Job{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	const least = 64 << 10
	block, err := board.Size(x.board.Flash.EraseSize)
	if err != nil {
		t.Fatal(err)
	}
	block = max(block, least)
	want := (int64(len(data))-1)%block + 1
	if wrote != want {
		t.Errorf("%d bytes written, want the last block of %d alone", wrote, want)
	}
	m.Kill()
	m, e = x.start()
	defer m.Kill()
	if _, wrote, err = x.flash(t.Context(), e, x.tftp(), job); err != nil || wrote != want {
		t.Fatalf("changed again: %d bytes, %v; want %d", wrote, err, want)
	}
	f, wrote, err := x.flash(t.Context(), e, x.tftp(), job)
	if err != nil || wrote != 0 {
		t.Fatalf("nothing is new: %d bytes, %v", wrote, err)
	}
	if err := errors.Join(f.Restart(t.Context(), job.Environment), f.Boot(t.Context())); err != nil {
		t.Fatal(err)
	}
	x.accepted(e)
}

// The power is cut at random moments of a flash: the loader answers each time, and the
// next flash ends with a phone that boots.
func TestFlashCuts(t *testing.T) {
	seed := *cutSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("the moments are those of -cutseed %d", seed)
	flashed(t, func(x *bench) {
		random := rand.New(rand.NewPCG(seed, 0))
		t := x.t
		good := x.first()
		transfer := x.tftp()
		span := x.span
		during, from := 0, time.Now()
		for n := range *cuts {
			m, e := x.start()
			l, err := uboot.Attach(t.Context(), e, flasher.Options(x.board))
			if err != nil {
				t.Fatalf("cut %d: the loader does not answer: %v", n, err)
			}
			timer := time.AfterFunc(time.Duration(random.Int64N(int64(span))), m.Kill)
			f := &flasher.Flasher{Board: x.board, Loader: l, Transfer: transfer}
			if _, err := f.Flash(t.Context(), other(random, good, n)); err != nil {
				during++
			}
			timer.Stop()
			m.Kill()
			span = max(x.complete(transfer, good), time.Second)
		}
		t.Logf("%s: %d cuts, %d of them while it was flashed, in %v; each was followed by a flash and a boot", x.board.Name, *cuts, during, time.Since(from).Round(time.Second))
	})
}

// other is a job that differs from one in every part, in a block of it or in all, and in
// its environment. Nobody boots it.
func other(random *rand.Rand, job flasher.Job, n int) flasher.Job {
	out := flasher.Job{Environment: maps.Clone(job.Environment)}
	out.Environment["bootargs"] += fmt.Sprintf(" cut=%d", n)
	for _, f := range job.Files {
		f.Data = append([]byte{}, f.Data...)
		const part, block = 512 << 10, 64 << 10
		for at := 0; at < len(f.Data); at += part {
			step := part
			if random.IntN(2) == 0 {
				step = block
			}
			for at, end := at, min(at+part, len(f.Data)); at < end; at += step {
				f.Data[at+random.IntN(min(step, end-at))] ^= byte(1 + random.IntN(255))
			}
		}
		out.Files = append(out.Files, f)
	}
	return out
}

// complete turns the board on, flashes it, and boots it. It returns how long the flash
// took.
func (x *bench) complete(transfer flasher.Transfer, job flasher.Job) time.Duration {
	x.t.Helper()
	m, e := x.start()
	defer m.Kill()
	l, err := uboot.Attach(x.t.Context(), e, flasher.Options(x.board))
	if err != nil {
		x.t.Fatal(err)
	}
	f := &flasher.Flasher{Board: x.board, Loader: l, Transfer: transfer}
	begin := time.Now()
	if _, err := f.Flash(x.t.Context(), job); err != nil {
		x.t.Fatal(err)
	}
	took := time.Since(begin)
	if err := errors.Join(f.Restart(x.t.Context(), job.Environment), f.Boot(x.t.Context())); err != nil {
		x.t.Fatal(err)
	}
	_, reason, err := flasher.WaitPhone(x.t.Context(), e, func(string) {})
	if err != nil || reason != "accepted" {
		x.t.Fatalf("the phone says %q, %v", reason, err)
	}
	return took
}

// By YMODEM, XMODEM and Kermit, the flash has the bytes that were sent: a piece of each file,
// or with -serial all of them, and then a phone that has its list.
func TestFlashBySerial(t *testing.T) {
	flashed(t, func(x *bench) {
		t, whole := x.t, x.job()
		for i, size := range []int{20_001, 4_097, 5_003} {
			protocol := []flasher.Protocol{flasher.YMODEM, flasher.XMODEM, flasher.Kermit}[i]
			var job flasher.Job
			for _, f := range whole.Files {
				f.Data = f.Data[1000*i:][:size] // other bytes each time
				job.Files = append(job.Files, f)
			}
			m, e := x.start()
			if _, wrote, err := x.flash(t.Context(), e, flasher.Serial{Protocol: protocol}, job); err != nil || wrote != int64(size*len(job.Files)) {
				t.Fatalf("%d bytes written, %v", wrote, err)
			}
			m.Kill()
			x.holds(job)
		}
		if !*serialOnly {
			return // minutes a board
		}
		m, e := x.start()
		defer m.Kill()
		begin := time.Now()
		f, _, err := x.flash(t.Context(), e, flasher.Serial{Protocol: flasher.YMODEM}, whole)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("flashed over the serial line in %v", time.Since(begin))
		if err := errors.Join(f.Restart(t.Context(), whole.Environment), f.Boot(t.Context())); err != nil {
			t.Fatal(err)
		}
		x.accepted(e)
	})
}

// holds reads the flash's file, and looks for what was written.
func (x *bench) holds(job flasher.Job) {
	x.t.Helper()
	data, err := os.ReadFile(filepath.Join(x.dir, image.FlashFile))
	if err != nil {
		x.t.Fatal(err)
	}
	last := x.board.Flash.Partitions[len(x.board.Flash.Partitions)-1]
	end, size, _ := x.board.Partition(last.Name)
	first := end + size - int64(len(data)) // the file is the end of the storage
	for _, f := range job.Files {
		at, _, _ := x.board.Partition(f.Partition)
		if at -= first; at < 0 || !bytes.Equal(data[at:at+int64(len(f.Data))], f.Data) {
			x.t.Errorf("%s: the flash does not hold what was written", f.File)
		}
	}
}
