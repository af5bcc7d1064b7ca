package flasher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"itlagent/platform/board"
	"itlagent/tools/uboot"
)

// environment reads the loader's variables, of which a dry run knows none.
func (f *Flasher) environment(ctx context.Context) (map[string]string, error) {
	if f.Loader == nil {
		return nil, nil
	}
	return f.Loader.Environment(ctx)
}

// set sets a variable, or prints how.
func (f *Flasher) set(ctx context.Context, name, value string) error {
	if f.Loader != nil {
		return f.Loader.Set(ctx, name, value)
	}
	commands, err := uboot.SetCommands(name, value)
	for _, c := range commands {
		f.say("%s", c)
	}
	return err
}

// saveEnvironment sets what differs, and saves it once.
func (f *Flasher) saveEnvironment(ctx context.Context, have, want map[string]string) error {
	difference := uboot.Difference(have, want)
	if len(difference) == 0 || f.Board.Bootloader.Environment != "saveenv" {
		return nil
	}
	for _, line := range difference {
		if f.Loader != nil {
			f.say("environment: %s", line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have[name] != want[name] {
			if err := f.set(ctx, name, want[name]); err != nil {
				return err
			}
		}
	}
	_, err := f.run(ctx, slow, "saveenv")
	return err
}

// CheckEnvironment compares the variables in force with those that are wanted: after a
// reset they are what the storage holds.
func (f *Flasher) CheckEnvironment(ctx context.Context, want map[string]string) error {
	have, err := f.Loader.Environment(ctx)
	if err != nil {
		return err
	}
	if d := uboot.Difference(have, want); len(d) > 0 {
		return fmt.Errorf("%w: the environment has, and should: %s", ErrVerify, d[0])
	}
	return nil
}

// Wanted returns the environment of a board with some files and arguments of its phone:
// bootargs, bootcmd, and the variables of its description.
func Wanted(b *board.Board, files []File, phone []string) (map[string]string, error) {
	s, err := newStorage(b)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, f := range files {
		size := int64(len(f.Data)) - f.Skip
		words = append(words, "{"+f.Partition+".size}", strconv.FormatInt(size, 10), "{"+f.Partition+".hexsize}", strconv.FormatInt(size, 16))
	}
	fill := strings.NewReplacer(append(words, "{phone}", strings.Join(phone, " "))...)
	l := b.Bootloader
	env := make(map[string]string)
	for _, v := range l.Variables {
		name, value, _ := strings.Cut(v, "=")
		env[name] = fill.Replace(value)
	}
	var steps []string
	steps = append(steps, s.setup()...)
	for _, f := range files {
		at, _, _ := b.Partition(f.Partition)
		ram := Place(f.Flashed)
		commands, address := s.read(at, len(f.Data), ram)
		if s.Kind == "nor" { // to memory: a kernel cannot be unpacked where it lies
			commands = []string{fmt.Sprintf("cp.b %x %x %x", address, ram, s.whole(len(f.Data)))}
		}
		steps = append(steps, commands...)
		if f.Skip > 0 { // what the loader does not look at itself
			steps = append(steps, fmt.Sprintf("iminfo %x", ram))
		}
	}
	env["bootcmd"] = strings.Join(append(steps, fill.Replace(l.Boot)), " && ")
	env["bootargs"] = BootArgs(b, fill, phone)
	return env, nil
}

// NewJob returns a job for all files of an image, with the environment that boots them,
// as a boot script where the board's loader saves none.
func NewJob(b *board.Board, files []File, phone []string) (Job, error) {
	env, err := Wanted(b, files, phone)
	if err != nil {
		return Job{}, err
	}
	job := Job{Files: files, Environment: env}
	if b.Bootloader.Environment == "script" {
		disk, err := BootDisk(b, env)
		if err != nil {
			return Job{}, err
		}
		job.Files = append(slices.Clone(files), disk)
	}
	return job, nil
}

// BootArgs is the kernel's command line, with the phone's arguments behind "--".
func BootArgs(b *board.Board, fill *strings.Replacer, phone []string) string {
	line := b.CommandLine()
	for _, a := range b.Bootloader.Args {
		line += " " + fill.Replace(a)
	}
	if len(phone) == 0 {
		return line
	}
	return line + " -- " + strings.Join(phone, " ")
}

// Place is where a file begins in memory, so that what is behind its Skip lies at its
// address.
func Place(f board.Flashed) uint64 {
	at, _ := board.Address(f.Address) // board.Parse has checked it
	return at - uint64(f.Skip)
}
