package image_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
)

func load(t *testing.T, name string) *board.Board {
	t.Helper()
	b, err := boards.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// members reads an archive with code of its own.
func members(t *testing.T, packed []byte) (names []string, data map[string][]byte, modes map[string]uint64) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	data, modes = make(map[string][]byte), make(map[string]uint64)
	for at := 0; ; {
		if at+110 > len(all) || string(all[at:at+6]) != "070701" {
			t.Fatalf("no member at %d of %d", at, len(all))
		}
		field := func(n int) int {
			v, err := strconv.ParseUint(string(all[at+6+8*n:at+14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		size, nameSize := field(6), field(11)
		name := string(all[at+110 : at+110+nameSize-1])
		if name == "TRAILER!!!" {
			return names, data, modes
		}
		begin := (at + 110 + nameSize + 3) &^ 3
		names = append(names, name)
		data[name], modes[name] = all[begin:begin+size], uint64(field(1))
		if field(5) != 0 {
			t.Errorf("%s has a time", name)
		}
		at = (begin + size + 3) &^ 3
	}
}

func TestInitramfs(t *testing.T) {
	b := load(t, "qemu-arm")
	packed, err := image.Initramfs(b, []byte("program"), nil)
	if err != nil {
		t.Fatal(err)
	}
	names, data, modes := members(t, packed)
	if strings.Join(names, " ") != "dev dev/console dev/null etc etc/itlagent etc/itlagent/args init" {
		t.Errorf("members %v", names)
	}
	if string(data["init"]) != "program" || modes["init"] != 0o100755 || modes["dev/console"] != 0o020600 || modes["dev"] != 0o040755 {
		t.Errorf("init %q, modes %v", data["init"], modes)
	}
	if got := string(data["etc/itlagent/args"]); got != "-console\n-flash\n/dev/mtd1\ninterface=eth0\naddress=10.0.2.15/24\ngateway=10.0.2.2\n" {
		t.Errorf("arguments %q", got)
	}
	if _, err := image.Initramfs(b, nil, nil); err == nil {
		t.Error("an initramfs without a program")
	}
}

// Modules lie where the first process looks for them, with their order.
func TestModules(t *testing.T) {
	packed, err := image.Initramfs(load(t, "qemu-arm-debian"), []byte("program"), []image.Module{{Name: "b.ko", Data: []byte("b")}, {Name: "a.ko", Data: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	names, data, _ := members(t, packed)
	if got := strings.Join(names[7:], " "); got != "lib lib/modules lib/modules/itlagent lib/modules/itlagent/b.ko lib/modules/itlagent/a.ko lib/modules/itlagent/modules.load" {
		t.Errorf("members %s", got)
	}
	if string(data["lib/modules/itlagent/modules.load"]) != "b.ko\na.ko\n" || string(data["lib/modules/itlagent/a.ko"]) != "a" {
		t.Errorf("%q", data)
	}
}

// Two builds give the same bytes, and the manifest has their hashes.
func TestReproducible(t *testing.T) {
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, vmlinux(t), 0o644); err != nil {
		t.Fatal(err)
	}
	b := load(t, "qemu-mips")
	var dirs [2]string
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), "image")
		m, err := image.Build(b, image.Options{Dir: dirs[i], Kernel: kernel, Source: "../.."})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			data, err := os.ReadFile(filepath.Join(dirs[i], f.Name))
			if err != nil || int64(len(data)) != f.Size || fmt.Sprintf("%x", sha256.Sum256(data)) != f.SHA256 {
				t.Errorf("%s: %d bytes, %v", f.Name, len(data), err)
			}
		}
	}
	for _, name := range []string{image.InitramfsFile, image.ManifestFile, image.KernelFile, image.FlashFile, image.LayoutFile} {
		one, err1 := os.ReadFile(filepath.Join(dirs[0], name))
		two, err2 := os.ReadFile(filepath.Join(dirs[1], name))
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			t.Errorf("%s differs: %v, %v", name, err1, err2)
		}
	}
	var m image.Manifest
	text, err := os.ReadFile(filepath.Join(dirs[0], image.ManifestFile))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil || m.Board != "qemu-mips" || m.CommandLine != "console=ttyS0,115200 panic=3 quiet" || len(m.Files) != 4 {
		t.Errorf("%+v, %v", m, err)
	}
	_, data, _ := members(t, read(t, filepath.Join(dirs[0], image.InitramfsFile)))
	if !bytes.HasPrefix(data["init"], []byte("\x7fELF\x01\x02")) { // 32 bits, big endian
		t.Errorf("init begins with %x", data["init"][:6])
	}
	if found := keys(data["init"]); len(found) > 0 {
		t.Errorf("keys in the device program: %v", found)
	}
	// What the phone keeps has passwords in it.
	for path, want := range map[string]os.FileMode{dirs[0]: 0o700, filepath.Join(dirs[0], image.FlashFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", filepath.Base(path), info.Mode().Perm(), err, want)
		}
	}
	if _, err := image.Build(b, image.Options{Dir: t.TempDir(), Kernel: "nonsense", Source: "../.."}); err == nil {
		t.Error("a kernel that is not there")
	}
	if _, err := image.Build(b, image.Options{Dir: t.TempDir(), Source: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "run it there") {
		t.Errorf("outside of the source: %v", err)
	}
}

// A flash that is there is the phone's: it stays, and is closed to others.
func TestFlashStays(t *testing.T) {
	b := load(t, "qemu-mips")
	dir := t.TempDir()
	size, err := board.Size(b.QEMU.FlashSize)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, image.FlashFile)
	for name, c := range map[string]struct {
		old  []byte
		want byte
	}{"the phone's": {make([]byte, size), 0}, "of another size": {make([]byte, 100), 0xff}} {
		if err := os.WriteFile(path, c.old, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := image.PrepareFlash(b, dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if data := read(t, path); err != nil || info.Mode().Perm() != 0o600 || int64(len(data)) != size || data[0] != c.want {
			t.Errorf("%s: mode %v, %d bytes, the first %#x, %v", name, info.Mode().Perm(), len(data), data[0], err)
		}
	}
}

// Of several kernels in the cache the newest is taken, whatever their names are.
func TestFindKernel(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	b := load(t, "qemu-arm")
	if _, _, err := image.FindKernel(b); err == nil || !strings.Contains(err.Error(), "make kernels") {
		t.Errorf("no kernel: %v", err)
	}
	dir := filepath.Join(cache, "itlagent", "kernels")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{"arm-6.1-bbbb": time.Hour, "arm-6.1-aaaa": time.Minute, "arm-6.1-cccc": 2 * time.Hour, "arm-6.1-dddd.new": 0, "mips-6.1-eeee": 0} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if kernel, modules, err := image.FindKernel(b); err != nil || filepath.Base(kernel) != "arm-6.1-aaaa" || modules != "" {
		t.Errorf("%s, %q, %v", kernel, modules, err)
	}
}

// keys returns the private keys in some bytes, in PEM or DER.
func keys(data []byte) (found []string) {
	for at := 0; ; at++ {
		next := bytes.Index(data[at:], []byte("-----BEGIN "))
		if next < 0 {
			break
		}
		at += next
		if block, _ := pem.Decode(data[at:]); block != nil && strings.Contains(block.Type, "PRIVATE KEY") {
			found = append(found, block.Type)
		}
	}
	const sequence, version = 0x30, 0x02
	for at := range data {
		if data[at] != sequence || !bytes.Contains(data[at:min(at+8, len(data))], []byte{version, 1}) {
			continue
		}
		var der asn1.RawValue
		if _, err := asn1.Unmarshal(data[at:], &der); err != nil {
			continue
		}
		_, err1 := x509.ParsePKCS1PrivateKey(der.FullBytes)
		_, err8 := x509.ParsePKCS8PrivateKey(der.FullBytes)
		_, errEC := x509.ParseECPrivateKey(der.FullBytes)
		if err1 == nil || err8 == nil || errEC == nil {
			found = append(found, fmt.Sprintf("DER at %d", at))
		}
	}
	return found
}

// The search for keys finds each kind of them.
func TestKeysAreFound(t *testing.T) {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	pkcs8, err3 := x509.MarshalPKCS8PrivateKey(ecKey)
	sec1, err4 := x509.MarshalECPrivateKey(ecKey)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	for name, key := range map[string][]byte{"PKCS #1": pkcs1, "PKCS #8": pkcs8, "SEC 1": sec1, "PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: pkcs1})} {
		data := bytes.Join([][]byte{bytes.Repeat([]byte{0x30, 2, 1, 0x7f}, 50), key, make([]byte, 100)}, nil)
		if found := keys(data); len(found) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	if found := keys(bytes.Repeat([]byte{0x30, 2, 1, 0x7f}, 50)); len(found) > 0 {
		t.Errorf("found in no keys: %v", found)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// U-Boot's header has its own checksum and that of what follows.
func TestUImage(t *testing.T) {
	b := load(t, "generic-mips")
	out, err := image.UImage(b, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(n int) uint32 { return binary.BigEndian.Uint32(out[n:]) }
	header := bytes.Clone(out[:64])
	copy(header[4:8], []byte{0, 0, 0, 0})
	if at(0) != 0x27051956 || at(4) != crc32.ChecksumIEEE(header) || at(12) != 4 || at(16) != 0x80060000 || at(20) != 0x80060000 ||
		at(24) != crc32.ChecksumIEEE([]byte("data")) || !bytes.Equal(out[28:32], []byte{5, 5, 3, 1}) || !bytes.HasPrefix(out[32:], []byte("itlagent generic-mips\x00")) || string(out[64:]) != "data" {
		t.Errorf("%x", out)
	}
}
