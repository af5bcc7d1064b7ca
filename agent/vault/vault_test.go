package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
	"itlagent/testbench/vaultimage"
)

// constant is a source of randomness that gives the same vault each time.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

var options = vault.Options{Rand: constant(7), Format: vault.FormatErased}

func open(t testing.TB, d flash.Flash) *vault.Vault {
	t.Helper()
	v, err := vault.Open(d, options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return v
}

// geometry is a kind of flash that the promises are tested on.
type geometry struct {
	flash.Geometry
	bad []int // from the factory
}

func (g geometry) String() string {
	return fmt.Sprintf("%v %d x %dK by %d", g.Kind, g.Blocks(), g.EraseSize>>10, g.ProgramSize)
}

func (g geometry) device(t testing.TB) *flashtest.Device {
	d := flashtest.New(t, g.Geometry)
	d.SetBad(g.bad...)
	return d
}

func nor(blocks, erase, program int) geometry {
	return geometry{flash.Geometry{Kind: flash.NOR, Size: blocks * erase, EraseSize: erase, ProgramSize: program}, nil}
}

// geometries are NOR with erase blocks of 4 to 256 KiB, programmed by 1 to 256
// bytes, and NAND of both common page sizes with factory bad blocks.
func geometries() (all []geometry) {
	for _, program := range []int{1, 2, 32, 256} {
		all = append(all, nor(24, 4<<10, program), nor(3, 64<<10, program), nor(3, 128<<10, program), nor(3, 256<<10, program))
	}
	return append(all,
		geometry{flash.Geometry{Kind: flash.NAND, Size: 12 * 16 << 10, EraseSize: 16 << 10, ProgramSize: 512}, []int{0, 5, 6}},
		geometry{flash.Geometry{Kind: flash.NAND, Size: 6 * 128 << 10, EraseSize: 128 << 10, ProgramSize: 2048}, []int{2}})
}

// small is where the ring turns fastest.
var small = nor(16, 4<<10, 1)

// value makes bytes that tell their key and number.
func value(key string, n, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(key))))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	copy(b, fmt.Sprintf("%s %d ", key, n))
	if size > 600 { // runs of erased bytes are programs that leave no trace
		for i := size / 2; i < size/2+300; i++ {
			b[i] = 0xff
		}
	}
	return b
}

// step is one update.
type step struct {
	key    string // "" appends a message
	n      int
	size   int
	delete bool
}

func (s step) String() string {
	switch {
	case s.key == "":
		return fmt.Sprintf("message %d", s.n)
	case s.delete:
		return "delete " + s.key
	}
	return fmt.Sprintf("put %s %d (%d bytes)", s.key, s.n, s.size)
}

func (s step) run(v *vault.Vault) error {
	switch {
	case s.key == "":
		return v.Append(time.Unix(int64(1_000_000+s.n*3600), 0), fmt.Sprintf("message %d", s.n))
	case s.delete:
		return v.Delete(s.key)
	}
	return v.Put(s.key, value(s.key, s.n, s.size))
}

// state is what a vault holds: the slow and obvious model.
type state struct {
	values   map[string][]byte
	messages []string
}

func (s state) after(st step) state {
	out := state{map[string][]byte{}, slices.Clone(s.messages)}
	for k, v := range s.values {
		out.values[k] = v
	}
	switch {
	case st.key == "":
		out.messages = append(out.messages, fmt.Sprintf("message %d", st.n))
	case st.delete:
		delete(out.values, st.key)
	default:
		out.values[st.key] = value(st.key, st.n, st.size)
	}
	return out
}

