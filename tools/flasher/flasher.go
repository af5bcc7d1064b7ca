// Package flasher writes a phone's image onto a board through its boot loader.
//
//	f := &flasher.Flasher{Board: b, Loader: l, Transfer: t}
//	err := f.Flash(ctx, job)
//
// Files are compared by checksum first, part by part: what is there already is not sent
// again, so that a flash that was cut goes on where it ended. Every part is read back,
// and the environment, without which the new files are not started, is written last. The
// partition of the boot loader is never written, that of the vault only where asked. A
// Flasher is not safe for concurrent use. docs/flash.md describes the order.
package flasher

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/uboot"
)

// Flasher is a board at its boot loader's prompt.
type Flasher struct {
	Board    *board.Board
	Loader   *uboot.Loader // nil for a dry run
	Transfer Transfer
	// Say gets lines for people, and each command of a dry run; Progress the bytes that
	// were sent or found there already, of all. Both may be nil.
	Say      func(string)
	Progress func(done, total int64)

	done, total int64
	wrote       int64 // bytes that were written
	storage     storage
}

// Transfer brings bytes into the board's memory.
type Transfer interface {
	// Setup returns the variables that the loader needs for it.
	Setup() (variables map[string]string)
	// Fetch puts data at an address.
	Fetch(ctx context.Context, l *uboot.Loader, name string, data []byte, at uint64) error
	// Command is what Fetch types, for a dry run.
	Command(name string, at uint64) string
}

// File is what a partition shall hold.
type File struct {
	board.Flashed
	Data []byte
}

// Job is what is to be done.
type Job struct {
	Files       []File
	Environment map[string]string // nil leaves it as it is
	EraseVault  bool
}

// Errors of a flash.
var (
	ErrTooLarge = errors.New("does not fit its partition")
	ErrVerify   = errors.New("what was written does not read back")
	ErrArch     = errors.New("the board is of another architecture")
	ErrMemory   = errors.New("the board's memory is too small")
)

// partSize is how much is sent, written and compared at a time, in bytes; a multiple of
// the erase sizes there are.
const partSize = 512 << 10

// Times that the loader may take for a part; erasing NOR flash is slow.
const (
	quick = 30 * time.Second
	slow  = 4 * time.Minute
)

// Check says what of a job cannot be before anything is asked of the board.
func (f *Flasher) Check(job Job) error {
	for _, file := range job.Files {
		_, size, ok := f.Board.Partition(file.Partition)
		if !ok {
			return fmt.Errorf("board %s has no partition %s", f.Board.Name, file.Partition)
		}
		if int64(len(file.Data)) > size {
			return fmt.Errorf("%s has %d bytes and %w %s of %d", file.File, len(file.Data), ErrTooLarge, file.Partition, size)
		}
		if len(file.Data) == 0 {
			return fmt.Errorf("%s is empty", file.File)
		}
	}
	for name, value := range job.Environment {
		if _, err := uboot.SetCommands(name, value); err != nil {
			return err
		}
	}
	return nil
}

// Probe asks the loader what it is, and whether it has what the board's description
// needs.
func (f *Flasher) Probe(ctx context.Context) error {
	if f.Loader == nil {
		return nil
	}
	v, err := f.Loader.Version(ctx)
	if err != nil {
		return err
	}
	f.say("%s", v.Text)
	if v.Arch != "" && v.Arch != f.Board.Arch {
		return fmt.Errorf("%w: its boot loader is for %s, %s is %s", ErrArch, v.Arch, f.Board.Name, f.Board.Arch)
	}
	for _, c := range f.needs() {
		ok, err := f.Loader.Has(ctx, c)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: %s", uboot.ErrNoCommand, c)
		}
	}
	banks, err := f.Loader.Memory(ctx)
	if err != nil || len(banks) == 0 {
		return nil // not every loader says
	}
	load, _ := board.Address(f.Board.Bootloader.Load)
	for _, at := range append([]uint64{load}, f.addresses()...) {
		if !slices.ContainsFunc(banks, func(r uboot.Range) bool { return inside(r, at) }) {
			return fmt.Errorf("%w: there is none at %#x", ErrMemory, at)
		}
	}
	return nil
}

