package flash_test

import (
	"errors"
	"strings"
	"testing"

	"itlagent/platform/flash"
)

func TestGeometry(t *testing.T) {
	good := flash.Geometry{Size: 64 << 10, EraseSize: 4 << 10, ProgramSize: 256}
	if err := good.Check(); err != nil || good.Blocks() != 16 {
		t.Errorf("%v, %d blocks", err, good.Blocks())
	}
	for name, change := range map[string]func(*flash.Geometry){
		"size 0":                 func(g *flash.Geometry) { g.Size = 0 },
		"half a block":           func(g *flash.Geometry) { g.Size += 2 << 10 },
		"erase size 0":           func(g *flash.Geometry) { g.EraseSize = 0 },
		"erase size 3000":        func(g *flash.Geometry) { g.EraseSize = 3000 },
		"program size 0":         func(g *flash.Geometry) { g.ProgramSize = 0 },
		"program size 12":        func(g *flash.Geometry) { g.ProgramSize = 12 },
		"program size too large": func(g *flash.Geometry) { g.ProgramSize = 8 << 10 },
	} {
		g := good
		if change(&g); g.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, c := range []struct {
		off, n int
		want   string
	}{{0, 256, ""}, {65280, 256, ""}, {65536, 0, ""}, {65536, 256, "do not lie"}, {-256, 256, "do not lie"}, {0, -1, "do not lie"}, {1, 256, "aligned"}, {0, 255, "aligned"}} {
		err := good.CheckProgram(c.off, c.n)
		var at *flash.Error
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &at) || at.Off != c.off || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("program of %d at %d: %v, want %q", c.n, c.off, err, c.want)
		}
	}
	if flash.NOR.String() != "NOR" || flash.NAND.String() != "NAND" {
		t.Error("the kinds have other names")
	}
}
