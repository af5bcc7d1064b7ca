package main

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"itlagent/agent/trustlist"
	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/image"
	"itlagent/testbench/evidence"
	"itlagent/testbench/vaultimage"
)

// flashFlags describe the flash image that stores the state of a phone.
type flashFlags struct {
	path, size, eraseSize, programSize *string
	format                             *bool
}

func addFlashFlags(f *pflag.FlagSet) flashFlags {
	return flashFlags{
		path:        f.String("flash", "", "`IMAGE` of raw NOR flash that stores everything; created where it is missing"),
		size:        f.String("flash-size", "1MiB", "`SIZE` of a new image"),
		eraseSize:   f.String("erase-size", "64KiB", "`SIZE` of an erase block"),
		programSize: f.String("program-size", "1", "`SIZE` of what is programmed at once"),
		format:      f.Bool("format", false, "make a vault where --flash holds none that can be read, and destroy what it holds"),
	}
}

// parseSize reads "4096", "256KiB" or "1MiB".
func parseSize(s string) (int, error) {
	number, shift := s, 0
	for suffix, n := range map[string]int{"KiB": 10, "K": 10, "MiB": 20, "M": 20} {
		if head, ok := strings.CutSuffix(s, suffix); ok {
			number, shift = head, n
		}
	}
	n, err := strconv.ParseUint(number, 10, 20)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("size %q is not like 4096, 64KiB or 1MiB", s)
	}
	return int(n) << shift, nil
}

// open opens the image and mounts its vault. The code counts only where it is
// not exitOK.
func (ff flashFlags) open(e *env) (v *vault.Vault, close func(), code int) {
	var g flash.Geometry
	for _, f := range []struct {
		text *string
		to   *int
	}{{ff.size, &g.Size}, {ff.eraseSize, &g.EraseSize}, {ff.programSize, &g.ProgramSize}} {
		n, err := parseSize(*f.text)
		if err != nil {
			return nil, nil, e.usage("phone: %v", err)
		}
		*f.to = n
	}
	switch info, err := os.Stat(*ff.path); {
	case err != nil:
	case info.Size() > 0:
		g.Size = int(min(info.Size(), evidence.MaxImage))
	case info.Mode().IsRegular() && !*ff.format:
		return nil, nil, e.fail(exitInfra, "%s is empty: a new image is made where there is none, or with --format", *ff.path)
	}
	if err := g.Check(); err != nil {
		return nil, nil, e.usage("phone: %s: %v", *ff.path, err)
	}
	dev, err := image.Open(*ff.path, g)
	if err != nil {
		return nil, nil, e.fail(exitInfra, "%v", plainPath(err))
	}
	options := vault.Options{Rand: rand.Reader, Format: vault.FormatErased}
	if *ff.format {
		options.Format = vault.FormatAny
	}
	v, err = vault.Open(dev, options)
	if err != nil {
		dev.Close()
		code = e.fail(exitInfra, "%s: %v", *ff.path, err)
		switch {
		case errors.Is(err, vault.ErrGeometry):
			fmt.Fprintln(e.stderr, "hint: give the --erase-size and --program-size that it was made with; --format would destroy it")
		case vault.Formattable(err):
			fmt.Fprintln(e.stderr, "--format makes a vault there, and destroys what is there")
		}
		return nil, nil, code
	}
	if h := v.Health(); len(h.Degraded) > 0 || h.ReadOnly != nil {
		fmt.Fprintf(e.stderr, "itlbench: warning: %s: damaged keys %v, read-only: %v\n", *ff.path, h.Degraded, h.ReadOnly)
	}
	return v, func() {
		if err := dev.Close(); err != nil {
			e.fail(exitInfra, "%s: %v", *ff.path, err)
		}
	}, exitOK
}

// runVault reads a flash image with code that shares nothing with the vault's.
func runVault(e *env, args []string) int {
	f := e.flags("vault")
	eraseSize := f.String("erase-size", "", "`SIZE` of an erase block, where the image does not tell")
	asJSON := f.Bool("json", false, "print one JSON object")
	if code, ok := e.parse(f, args, 2); !ok {
		return code
	}
	verb, path := f.Arg(0), f.Arg(1)
	if verb != "show" && verb != "verify" {
		return e.usage("vault: no %q; there are: vault show, vault verify", verb)
	}
	erase := 0
	if *eraseSize != "" {
		var err error
		if erase, err = parseSize(*eraseSize); err != nil {
			return e.usage("vault: %v", err)
		}
	}
	data, err := evidence.ReadImage(path)
	if err != nil {
		return e.fail(exitNo, "%v", err)
	}
	img, err := vaultimage.Read(data, erase)
	if err != nil {
		return e.fail(exitNo, "%s: offset 0: %v", path, err)
	}
	switch {
	case *asJSON:
		printJSON(e.stdout, describeImage(img))
	case verb == "show":
		printImage(e.stdout, img)
	}
	if verb == "verify" {
		return e.verifyImage(path, img, *asJSON)
	}
	return exitOK
}

