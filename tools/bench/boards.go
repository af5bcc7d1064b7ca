package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/scenario"
	"itlagent/tools/qemu"
)

// scenarioTime is how long the scenario may take with little memory.
const scenarioTime = 45 * time.Second

// Goals of a board: resident memory of the agent, in bytes, and the memory that is
// enough for the scenario, in MiB.
const (
	boardMemory = 16 << 20
	boardRAM    = 64
)

// benchBoards measures every emulated board for which there are an emulator and a
// kernel, and says which ones lack them.
func benchBoards(w io.Writer) error {
	fmt.Fprintf(w, "\n%-12s %10s %10s %8s %8s %8s %10s %8s\n", "board", "kernel", "initramfs", "kernel s", "agent s", "trust s", "resident", "RAM MiB")
	for _, name := range boards.Names() {
		b, err := boards.Load(name)
		if err != nil {
			return err
		}
		if b.QEMU == nil || b.QEMU.UBoot != "" {
			continue
		}
		kernel, modules, err := image.FindKernel(b)
		if err == nil {
			err = qemu.Check(b)
		}
		if err != nil {
			fmt.Fprintf(w, "%-12s skipped: %v\n", name, err)
			continue
		}
		if err := benchBoard(w, b, kernel, modules); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fmt.Fprintf(w, "kernel s: the kernel's own count when the agent starts; agent s and trust s: from power-on to its first line and to its first verdict.\n"+
		"Goals: at most %d MiB resident after a whole cycle; the scenario passes with %d MiB of memory.\n", boardMemory>>20, boardRAM)
	return nil
}

var (
	firstLine = regexp.MustCompile(`itlagent: first process, the kernel is up ([0-9.]+) s`)
	verdict   = regexp.MustCompile(`SEP[0-9A-F]{12} accepted: `)
	resident  = regexp.MustCompile(`VmRSS (\d+) kB`)
)

func benchBoard(w io.Writer, b *board.Board, kernel, modules string) error {
	base, err := os.MkdirTemp("", "itlagent-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	m, err := image.Build(b, image.Options{Dir: base, Kernel: kernel, Modules: modules})
	if err != nil {
		return err
	}
	size := make(map[string]int64)
	for _, f := range m.Files {
		size[f.Name] = f.Size
	}
	s, err := scenario.Load("recovery-note")
	if err != nil {
		return err
	}
	least := 0
	for _, ram := range []int{boardRAM, 48, 40, 32, 24} {
		dir := filepath.Join(base, fmt.Sprint(ram))
		ctx, cancel := context.WithTimeout(context.Background(), scenarioTime) // a board that is short of memory may hang
		r := scenario.Run(ctx, s, scenario.Options{Advertise: guest, Boot: qemu.Boots(b, base, dir, ram)})
		cancel()
		if r.Err != nil {
			break
		}
		least = ram
	}
	if least == 0 {
		return fmt.Errorf("the scenario does not pass with %d MiB", boardRAM)
	}
	var first, trusted []float64
	kernelTime, rss := "", 0
	for i := range rounds {
		one, two, up, memory, err := bootTimes(b, base, filepath.Join(base, fmt.Sprint("boot", i)))
		if err != nil {
			return err
		}
		first, trusted, kernelTime, rss = append(first, one), append(trusted, two), up, memory
	}
	mark := ""
	if rss > boardMemory {
		mark = "  missed"
	}
	fmt.Fprintf(w, "%-12s %10d %10d %8s %8.1f %8.1f %6.1f MiB %8d%s\n", b.Name, size[image.KernelFile], size[image.InitramfsFile], kernelTime,
		median(first), median(trusted), float64(rss)/(1<<20), least, mark)
	return nil
}

// guest is the host's loopback for a board.
const guest = "10.0.2.2"

// bootTimes boots a new phone beside a cluster, and returns the seconds to the
// agent's first line and to its verdict, what the kernel counted, and what the agent
// holds then, in bytes.
func bootTimes(b *board.Board, base, dir string) (first, trusted float64, kernel string, rss int, err error) {
	p := profile.Note()
	p.Advertise = guest
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		return 0, 0, "", 0, err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return 0, 0, "", 0, err
	}
	if err := qemu.PrepareFlash(b, base, dir); err != nil {
		return 0, 0, "", 0, err
	}
	_, port, _ := net.SplitHostPort(c.Publisher().Address())
	ctx := context.Background()
	begin := time.Now()
	m, err := qemu.Start(ctx, b, qemu.Options{Dir: dir, Phone: qemu.PhoneArgs(p.Phones[0].MAC, p.Phones[0].Model, []string{net.JoinHostPort(guest, port)})})
	if err != nil {
		return 0, 0, "", 0, err
	}
	defer m.Kill()
	e := qemu.NewExpect(m.Console)
	const limit = 2 * time.Minute
	_, g, err := e.Wait(ctx, limit, firstLine)
	if err != nil {
		return 0, 0, "", 0, err
	}
	first, kernel = time.Since(begin).Seconds(), g[1]
	if _, _, err := e.Wait(ctx, limit, verdict); err != nil {
		return 0, 0, "", 0, err
	}
	trusted = time.Since(begin).Seconds()
	if err := e.Send("show system"); err != nil {
		return 0, 0, "", 0, err
	}
	if _, g, err = e.Wait(ctx, limit, resident); err != nil {
		return 0, 0, "", 0, err
	}
	kib, err := strconv.Atoi(g[1])
	return first, trusted, kernel, kib << 10, err
}
