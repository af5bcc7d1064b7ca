package uimage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/firmware/uimage"
)

var samples = []uimage.Image{
	{Name: "linux", Arch: uimage.ARM, Type: uimage.Kernel, Load: 0x80008000, Entry: 0x80008040, Data: []byte("a kernel")},
	{Name: strings.Repeat("n", uimage.MaxName), Arch: uimage.MIPS, Type: uimage.Kernel, Compression: uimage.LZMA, Load: 0x80100000, Entry: 0x80104000, Data: bytes.Repeat([]byte{1}, 5000)},
	{Name: "initramfs", Arch: uimage.MIPS, Type: uimage.Ramdisk, Compression: uimage.Gzip, Data: []byte{0}},
	{Name: "", Arch: uimage.ARM, Type: uimage.Script, Data: []byte("echo booted\n")},
}

func TestReadsBack(t *testing.T) {
	for _, want := range samples {
		data, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := uimage.Parse(data)
		if err != nil || got.Name != want.Name || got.Arch != want.Arch || got.Type != want.Type || got.Compression != want.Compression ||
			got.Load != want.Load || got.Entry != want.Entry || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		for at := range data { // every changed bit is found
			bad := bytes.Clone(data)
			bad[at] ^= 1 << (at % 8)
			if _, err := uimage.Parse(bad); err == nil {
				t.Errorf("%q: a changed byte %d is taken", want.Name, at)
			}
			if _, err := uimage.Parse(data[:at]); err == nil {
				t.Errorf("%q: %d of %d bytes are taken", want.Name, at, len(data))
			}
		}
		if _, err := uimage.Parse(append(bytes.Clone(data), 0)); err == nil {
			t.Errorf("%q: a byte behind it is taken", want.Name)
		}
	}
	for _, bad := range [][]byte{nil, []byte("abc"), bytes.Repeat([]byte{0}, 100)} {
		if _, err := uimage.Parse(bad); !errors.Is(err, uimage.ErrMagic) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := (uimage.Image{Name: strings.Repeat("n", uimage.MaxName+1)}).Marshal(); err == nil {
		t.Error("a name that is too long")
	}
}

// mkimage is U-Boot's own program, of Debian's package u-boot-tools.
func mkimage(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("mkimage", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("mkimage %s (package u-boot-tools): %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// U-Boot's own program reads what is written here, and the other way round.
func TestAgainstMkimage(t *testing.T) {
	dir := t.TempDir()
	for n, want := range []string{"ARM Linux Kernel Image (uncompressed)", "MIPS Linux Kernel Image (lzma compressed)", "MIPS Linux RAMDisk Image (gzip compressed)", "ARM Linux Script (uncompressed)"} {
		data, err := samples[n].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "ours")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if out := mkimage(t, "-l", file); !strings.Contains(out, want) || strings.Contains(strings.ToLower(out), "corrupt") || !strings.Contains(out, samples[n].Name) {
			t.Errorf("mkimage -l shows no %q:\n%s", want, out)
		}
		part, theirs := filepath.Join(dir, "part"), filepath.Join(dir, "theirs")
		if err := os.WriteFile(part, samples[n].Data, 0o644); err != nil {
			t.Fatal(err)
		}
		s := samples[n]
		kind := map[uimage.Type]string{uimage.Kernel: "kernel", uimage.Ramdisk: "ramdisk", uimage.Script: "script"}[s.Type]
		packed := map[uimage.Compression]string{uimage.None: "none", uimage.Gzip: "gzip", uimage.LZMA: "lzma"}[s.Compression]
		mkimage(t, "-A", s.Arch.String(), "-O", "linux", "-T", kind, "-C", packed, "-a", fmt.Sprintf("%x", s.Load), "-e", fmt.Sprintf("%x", s.Entry), "-n", s.Name, "-d", part, theirs)
		other, err := os.ReadFile(theirs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := uimage.Parse(other)
		if err != nil || got.Load != s.Load || got.Entry != s.Entry || got.Type != s.Type || got.Arch != s.Arch || !bytes.Equal(got.Data, s.Data) {
			t.Errorf("of mkimage: %+v, %v", got, err)
		}
		copy(other[4:12], data[4:12]) // the sum of the header, and the time that mkimage writes
		if !bytes.Equal(other, data) {
			t.Errorf("mkimage writes\n%x, we write\n%x", other[:64], data[:64])
		}
	}
	// The check is no rubber stamp: what it must not take, it does not.
	data, _ := samples[0].Marshal()
	data[40] ^= 1
	file := filepath.Join(dir, "bad")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkimage", "-l", file).CombinedOutput(); err == nil && strings.Contains(string(out), "Linux Kernel Image") {
		t.Errorf("mkimage -l takes a header with a bad sum:\n%s", out)
	}
}

// What is read can be written back, and is the same then.
func FuzzParse(f *testing.F) {
	for _, s := range samples {
		data, err := s.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := uimage.Parse(data)
		if err != nil || len(img.Name) > uimage.MaxName {
			return // a name that is made printable may be longer than the header's
		}
		again, err := img.Marshal()
		if err != nil || len(again) != len(data) {
			t.Fatalf("%d bytes are written back as %d, %v", len(data), len(again), err)
		}
		if other, err := uimage.Parse(again); err != nil || !bytes.Equal(other.Data, img.Data) {
			t.Fatal(err)
		}
	})
}
