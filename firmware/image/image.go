// Package image makes the image of a board, for its flash or an emulator: a kernel, an
// initramfs with the device program as its first process, an empty flash, and a
// manifest with the hashes of all.
//
//	m, err := image.Build(board, image.Options{Dir: "out", Kernel: "zImage"})
//
// The same board, program and kernel give the same bytes. Build runs the Go toolchain,
// and writes only below its directory. It is safe for concurrent use on different
// directories. Sources: Linux's Documentation/driver-api/early-userspace/buffer-format.rst,
// U-Boot's include/image.h.
package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"itlagent/platform/board"
	"itlagent/platform/readfile"
)

// Options say where things are.
type Options struct {
	Dir    string // of the files; created where it is missing
	Kernel string // file; "" makes the initramfs without one
	// Modules is a folder with modules and the file modules.load, which has the
	// order in which they are loaded; "" for a kernel that needs none.
	Modules string
	DTB     string   // file with the device tree; "" without
	Phone   []string // arguments of the device program, behind "--" on the command line
	Source  string   // the folder of this project's source; "." where ""
	Small   bool     // a device program without pages
	// Environment returns the variables of the board's boot loader for the files of the
	// image, by name; nil makes none. The image then has them as text and as a script.
	Environment func(files map[string][]byte) (map[string]string, error)
}

// The files of an image.
const (
	InitramfsFile = "initramfs.cpio.gz"
	KernelFile    = "kernel"
	FlashFile     = "flash.img"
	UImageFile    = "initramfs.uimage"
	UBootFile     = "u-boot.img" // of an emulated board, padded
	DTBFile       = "board.dtb"
	LayoutFile    = "layout.txt" // where what goes on the flash
	EnvFile       = "uboot-env.txt"
	CommandFile   = "boot.cmd" // what sets these variables and boots, as text
	ScriptFile    = "boot.scr" // the same, as U-Boot's source takes it
	ManifestFile  = "manifest.json"
)

// File is one file of an image.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Manifest describes an image.
type Manifest struct {
	Board       string `json:"board"`
	Arch        string `json:"arch"`
	CommandLine string `json:"commandLine"`
	Files       []File `json:"files"`
}

// Build makes an image. Its folder is made with mode 0700, and the flash has 0600:
// what a phone keeps there has passwords in it.
func Build(b *board.Board, o Options) (*Manifest, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	if err := readParts(b, o, files); err != nil { // before the program is built, which takes long
		return nil, err
	}
	program, err := compile(b, o)
	if err != nil {
		return nil, err
	}
	modules, err := readModules(o.Modules)
	if err != nil {
		return nil, err
	}
	if files[InitramfsFile], err = Initramfs(b, program, modules); err != nil {
		return nil, err
	}
	if b.Boot.Method == "uboot" {
		if files[UImageFile], err = UImage(b, files[InitramfsFile]); err != nil {
			return nil, err
		}
	}
	if len(b.Flash.Partitions) > 0 {
		if files[LayoutFile], err = layout(b, files); err != nil {
			return nil, err
		}
	}
	m := &Manifest{Board: b.Name, Arch: b.Arch, CommandLine: FullCommandLine(b, o.Phone)}
	if err := environment(b, o, m, files); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		m.note(name, files[name])
		if err := os.WriteFile(filepath.Join(o.Dir, name), files[name], 0o644); err != nil {
			return nil, err
		}
	}
	if b.QEMU != nil {
		empty, err := PrepareFlash(b, o.Dir)
		if err != nil {
			return nil, err
		}
		m.note(FlashFile, empty)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(filepath.Join(o.Dir, ManifestFile), append(text, '\n'), 0o644)
}

// FullCommandLine is the kernel's command line, with the arguments of the device program
// behind "--" where there are any.
func FullCommandLine(b *board.Board, phone []string) string {
	if len(phone) == 0 {
		return b.CommandLine()
	}
	return b.CommandLine() + " -- " + strings.Join(phone, " ")
}

// note adds a file to the manifest.
func (m *Manifest) note(name string, data []byte) {
	m.Files = append(m.Files, File{name, int64(len(data)), fmt.Sprintf("%x", sha256.Sum256(data))})
}