// differs says where a vault is not in the state. Only the newest messages that
// the vault stores are compared.
func (s state) differs(v *vault.Vault) string {
	for _, key := range []string{"itl", "ctl", "config", "settings", "tvs", "big"} {
		got, err := v.Get(key)
		want, ok := s.values[key]
		switch {
		case !ok && !errors.Is(err, fs.ErrNotExist):
			return fmt.Sprintf("%s: %d bytes, %v; want none", key, len(got), err)
		case ok && err != nil:
			return fmt.Sprintf("%s: %v; want %.20q", key, err, want)
		case ok && !bytes.Equal(got, want):
			return fmt.Sprintf("%s: %.20q; want %.20q", key, got, want)
		}
	}
	var got []string
	for _, m := range v.Messages() {
		got = append(got, m.Text)
	}
	want := s.messages[max(0, len(s.messages)-len(got)):]
	if !slices.Equal(got, want) || len(got) < min(len(s.messages), 3) {
		return fmt.Sprintf("messages %q, want %q", got, s.messages)
	}
	return ""
}

// disagrees says where the independent reader of the flash sees something else
// than the vault that was mounted from it.
func disagrees(d *flashtest.Device, v *vault.Vault) string {
	img, err := vaultimage.Read(d.Bytes(), 0)
	if err != nil {
		return err.Error()
	}
	var degraded []string
	for _, k := range img.Keys {
		got, err := v.Get(k.Name)
		switch {
		case k.Degraded():
			degraded = append(degraded, k.Name)
			if k.Revision != 0 && !k.Deleted && !bytes.Equal(got, k.Value) {
				return fmt.Sprintf("%s: vault %.20q (%v), reader %.20q", k.Name, got, err, k.Value)
			}
		case k.Deleted != errors.Is(err, fs.ErrNotExist), !k.Deleted && !bytes.Equal(got, k.Value):
			return fmt.Sprintf("%s: vault %.20q (%v), reader %.20q (deleted %v)", k.Name, got, err, k.Value, k.Deleted)
		}
	}
	if h := v.Health(); !slices.Equal(h.Degraded, degraded) || h.Sequence < img.Sequence {
		return fmt.Sprintf("degraded: vault %v, reader %v; sequence: vault %d, reader %d", h.Degraded, degraded, h.Sequence, img.Sequence)
	}
	messages := v.Messages()
	if len(img.Messages) < len(messages) {
		return fmt.Sprintf("%d messages, reader %d", len(messages), len(img.Messages))
	}
	for i, m := range img.Messages[len(img.Messages)-len(messages):] {
		if m.Text != messages[i].Text || m.Time != messages[i].Time.Unix() {
			return fmt.Sprintf("message %d: vault %q, reader %q", i, messages[i].Text, m.Text)
		}
	}
	return ""
}

// updates is a sequence of updates as a phone makes them.
func updates(n int) (steps []step) {
	for i := range n {
		switch i % 9 {
		case 0, 3, 6:
			steps = append(steps, step{key: "itl", n: i, size: 5302 + i%40})
		case 1, 5:
			steps = append(steps, step{key: "settings", n: i, size: 150 + i%90})
		case 2:
			steps = append(steps, step{key: "config", n: i, size: 2100 + 7*i%900})
		case 7:
			steps = append(steps, step{key: "tvs", n: i, size: i % 64, delete: i%4 == 3})
		default:
			steps = append(steps, step{n: i})
		}
	}
	return steps
}

