package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"itlagent/tools/rig/rigtest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	rigtest.Main() // this program is also the boards of its tests
	testscript.Main(m, map[string]func(){"itlbench": main})
}

// The transcripts in testdata/script run the program as its users do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("MEMORY", memoryLimit)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"await": await, "flip": flip, "cut": cut},
	})
}

// await FILE waits until a file exists and is not empty.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(30 * time.Second); ; {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear", args[0])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// flip FROM TO copies a file with the lowest bit of its middle byte flipped.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}

// cut FROM DIR writes DIR/N for every length N of the file but the whole.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o755))
	for n := 0; n < len(data); n += max(1, len(data)/40) {
		ts.Check(os.WriteFile(filepath.Join(dir, "cut"), data[:n], 0o644))
		err := ts.Exec("itlbench", "verify", filepath.Join(dir, "cut"))
		if err == nil {
			ts.Fatalf("cut to %d of %d bytes: accepted", n, len(data))
		}
	}
}
