// Bench measures ours against a peer or a limit, both in one run, and prints the
// ratios.
//
//	go run ./tools/bench
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
	"testing"
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
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := flag.Set("test.benchtime", *span); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	fmt.Fprintf(stdout, "%s, %d cores, %s/%s\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(stdout, "%-46s %12s %12s %7s %6s\n", "what, against what", "ours ns", "peer ns", "ratio", "goal")
	rows, err := trustlistRows()
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 3
	}
	rows = append(rows, vaultRows()...)
	for _, r := range rows {
		ours, peer := r.measure()
		mark := ""
		if ours/peer > r.goal {
			mark = "  missed"
		}
		fmt.Fprintf(stdout, "%-46s %12.0f %12.0f %7.2f %6.2f%s\n", r.what+", "+r.peerName, ours, peer, ours/peer, r.goal, mark)
	}
	now, peak, err := residentMemory()
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 3
	}
	mark := ""
	if now > memoryLimit {
		mark = "  missed"
	}
	fmt.Fprintf(stdout, "\ndevice program after a whole cycle: %.1f MiB resident, %.1f MiB at most; the limit is %d MiB%s\n",
		float64(now)/(1<<20), float64(peak)/(1<<20), memoryLimit>>20, mark)
	if err := benchBoards(stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 3
	}
	return 0
}

// measure returns the medians of both sides in nanoseconds a loop.
func (r row) measure() (ours, peer float64) {
	var a, b []float64
	for range rounds {
		a = append(a, perOp(r.ours))
		if r.peer == nil {
			b = append(b, r.limit)
		} else {
			b = append(b, perOp(r.peer))
		}
	}
	return median(a), median(b)
}

func perOp(f func(*testing.B)) float64 {
	result := testing.Benchmark(f)
	return float64(result.T.Nanoseconds()) / float64(result.N)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