// verifyImage reports what had been committed and is damaged.
func (e *env) verifyImage(path string, img *vaultimage.Image, quiet bool) int {
	torn, lost := 0, 0
	first := ""
	for _, d := range img.Damage {
		what := "unfinished"
		if d.Lost {
			what = "damaged"
			if lost++; first == "" {
				first = fmt.Sprintf("offset %d: %s", d.Block*img.EraseSize+d.Offset, d.What)
			}
		} else {
			torn++
		}
		if !quiet {
			fmt.Fprintf(e.stdout, "%s: block %d, offset 0x%x: %s\n", what, d.Block, d.Offset, d.What)
		}
	}
	var degraded []string
	for i := range img.Keys {
		if k := &img.Keys[i]; k.Degraded() {
			degraded = append(degraded, k.Name)
		}
	}
	if !quiet {
		fmt.Fprintf(e.stdout, "%d keys, %d messages, %d damaged records, %d that power did not finish\n", len(img.Keys), len(img.Messages), lost, torn)
	}
	switch {
	case len(degraded) > 0:
		return e.fail(exitNo, "%s: %s; the newest value of %s is lost", path, first, strings.Join(degraded, ", "))
	case lost > 0:
		return e.fail(exitNo, "%s: %s; no newest value is lost", path, first)
	}
	return exitOK
}

// imageJSON is the object that `vault show --json` prints.
type imageJSON struct {
	Kind        string        `json:"kind"`
	Version     int           `json:"version"`
	EraseSize   int           `json:"eraseSize"`
	ProgramSize int           `json:"programSize"`
	ID          string        `json:"id"`
	Sequence    uint64        `json:"sequence"`
	Blocks      []blockJSON   `json:"blocks"`
	Keys        []keyJSON     `json:"keys"`
	Messages    []messageJSON `json:"messages"`
	Damage      []damageJSON  `json:"damage"`
}

type blockJSON struct {
	Header    bool   `json:"header"`
	Sequence  uint64 `json:"sequence"`
	Erases    uint32 `json:"erases"`
	Used      int    `json:"used"`
	Fragments int    `json:"fragments"`
}

type keyJSON struct {
	Name     string `json:"name"`
	Revision uint64 `json:"revision"`
	Known    uint64 `json:"known"`
	Length   int    `json:"length"`
	SHA1     string `json:"sha1"`
	Deleted  bool   `json:"deleted"`
	Degraded bool   `json:"degraded"`
}

type messageJSON struct {
	Time  int64  `json:"time"`
	Last  int64  `json:"last"`
	Count int    `json:"count"`
	Text  string `json:"text"`
}

type damageJSON struct {
	Block  int    `json:"block"`
	Offset int    `json:"offset"`
	What   string `json:"what"`
	Lost   bool   `json:"lost"`
}

func describeImage(img *vaultimage.Image) imageJSON {
	out := imageJSON{
		Kind: "VAULT", Version: img.Version, EraseSize: img.EraseSize, ProgramSize: img.ProgramSize, ID: hex.EncodeToString(img.ID[:]),
		Sequence: img.Sequence, Blocks: []blockJSON{}, Keys: []keyJSON{}, Messages: []messageJSON{}, Damage: []damageJSON{},
	}
	for _, b := range img.Blocks {
		out.Blocks = append(out.Blocks, blockJSON{b.Header, b.Seq, b.Erases, b.Used, b.Fragments})
	}
	for i := range img.Keys {
		k := &img.Keys[i]
		j := keyJSON{Name: k.Name, Revision: k.Revision, Known: k.Known, Length: len(k.Value), Deleted: k.Deleted, Degraded: k.Degraded()}
		if k.Revision != 0 && !k.Deleted {
			sum := sha1.Sum(k.Value)
			j.SHA1 = hex.EncodeToString(sum[:])
		}
		out.Keys = append(out.Keys, j)
	}
	for _, m := range img.Messages {
		out.Messages = append(out.Messages, messageJSON{m.Time, m.Last, m.Count, m.Text})
	}
	for _, d := range img.Damage {
		out.Damage = append(out.Damage, damageJSON{d.Block, d.Offset, d.What, d.Lost})
	}
	return out
}

func printImage(w io.Writer, img *vaultimage.Image) {
	fmt.Fprintf(w, "vault %x, format %d, %d erase blocks of %d bytes, programmed by %d, sequence %d\n\n",
		img.ID, img.Version, len(img.Blocks), img.EraseSize, img.ProgramSize, img.Sequence)
	fmt.Fprintf(w, "BLOCK HEADER ORDER ERASES USED FRAGMENTS\n")
	for i, b := range img.Blocks {
		header := "-"
		if b.Header {
			header = "ok"
		}
		fmt.Fprintf(w, "%d %s %d %d %d %d\n", i, header, b.Seq, b.Erases, b.Used, b.Fragments)
	}
	fmt.Fprintf(w, "\nKEY REVISION LENGTH SHA1\n")
	for i := range img.Keys {
		k := &img.Keys[i]
		line := fmt.Sprintf("%s %d %d ", trustlist.Printable([]byte(k.Name)), k.Revision, len(k.Value))
		switch {
		case k.Deleted:
			line += "deleted"
		case k.Revision == 0:
			line += "lost"
		default:
			line += fmt.Sprintf("%x", sha1.Sum(k.Value))
		}
		if k.Degraded() && k.Revision != 0 {
			line += fmt.Sprintf(" revision %d is damaged", k.Known)
		}
		fmt.Fprintln(w, line)
	}
	if len(img.Messages) > 0 {
		fmt.Fprintf(w, "\nMESSAGES\n")
	}
	for _, m := range img.Messages {
		times := ""
		if m.Count > 1 {
			times = fmt.Sprintf(" (%d times)", m.Count)
		}
		fmt.Fprintf(w, "%s %s%s\n", time.Unix(m.Time, 0).UTC().Format("2006-01-02 15:04:05"), trustlist.Printable([]byte(m.Text)), times)
	}
}
