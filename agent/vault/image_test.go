package vault_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/vault"
	"itlagent/platform/flash/flashtest"
	"itlagent/testbench/vaultimage"
)

// testdata/9135b14.img.gz is the flash of a phone's whole life as the program of
// commit 9135b14 wrote it, with a codec of its own; testdata/9135b14.txt is what
// that program read from it.
const oldImage, oldContent = "testdata/9135b14.img.gz", "testdata/9135b14.txt"

// life runs the updates that the image was made with: lists, configurations,
// settings, deleted keys and messages, for several laps of the ring.
func life(t testing.TB, d *flashtest.Device) {
	t.Helper()
	v := open(t, d)
	text := func(key string, n, size int) []byte {
		return []byte(strings.Repeat(fmt.Sprintf("%s %d, ", key, n), size/5+1)[:size])
	}
	put := func(key string, n, size int) {
		t.Helper()
		if err := v.Put(key, text(key, n, size)); err != nil {
			t.Fatal(err)
		}
	}
	say := func(at int64, text string) {
		t.Helper()
		if err := v.Append(time.Unix(at, 0), text); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(key string) {
		t.Helper()
		if err := v.Delete(key); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		put("itl", i, 3000+7*i)
		put("settings", i, 100+i)
		switch i % 4 {
		case 0:
			put("config", i, 2000+i)
		case 1:
			put("ctl", i, 900)
			put("tvs", i, i)
		case 2:
			remove("tvs")
		case 3:
			say(int64(i)*100_000, fmt.Sprintf("message %d", i))
		}
		if i%9 == 0 {
			v = open(t, d)
		}
	}
	// Times and counts of every form of a number.
	for _, at := range []int64{-1 << 40, -1 << 33, -70_000, -200, -33, -32, -1, 0, 127, 128, 255, 256, 65_535, 65_536, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 40} {
		say(at, fmt.Sprintf("time %d", at))
	}
	for i := range 900 {
		say(1<<40+int64(i)*1200, "Trust List Update Failed")
	}
	say(1<<41, strings.Repeat("long ", 40))
	remove("config")
	put("empty", 0, 0)
}

// content describes what a vault holds.
func content(t testing.TB, v *vault.Vault) string {
	t.Helper()
	var b strings.Builder
	for _, key := range []string{"config", "ctl", "empty", "itl", "settings", "tvs"} {
		value, err := v.Get(key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Fprintf(&b, "%s absent\n", key)
		case err != nil:
			t.Fatal(err)
		default:
			fmt.Fprintf(&b, "%s %d bytes, SHA-256 %x\n", key, len(value), sha256.Sum256(value))
		}
	}
	for _, m := range v.Messages() {
		fmt.Fprintf(&b, "message %d to %d, %d times: %s\n", m.Time.Unix(), m.Last.Unix(), m.Count, m.Text)
	}
	fmt.Fprintf(&b, "sequence %d\n", v.Health().Sequence)
	return b.String()
}

func readOld(t testing.TB) (image []byte, want string) {
	t.Helper()
	packed, err := os.ReadFile(oldImage)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if image, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(oldContent)
	if err != nil {
		t.Fatal(err)
	}
	return image, string(text)
}

// An image of the program before the generated codec is mounted with the same
// content, takes updates, and the same life writes the same bytes.
func TestOldImage(t *testing.T) {
	image, want := readOld(t)
	d := flashtest.New(t, small.Geometry)
	d.Load(image)
	d.Inject(flashtest.Fault{})
	v, err := vault.Open(d, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, v); got != want {
		t.Errorf("the image holds\n%s\nwant\n%s", got, want)
	}
	if h := v.Health(); d.Ops() != 0 || len(h.Degraded) != 0 || h.ReadOnly != nil || h.MinWear < 4 {
		t.Errorf("%d operations to mount it, health %+v", d.Ops(), h)
	}
	if diff := disagrees(d, v); diff != "" {
		t.Error(diff)
	}
	for i := range 40 { // every block is written again
		if err := v.Put("itl", value("itl", i, 3000)); err != nil {
			t.Fatal(err)
		}
	}
	line := func(s, key string) string {
		lines := strings.Split(s, "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, key) })
		return lines[max(i, 0)]
	}
	after := content(t, open(t, d))
	for _, key := range []string{"config", "ctl", "empty", "settings", "tvs", "message -1 "} {
		if line(after, key) != line(want, key) {
			t.Errorf("after a lap of the ring: %s, want %s", line(after, key), line(want, key))
		}
	}

	again := flashtest.New(t, small.Geometry)
	life(t, again)
	if !bytes.Equal(again.Bytes(), image) {
		at := 0
		for again.Bytes()[at] == image[at] {
			at++
		}
		t.Errorf("the same updates write other bytes from offset 0x%x on: %x, want %x", at, again.Bytes()[at:min(at+64, len(image))], image[at:min(at+64, len(image))])
	}
	img, err := vaultimage.Read(image, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range img.Damage {
		t.Errorf("the independent reader finds damage: %+v", damage)
	}
}
