package image

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"itlagent/platform/board"
	"itlagent/platform/readfile"
)

// FindKernel returns the kernel of a board in the cache, and the folder of its
// modules, as firmware/kernel/build and firmware/kernel/debian leave them there; of
// several kernels the one that was made last.
func FindKernel(b *board.Board) (kernel, modules string, err error) {
	if b.Kernel.Minimal+b.Kernel.Debian == "" {
		return "", "", fmt.Errorf("this project has no kernel for %s: itlbench image with --kernel FILE makes the image", b.Name)
	}
	pattern, how := b.Kernel.Minimal+"-[0-9]*", "make kernels builds it"
	if b.Kernel.Debian != "" {
		pattern, how = filepath.Join("debian-"+b.Kernel.Debian+"-*", "kernel"), "make debian-kernels gets it"
	}
	if kernel, err = newest("kernels", pattern); err != nil {
		return "", "", err
	}
	if kernel == "" {
		return "", "", fmt.Errorf("no kernel for %s in the cache: %s", b.Name, how)
	}
	if b.Kernel.Debian != "" {
		modules = filepath.Dir(kernel)
	}
	return kernel, modules, nil
}

// newest returns the file of a folder of the cache that was made last; "" where none
// matches.
func newest(folder, pattern string) (found string, err error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache")
	}
	files, err := filepath.Glob(filepath.Join(cache, "itlagent", folder, pattern))
	if err != nil {
		return "", err
	}
	var made time.Time
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() || strings.HasSuffix(file, ".new") || info.ModTime().Before(made) {
			continue
		}
		found, made = file, info.ModTime()
	}
	return found, nil
}

// debianUBoot is where Debian's package u-boot-qemu has its boot loaders.
const debianUBoot = "/usr/lib/u-boot"

// FindUBoot returns the file of a board's boot loader: as firmware/uboot/build leaves it
// in the cache, the newest of several, or of Debian's package u-boot-qemu.
func FindUBoot(b *board.Board) (string, error) {
	if dir, ok := strings.CutPrefix(b.QEMU.UBoot, "debian/"); ok {
		file := filepath.Join(debianUBoot, dir, "u-boot.bin")
		if _, err := os.Stat(file); err != nil {
			return "", fmt.Errorf("no boot loader for %s: make deps, or the package u-boot-qemu", b.Name)
		}
		return file, nil
	}
	file, err := newest("uboot", b.QEMU.UBoot+"-[0-9]*")
	if err == nil && file == "" {
		err = fmt.Errorf("no boot loader for %s in the cache: make uboot builds it", b.Name)
	}
	return file, err
}

// uboot returns a board's boot loader, padded as erased flash is.
func uboot(b *board.Board) ([]byte, error) {
	file, err := FindUBoot(b)
	if err != nil {
		return nil, err
	}
	data, err := readfile.AtMost(file, MaxFile)
	if err != nil || b.QEMU.UBootSize == "" {
		return data, err
	}
	size, err := board.Size(b.QEMU.UBootSize)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > size {
		return nil, fmt.Errorf("the boot loader has %d bytes, its place has %d", len(data), size)
	}
	return append(data, bytes.Repeat([]byte{0xff}, int(size)-len(data))...), nil
}