// PrepareFlash writes an empty flash, mode 0600, into a folder unless one of the
// board's size is there: that is the phone's. It returns the empty one, whose hash the
// manifest has. The boot loader of a board that has one is in the empty flash, or in a
// file beside it.
func PrepareFlash(b *board.Board, dir string) ([]byte, error) {
	size, err := board.Size(b.QEMU.FlashSize)
	if err != nil {
		return nil, err
	}
	empty := bytes.Repeat([]byte{0xff}, int(size))
	if b.QEMU.UBoot != "" {
		loader, err := uboot(b)
		if err != nil {
			return nil, err
		}
		if len(b.QEMU.UBootArgs) == 0 {
			copy(empty, loader)
		} else if err := os.WriteFile(filepath.Join(dir, UBootFile), loader, 0o644); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(filepath.Join(dir, FlashFile)); err == nil && info.Size() == size {
		return empty, os.Chmod(filepath.Join(dir, FlashFile), 0o600)
	}
	return empty, WriteFlash(dir, empty)
}

// WriteFlash writes the flash of an emulated board into the folder of its image, mode
// 0600.
func WriteFlash(dir string, data []byte) error {
	path := filepath.Join(dir, FlashFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // the mode of one that is there would stay
	}
	return os.WriteFile(path, data, 0o600)
}

// compile builds the device program for the board, stripped. The flags are those of
// .ci/device.
func compile(b *board.Board, o Options) ([]byte, error) {
	dir, err := os.MkdirTemp("", "itlagent-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "itlagent")
	link := "-ldflags=-s -w -buildid="
	if b.Arch == "arm" {
		link += " -R=4096" // its pages have 4 KiB
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", link, "-o", out}
	if o.Small || b.Initramfs.Small {
		args = append(args, "-tags", "small", "-gcflags=all=-l")
	}
	cmd := exec.Command("go", append(args, "./firmware/itlagent")...)
	cmd.Dir = o.Source
	cmd.Env = append(os.Environ(), b.GoEnv()...)
	if text, err := cmd.CombinedOutput(); bytes.Contains(text, []byte("go.mod file not found")) || bytes.Contains(text, []byte("directory not found")) {
		return nil, errors.New("the device program is built from this project's source: run it there")
	} else if err != nil {
		return nil, fmt.Errorf("build the device program: %w: %s", err, bytes.TrimSpace(text))
	}
	return readfile.AtMost(out, MaxFile)
}

// Limits of what an image is made of, in bytes.
const (
	MaxFile       = 256 << 20 // a kernel, a module, a boot loader, flash
	maxModuleList = 64 << 10
)

// Module is one kernel module.
type Module struct {
	Name string
	Data []byte
}

// readModules reads the modules of a folder in the order in which they are loaded.
func readModules(dir string) (modules []Module, err error) {
	if dir == "" {
		return nil, nil
	}
	list, err := readfile.AtMost(filepath.Join(dir, "modules.load"), maxModuleList)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Fields(string(list)) {
		data, err := readfile.AtMost(filepath.Join(dir, filepath.Base(name)), MaxFile)
		if err != nil {
			return nil, err
		}
		modules = append(modules, Module{filepath.Base(name), data})
	}
	return modules, nil
}

// Initramfs packs the device program as /init, with the board's arguments and
// modules.
func Initramfs(b *board.Board, program []byte, modules []Module) ([]byte, error) {
	if len(program) == 0 {
		return nil, errors.New("no device program")
	}
	console := "-console"
	if b.Console.Shell != "" {
		console += "=/dev/" + b.Console.Shell
	}
	args := []string{console, "-flash", b.Flash.Device}
	if n := b.Network; n.Interface != "" {
		args = append(args, "interface="+n.Interface, "address="+n.Address, "gateway="+n.Gateway)
	}
	args = append(args, b.Phone...)
	entries := []entry{
		{name: "dev", mode: modeDir | 0o755},
		{name: "dev/console", mode: modeChar | 0o600, major: 5, minor: 1},
		{name: "dev/null", mode: modeChar | 0o666, major: 1, minor: 3},
		{name: "etc", mode: modeDir | 0o755},
		{name: "etc/itlagent", mode: modeDir | 0o755},
		{name: "etc/itlagent/args", mode: modeFile | 0o644, data: []byte(strings.Join(args, "\n") + "\n")},
		{name: "init", mode: modeFile | 0o755, data: program},
	}
	if len(modules) > 0 {
		const dir = "lib/modules/itlagent"
		for at, path := 0, ""; at < len(dir); {
			next := strings.IndexByte(dir[at:]+"/", '/')
			path, at = dir[:at+next], at+next+1
			entries = append(entries, entry{name: path, mode: modeDir | 0o755})
		}
		var load strings.Builder
		for _, m := range modules {
			load.WriteString(m.Name + "\n")
			entries = append(entries, entry{name: dir + "/" + m.Name, mode: modeFile | 0o644, data: m.Data})
		}
		entries = append(entries, entry{name: dir + "/modules.load", mode: modeFile | 0o644, data: []byte(load.String())})
	}
	var out bytes.Buffer
	if err := writeCPIO(&out, entries); err != nil {
		return nil, err
	}
	if b.Initramfs.Compress == "xz" { // the kernel knows no other check than crc32
		return pipe(out.Bytes(), "xz", "--check=crc32", "--lzma2=preset=9e,"+dictionary, "--threads=1", "--stdout")
	}
	return gzipped(out.Bytes())
}
