package flasher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/uboot"
)

// Times that a board may take; emulated ones on a busy machine are slow.
const (
	firstLimit   = 3 * time.Minute
	verdictLimit = 4 * time.Minute
)

// Options returns how the prompt of a board's loader is reached.
func Options(b *board.Board) uboot.Options {
	return uboot.Options{Prompt: b.Bootloader.Prompt, Stop: b.Bootloader.Stop, Key: b.Bootloader.Key}
}

// Restart resets the board, and compares the environment that it then has with what is
// wanted: that is what was saved. The board is at its prompt again.
func (f *Flasher) Restart(ctx context.Context, want map[string]string) error {
	if f.Loader == nil {
		f.say("reset")
		return nil
	}
	if err := f.Loader.Leave(ctx, "reset"); err != nil {
		return err
	}
	const banner = time.Minute
	if _, _, err := f.Console().Wait(ctx, banner, expect.Loader[1].Pattern); err != nil {
		return fmt.Errorf("after reset: %w", err)
	}
	l, err := uboot.Attach(ctx, f.Console(), Options(f.Board))
	if err != nil {
		return err
	}
	if f.Loader = l; f.Board.Bootloader.Environment != "saveenv" {
		return nil
	}
	return f.CheckEnvironment(ctx, want)
}

// Boot starts what was flashed, as the loader does by itself after its wait.
func (f *Flasher) Boot(ctx context.Context) error {
	command := "run bootcmd"
	if f.Loader == nil {
		f.say("%s", command)
		return nil
	}
	return f.Loader.Leave(ctx, command)
}

// BootOnce brings the files into memory and starts them. Nothing is written.
func (f *Flasher) BootOnce(ctx context.Context, job Job) (err error) {
	if f.storage, err = newStorage(f.Board); err != nil {
		return err
	}
	if err := errors.Join(f.Check(job), f.Probe(ctx)); err != nil {
		return err
	}
	setup := f.Transfer.Setup()
	for _, name := range slices.Sorted(maps.Keys(setup)) {
		if err := f.set(ctx, name, setup[name]); err != nil {
			return err
		}
	}
	f.done, f.total = 0, 0
	for _, file := range job.Files {
		f.total += int64(len(file.Data))
	}
	for _, file := range job.Files {
		if err := f.fetch(ctx, file.Partition, file.Data, Place(file.Flashed)); err != nil {
			return fmt.Errorf("%s: %w", file.File, err)
		}
		f.count(len(file.Data))
	}
	if err := f.set(ctx, "bootargs", job.Environment["bootargs"]); err != nil {
		return err
	}
	if f.Loader == nil {
		f.say("%s", f.Board.Bootloader.Boot)
		return nil
	}
	return f.Loader.Leave(ctx, f.Board.Bootloader.Boot)
}

var (
	firstLine = regexp.MustCompile(`(itlagent: first process[^\r\n]*)\r?\n`)
	verdict   = regexp.MustCompile(`(SEP[0-9A-F]{12} ([a-z-]+): [^\r\n]*)\r?\n`)
)

// WaitPhone waits for the first line of the device program, and for the verdict of its
// first boot cycle, which it returns with its reason.
func WaitPhone(ctx context.Context, e *expect.Expect, say func(string)) (line, reason string, err error) {
	e.Arm(expect.System)
	_, g, err := e.Wait(ctx, firstLimit, firstLine)
	if err != nil {
		return "", "", err
	}
	say(g[1])
	if _, g, err = e.Wait(ctx, verdictLimit, verdict); err != nil {
		return "", "", err
	}
	return g[1], g[2], nil
}
