// Bench measures ours against a peer or a limit, both in one run, and prints the
// ratios.
//
//	go run ./tools/bench
//	go run ./tools/bench -only tvs,files -results bench.txt
//
// The two sides of a row run by turns; the figures are medians of five. A ratio
// over its goal is marked, and is no failure: timings depend on the machine.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// rounds is how often each side of a row is measured.
const rounds = 5

// row is one comparison: two loops over the same work, or one against a limit.
type row struct {
	what       string
	ours, peer func(*testing.B)
	limit      float64 // nanoseconds, where there is no peer
	peerName   string
	goal       float64 // of ours divided by peer
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	testing.Init()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	span := flags.String("time", "200ms", "how long each measurement takes")
	results := flags.String("results", "", "`FILE` for every single result, as benchstat reads them")
	only := flags.String("only", "", "measure these `PARTS` alone: lists, vault, tvs, files, handsets, registered, hostile, size, memory, boards")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := flag.Set("test.benchtime", *span); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	d, err := time.ParseDuration(*span)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	b := &bench{out: stdout, span: d, results: io.Discard}
	if *results != "" {
		f, err := os.Create(*results)
		if err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 3
		}
		defer f.Close()
		b.results = f
		fmt.Fprintf(f, "goos: %s\ngoarch: %s\npkg: itlagent\n", runtime.GOOS, runtime.GOARCH)
	}
	fmt.Fprintf(stdout, "%s, %d cores, %s/%s\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	parts := []struct {
		name string
		run  func() error
	}{
		{"lists", b.rows}, {"vault", b.wear}, {"tvs", b.tvsLoads}, {"files", b.fileLoads}, {"handsets", b.handsets}, {"registered", b.registered}, {"hostile", b.noisy},
		{"size", b.sizes}, {"memory", b.memory}, {"boards", func() error { return benchBoards(stdout) }},
	}
	for _, p := range parts {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		if err := p.run(); err != nil {
			fmt.Fprintf(stderr, "bench: %s: %v\n", p.name, err)
			return 3
		}
	}
	return 0
}

// bench is one run.
type bench struct {
	out, results io.Writer
	span         time.Duration // of one measurement
}

// raw writes a rate in the form that benchstat reads.
func (b *bench) raw(name string, perSecond float64) {
	name = strings.NewReplacer(" ", "_", ",", "").Replace(name)
	fmt.Fprintf(b.results, "Benchmark%s 1 %.1f ops/s\n", strings.ToUpper(name[:1])+name[1:], perSecond)
}

// rows runs the comparisons of loops.
func (b *bench) rows() error {
	fmt.Fprintf(b.out, "\n%-46s %12s %12s %7s %6s %7s\n", "what, against what", "ours ns", "peer ns", "ratio", "goal", "allocs")
	rows, err := trustlistRows()
	if err != nil {
		return err
	}
	for _, r := range append(rows, vaultRows()...) {
		ours, peer, allocs := r.measure()
		mark := ""
		if ours/peer > r.goal {
			mark = "  missed"
		}
		b.raw(r.what+"/ours", 1e9/ours)
		b.raw(r.what+"/"+r.peerName, 1e9/peer)
		fmt.Fprintf(b.out, "%-46s %12.0f %12.0f %7.2f %6.2f %7d%s\n", r.what+", "+r.peerName, ours, peer, ours/peer, r.goal, allocs, mark)
	}
	return nil
}

// memory prints what the device program holds.
func (b *bench) memory() error {
	now, peak, err := residentMemory()
	if err != nil {
		return err
	}
	mark := ""
	if now > memoryLimit {
		mark = "  missed"
	}
	fmt.Fprintf(b.out, "\ndevice program after a whole cycle: %.1f MiB resident, %.1f MiB at most; the limit is %d MiB%s\n",
		float64(now)/(1<<20), float64(peak)/(1<<20), memoryLimit>>20, mark)
	return nil
}

// measure returns the medians of both sides in nanoseconds a loop, and how often ours
// asks for memory in one.
func (r row) measure() (ours, peer float64, allocs int64) {
	var a, b []float64
	for range rounds {
		ns, n := perOp(r.ours)
		a, allocs = append(a, ns), n
		if r.peer == nil {
			b = append(b, r.limit)
		} else {
			ns, _ := perOp(r.peer)
			b = append(b, ns)
		}
	}
	return median(a), median(b), allocs
}

func perOp(f func(*testing.B)) (ns float64, allocs int64) {
	result := testing.Benchmark(f)
	return float64(result.T.Nanoseconds()) / float64(result.N), result.AllocsPerOp()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