// inside says whether a part at an address lies in a bank. The loader may name a bank
// by its physical address, as on MIPS, where the upper three bits choose how it is seen.
func inside(r uboot.Range, at uint64) bool {
	const mask = 0x1fffffff
	ok := func(start, at uint64) bool { return at >= start && at+2*partSize <= start+r.Size }
	return ok(r.Start, at) || ok(r.Start&mask, at&mask)
}

func (f *Flasher) addresses() (all []uint64) {
	for _, file := range f.Board.Bootloader.Files {
		at, _ := board.Address(file.Address) // board.Parse has checked it
		all = append(all, at)
	}
	return all
}

// needs lists the commands without which nothing can be written.
func (f *Flasher) needs() []string {
	need := append([]string{"crc32", "cmp.b"}, f.storage.commands()...)
	if f.Board.Bootloader.Environment == "saveenv" {
		need = append(need, "saveenv")
	}
	return need
}

// Flash does a job. An error leaves what was there, or parts that the next Flash
// completes; the board is at its prompt, or off.
func (f *Flasher) Flash(ctx context.Context, job Job) (wrote int64, err error) {
	f.storage, err = newStorage(f.Board)
	if err != nil {
		return 0, err
	}
	if err := f.Check(job); err != nil {
		return 0, err
	}
	if err := f.Probe(ctx); err != nil {
		return 0, err
	}
	before, err := f.environment(ctx)
	if err != nil {
		return 0, err
	}
	chosen := ""
	for _, c := range f.storage.setup() {
		if chosen, err = f.run(ctx, quick, c); err != nil {
			return 0, err
		}
	}
	if err := f.fits(ctx, job, chosen); err != nil {
		return 0, err
	}
	f.done, f.total, f.wrote = 0, 0, 0
	for _, file := range job.Files {
		f.total += int64(len(file.Data))
	}
	borrowed, err := f.borrow(ctx, before)
	if err != nil {
		return 0, err
	}
	for _, file := range job.Files {
		if err := f.file(ctx, file); err != nil {
			return f.wrote, fmt.Errorf("%s: %w", file.File, err)
		}
	}
	if job.EraseVault {
		if err := f.eraseVault(ctx); err != nil {
			return f.wrote, fmt.Errorf("vault: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(borrowed)) {
		if err := f.set(ctx, name, before[name]); err != nil {
			return f.wrote, err
		}
	}
	return f.wrote, f.saveEnvironment(ctx, before, job.Environment)
}

// borrow sets the variables of the transfer, which are given back before the
// environment is saved.
func (f *Flasher) borrow(ctx context.Context, before map[string]string) (map[string]string, error) {
	borrowed := map[string]string{"filesize": "", "fileaddr": ""} // which the loader sets
	setup := f.Transfer.Setup()
	for _, name := range slices.Sorted(maps.Keys(setup)) {
		value := setup[name]
		borrowed[name] = value
		if before[name] != value {
			if err := f.set(ctx, name, value); err != nil {
				return nil, err
			}
		}
	}
	return borrowed, nil
}

// file writes a file part by part.
func (f *Flasher) file(ctx context.Context, file File) error {
	at, _, _ := f.Board.Partition(file.Partition)
	if f.Loader != nil {
		if same, err := f.same(ctx, at, file.Data); err != nil {
			return err
		} else if same {
			f.say("%s: equal, not written", file.File)
			f.count(len(file.Data))
			return nil
		}
	}
	before := f.wrote
	for begin := 0; begin < len(file.Data); begin += partSize {
		part := file.Data[begin:min(begin+partSize, len(file.Data))]
		if err := f.part(ctx, fmt.Sprintf("%s.%d", file.Partition, begin/partSize), at+int64(begin), part); err != nil {
			return err
		}
		f.count(len(part))
	}
	if f.Loader != nil {
		f.say("%s: %d of %d bytes written and compared", file.File, f.wrote-before, len(file.Data))
	}
	return nil
}

// same says whether the storage holds some bytes, by checksum.
func (f *Flasher) same(ctx context.Context, at int64, data []byte) (bool, error) {
	if f.Loader == nil {
		return false, nil
	}
	address, err := f.read(ctx, at, len(data), f.load())
	if err != nil {
		return false, err
	}
	sum, err := f.Loader.Checksum(ctx, slow, address, int64(len(data)))
	return sum == crc32.ChecksumIEEE(data), err
}

// read makes a part of the storage readable in memory, and returns where. The commands
// are none for flash that is in memory.
func (f *Flasher) read(ctx context.Context, at int64, n int, ram uint64) (uint64, error) {
	commands, address := f.storage.read(at, n, ram)
	for _, c := range commands {
		if _, err := f.run(ctx, slow, c); err != nil {
			return 0, err
		}
	}
	return address, nil
}

// send writes some bytes. Those that do not compare are written once more.
func (f *Flasher) send(ctx context.Context, name string, at int64, data []byte) error {
	ram := f.load()
	if err := f.fetch(ctx, name, data, ram); err != nil {
		return err
	}
	const tries = 2
	var err error
	for range tries {
		if err = f.write(ctx, at, data, ram); err == nil || !errors.Is(err, uboot.ErrResult) {
			break
		}
	}
	if err == nil {
		f.wrote += int64(len(data))
	}
	return err
}

func (f *Flasher) write(ctx context.Context, at int64, data []byte, ram uint64) error {
	for _, c := range f.storage.write(at, len(data), ram) {
		out, err := f.run(ctx, slow, c)
		if err != nil {
			return err
		}
		if strings.Contains(out, "ERROR") {
			return &uboot.ResultError{Command: c, Output: out}
		}
	}
	address, err := f.read(ctx, at, len(data), ram+partSize)
	if err != nil {
		return err
	}
	if _, err := f.run(ctx, slow, fmt.Sprintf("cmp.b %x %x %x", ram, address, len(data))); err != nil {
		return errors.Join(ErrVerify, err)
	}
	return nil
}

// fetch brings data to an address, and checks it there.
func (f *Flasher) fetch(ctx context.Context, name string, data []byte, ram uint64) error {
	if f.Loader == nil {
		f.say("%s", f.Transfer.Command(name, ram))
		return nil
	}
	const tries = 3
	var err error
	for range tries {
		if err = f.Transfer.Fetch(ctx, f.Loader, name, data, ram); err != nil {
			return err
		}
		sum, sumErr := f.Loader.Checksum(ctx, slow, ram, int64(len(data)))
		if sumErr != nil {
			return sumErr
		}
		if sum == crc32.ChecksumIEEE(data) {
			return nil
		}
		err = fmt.Errorf("%w: %s has CRC %08x in memory, want %08x", ErrTransfer, name, sum, crc32.ChecksumIEEE(data))
	}
	return err
}

// eraseVault makes the vault's partition what it is on a new board.
func (f *Flasher) eraseVault(ctx context.Context) error {
	at, size, ok := f.Board.Partition(VaultPartition)
	if !ok {
		return fmt.Errorf("board %s has no partition %s", f.Board.Name, VaultPartition)
	}
	f.say("vault: erased")
	for begin := int64(0); begin < size; begin += partSize {
		n := int(min(partSize, size-begin))
		for _, c := range f.storage.erase(at+begin, n, f.load()) {
			if _, err := f.run(ctx, slow, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// VaultPartition is the name of the partition that is the phone's.
const VaultPartition = "vault"

func (f *Flasher) load() uint64 {
	at, _ := board.Address(f.Board.Bootloader.Load) // board.Parse has checked it
	return at
}

// run runs a command, or prints it in a dry run.
func (f *Flasher) run(ctx context.Context, limit time.Duration, command string) (string, error) {
	if f.Loader == nil {
		f.say("%s", command)
		return "", nil
	}
	return f.Loader.Run(ctx, limit, command)
}

func (f *Flasher) count(n int) {
	if f.done += int64(n); f.Progress != nil {
		f.Progress(f.done, f.total)
	}
}

func (f *Flasher) say(format string, args ...any) {
	if f.Say != nil {
		f.Say(fmt.Sprintf(format, args...))
	}
}

// Console is the board's console.
func (f *Flasher) Console() *expect.Expect { return f.Loader.Console() }