func TestPutGetDelete(t *testing.T) {
	for _, g := range geometries() {
		t.Run(g.String(), func(t *testing.T) {
			d := g.device(t)
			v := open(t, d)
			s := state{map[string][]byte{}, nil}
			for i, st := range updates(120) {
				if err := st.run(v); err != nil {
					t.Fatalf("step %d, %v: %v", i, st, err)
				}
				s = s.after(st)
				if i%7 == 0 {
					v = open(t, d)
				}
				if diff := s.differs(v); diff != "" {
					t.Fatalf("after step %d, %v: %s", i, st, diff)
				}
				if diff := disagrees(d, v); diff != "" {
					t.Fatalf("after step %d, %v: %s", i, st, diff)
				}
			}
			h := v.Health()
			if len(h.Degraded) != 0 || h.ReadOnly != nil || h.Failures != 0 {
				t.Errorf("health %+v", h)
			}
			if h.MaxWear-h.MinWear > 1 || len(h.Bad) != len(g.bad) {
				t.Errorf("wear %d to %d, bad blocks %v", h.MinWear, h.MaxWear, h.Bad)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	d := nor(16, 64<<10, 1).device(t)
	v := open(t, d)
	for _, n := range []int{0, 1, 15, 16, 17, 4095, 4096, 65535, 65536} {
		if err := v.Put("big", value("big", n, n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
		if got, err := open(t, d).Get("big"); err != nil || !bytes.Equal(got, value("big", n, n)) {
			t.Errorf("%d bytes: %d read, %v", n, len(got), err)
		}
	}
	if err := v.Put("big", make([]byte, 65537)); !errors.Is(err, vault.ErrNoSpace) {
		t.Errorf("65,537 bytes: %v, want %v", err, vault.ErrNoSpace)
	}
	for _, key := range []string{"", "ITL", "a b", "thirteenchars", "a1"} {
		if err := v.Put(key, nil); err == nil {
			t.Errorf("Put(%q) succeeded", key)
		}
		if _, err := v.Get(key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get(%q): %v", key, err)
		}
		if err := v.Delete(key); err == nil {
			t.Errorf("Delete(%q) succeeded", key)
		}
	}
	for i := range vault.MaxKeys - 1 {
		if err := v.Put("key"+string(rune('a'+i)), nil); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
	if err := v.Put("onemore", nil); !errors.Is(err, vault.ErrNoSpace) {
		t.Errorf("key %d: %v, want %v", vault.MaxKeys+1, err, vault.ErrNoSpace)
	}
}

// A vault that is full says so, and loses nothing.
func TestNoSpace(t *testing.T) {
	d := nor(3, 4<<10, 1).device(t)
	v := open(t, d)
	if err := v.Put("settings", value("settings", 1, 200)); err != nil {
		t.Fatal(err)
	}
	if err := v.Put("itl", value("itl", 1, 5302)); !errors.Is(err, vault.ErrNoSpace) {
		t.Errorf("5,302 bytes on 12 KiB: %v, want %v", err, vault.ErrNoSpace)
	}
	for i := range 500 {
		if err := v.Put("settings", value("settings", i, 200)); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
	}
	if got, err := open(t, d).Get("settings"); err != nil || !bytes.Equal(got, value("settings", 499, 200)) {
		t.Errorf("%.20q, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	d := small.device(t)
	if _, err := vault.Open(d, vault.Options{}); !errors.Is(err, vault.ErrNoVault) {
		t.Errorf("blank flash without Format: %v, want %v", err, vault.ErrNoVault)
	}
	if _, err := vault.Open(d, vault.Options{Format: vault.FormatErased}); err == nil {
		t.Error("a vault was made without randomness")
	}
	for _, g := range []geometry{nor(2, 4096, 1), nor(3, 512, 1), {flash.Geometry{Kind: flash.NAND, Size: 3 * 16384, EraseSize: 16384, ProgramSize: 512}, []int{1}}} {
		if _, err := vault.Open(g.device(t), options); err == nil {
			t.Errorf("%v: a vault was made", g)
		}
	}
	v := open(t, d)
	if err := v.Put("itl", []byte("list")); err != nil {
		t.Fatal(err)
	}
	newer := d.Clone()
	for i := range small.Blocks() {
		b := newer.Bytes()[i*4096:]
		b[9] = vault.Version + 1
		vault.SealHeader(b)
	}
	if _, err := vault.Open(newer, options); !errors.Is(err, vault.ErrVersion) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer format: %v, want %v", err, vault.ErrVersion)
	}
	other := flashtest.New(t, flash.Geometry{Size: 64 << 10, EraseSize: 8 << 10, ProgramSize: 1})
	copy(other.Bytes(), d.Bytes())
	if _, err := vault.Open(other, options); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("other erase blocks: %v, want %v", err, vault.ErrDamaged)
	}
}

// The flash is full of somebody else's bytes: a vault is made where asked for.
func TestFormatOverGarbage(t *testing.T) {
	d := small.device(t)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range d.Bytes() {
		d.Bytes()[i] = byte(r.Uint32())
	}
	if _, err := vault.Open(d, vault.Options{}); !errors.Is(err, vault.ErrNoVault) {
		t.Errorf("without Format: %v, want %v", err, vault.ErrNoVault)
	}
	v, err := vault.Open(d, formatAny)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Put("itl", []byte("list")); err != nil {
		t.Error(err)
	}
}

// Bytes that a value holds are never taken for a record, even where they are a
// copy of one.
func TestValueCannotForge(t *testing.T) {
	d := small.device(t)
	v := open(t, d)
	if err := v.Put("itl", value("itl", 1, 900)); err != nil {
		t.Fatal(err)
	}
	block := bytes.Clone(d.Bytes()[:4096])
	if err := v.Put("config", block); err != nil {
		t.Fatal(err)
	}
	if err := v.Put("itl", value("itl", 2, 900)); err != nil {
		t.Fatal(err)
	}
	header := -1 // of the value that holds the copy: behind the mark and the list
	for range 3 {
		header += 1 + bytes.Index(d.Bytes()[header+1:], []byte("ITLf"))
	}
	for bit := range 64 * 8 { // lose the header that covers the forged bytes
		c := d.Clone()
		c.Flip(header*8 + bit)
		v := open(t, c)
		if got, err := v.Get("itl"); err != nil || !bytes.Equal(got, value("itl", 2, 900)) {
			t.Fatalf("bit %d: itl is %.20q, %v", bit, got, err)
		}
		if _, err := v.Get("config"); !errors.Is(err, vault.ErrDamaged) || !slices.Equal(v.Health().Degraded, []string{"config"}) {
			t.Fatalf("bit %d: config %v, degraded %v", bit, err, v.Health().Degraded)
		}
	}
}

// Limit is what Put accepts: that many bytes, and not one more.
func TestLimit(t *testing.T) {
	for _, g := range []geometry{small, nor(3, 4<<10, 1), nor(3, 64<<10, 32), nor(16, 64<<10, 1), geometries()[16]} {
		d := g.device(t)
		v := open(t, d)
		for i, key := range []string{"settings", "config", "settings", "tvs", "config", "itl", "itl"} {
			n := v.Limit(key)
			if n < 100 || n > vault.MaxValue {
				t.Fatalf("%v: update %d, %s: limit %d", g, i, key, n)
			}
			if err := v.Put(key, make([]byte, n+1)); !errors.Is(err, vault.ErrNoSpace) {
				t.Errorf("%v: update %d, %s: %d bytes: %v, the limit is %d", g, i, key, n+1, err, n)
			}
			size := n
			if i < 5 {
				size = min(n, 100+i)
			}
			if err := v.Put(key, value(key, i, size)); err != nil {
				t.Errorf("%v: update %d, %s: %d bytes: %v, the limit is %d", g, i, key, size, err, n)
			}
			if got, err := open(t, d).Get(key); err != nil || !bytes.Equal(got, value(key, i, size)) {
				t.Errorf("%v: update %d, %s: %d bytes, %v", g, i, key, len(got), err)
			}
			if g.Size < 1<<20 && i == 5 {
				break // it is full
			}
		}
		if n := v.Limit("NO KEY"); n != -1 {
			t.Errorf("%v: limit of no key: %d", g, n)
		}
	}
	d := small.device(t)
	v := open(t, d)
	for i := range vault.MaxKeys {
		if err := v.Put("key"+string(rune('a'+i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.Limit("another"); n != -1 {
		t.Errorf("limit of a key too many: %d", n)
	}
	if n := v.Limit("keya"); n < 1000 {
		t.Errorf("limit of a key that is there: %d", n)
	}
}
