package repair_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/firmware/repair"
	"itlagent/platform/console"
)

// bench is a console whose typist is the test, and which ends with its context as one of
// console.Attach does.
type bench struct {
	mu  sync.Mutex
	out bytes.Buffer
	in  *io.PipeReader
	key *io.PipeWriter
}

func newBench() *bench {
	r, w := io.Pipe()
	return &bench{in: r, key: w}
}

func (b *bench) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *bench) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

func (b *bench) attach(ctx context.Context, _ string, _ console.Completer) (console.Console, func(), error) {
	context.AfterFunc(ctx, func() { b.in.CloseWithError(ctx.Err()) })
	return console.NewPlain(b.in, b), func() {}, nil
}

func (b *bench) types(lines ...string) {
	for _, line := range lines {
		io.WriteString(b.key, line+"\n")
	}
}

var flashMissing = repair.Problem{Text: "flash: /dev/mtd3: no such file\x1b[2J", Hint: "look at mtdparts"}

// run runs the shell over lines that are typed.
func run(t *testing.T, o repair.Options, lines ...string) (repair.Result, string) {
	t.Helper()
	b := newBench()
	go b.types(lines...)
	r, err := repair.Run(t.Context(), b.attach, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return r, b.text()
}

// A board says what is missing at once and every minute, and feeds its watchdog in
// between, as long as nobody asks for anything.
func TestSaysSoEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, alive := newBench(), 0
		var longest, last time.Duration
		begin := time.Now()
		o := repair.Options{Problems: []repair.Problem{flashMissing}, Alive: func() {
			now := time.Since(begin)
			longest, last = max(longest, now-last), now
			alive++
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour+time.Second)
		defer cancel()
		if _, err := repair.Run(ctx, b.attach, b, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if n := strings.Count(b.text(), "itlagent: the phone does not run: flash: /dev/mtd3: no such file"); n != 61 {
			t.Errorf("said %d times in an hour, want 61", n)
		}
		if alive < 61 || longest > 10*time.Second {
			t.Errorf("alive %d times, at most every %v", alive, longest)
		}
		if strings.Contains(b.text(), "\x1b") || !strings.Contains(b.text(), "look at mtdparts") {
			t.Errorf("%q", b.text())
		}
	})
}

// A console that is gone does not end it, and does not make it spin.
func TestWithoutConsole(t *testing.T) {
	for name, attach := range map[string]repair.Attach{
		"never there": func(context.Context, string, console.Completer) (console.Console, func(), error) {
			return nil, nil, errors.New("no terminal")
		},
		"ends": func(context.Context, string, console.Completer) (console.Console, func(), error) {
			return console.NewPlain(strings.NewReader(""), io.Discard), func() {}, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			alive := 0
			if _, err := repair.Run(ctx, attach, io.Discard, repair.Options{Problems: []repair.Problem{flashMissing}, Alive: func() { alive++ }}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
			if alive > 3600 {
				t.Errorf("%s: it looked %d times in an hour", name, alive)
			}
		})
	}
}

// When everything that was missing is there the phone starts, with what was set until
// then; as long as one thing is missing it does not.
func TestGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		after := func(d time.Duration) func() bool { return func() bool { return time.Since(begin) >= d } }
		problems := []repair.Problem{{Text: "a", Gone: after(7 * time.Second)}, {Text: "b", Gone: after(3 * time.Minute)}}
		b := newBench()
		go b.types("set mac 001122334455")
		r, err := repair.Run(t.Context(), b.attach, b, repair.Options{Problems: problems, Args: []string{"-mac", "x"}})
		if err != nil || r.PowerOff || r.Format || !slices.Equal(r.Args, []string{"-mac=001122334455"}) {
			t.Errorf("%+v, %v", r, err)
		}
		if took := time.Since(begin); took < 3*time.Minute || took > 4*time.Minute {
			t.Errorf("after %v", took)
		}
	})
}

func TestCommands(t *testing.T) {
	args := []string{"-console", "-mac", "0", "--tftp=192.0.2.1", "interface=eth0", "-tftp", "192.0.2.2"}
	o := repair.Options{Problems: []repair.Problem{flashMissing}, Args: args, Machine: func() []string { return []string{"has \x1bone"} }}
	for _, test := range []struct {
		name  string
		lines []string
		want  repair.Result
		shows []string
	}{
		{"reset", []string{"reset"}, repair.Result{Args: args}, nil},
		{"power off", []string{"", "poweroff"}, repair.Result{Args: args, PowerOff: true}, nil},
		{"without a network", []string{"start"}, repair.Result{Args: args, Anyway: true}, nil},
		{"format", []string{"format", "yes"}, repair.Result{Args: args, Format: true}, []string{"destroy what the flash holds"}},
		{"format, rather not", []string{"format", "y", "reset"}, repair.Result{Args: args}, []string{"format: nothing was changed"}},
		{"servers", []string{"set tftp 192.0.2.9,192.0.2.8", "reset"},
			repair.Result{Args: []string{"-console", "-mac", "0", "interface=eth0", "-tftp=192.0.2.9,192.0.2.8"}}, []string{"tftp: 192.0.2.9,192.0.2.8; reset tries it"}},
		{"an interface", []string{"set interface usb0", "set address 192.0.2.3/24", "reset"},
			repair.Result{Args: []string{"-console", "-mac", "0", "--tftp=192.0.2.1", "-tftp", "192.0.2.2", "interface=usb0", "address=192.0.2.3/24"}}, nil},
		{"no interface", []string{"set interface none", "reset"},
			repair.Result{Args: []string{"-console", "-mac", "0", "--tftp=192.0.2.1", "-tftp", "192.0.2.2"}}, nil},
		{"show", []string{"show", "reset"}, repair.Result{Args: args},
			[]string{`missing: flash: /dev/mtd3: no such file\x1b[2J`, "mac: 0", "tftp: 192.0.2.2", "flash: none", `has \x1bone`}},
		{"nonsense", []string{"\x1b[2Jx", "set", "set colour red", "set mac", "show flash", "help", "reset"}, repair.Result{Args: args},
			[]string{"no such command; try help", "set: usage: set mac|model|tftp|flash|interface|address|gateway VALUE", "show: usage: show", "set tftp VALUE"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, text := run(t, o, test.lines...)
			if !slices.Equal(got.Args, test.want.Args) || got.PowerOff != test.want.PowerOff || got.Format != test.want.Format || got.Anyway != test.want.Anyway {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			for _, want := range test.shows {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in\n%s", want, text)
				}
			}
		})
	}
	if args[2] != "0" || len(args) != 7 {
		t.Errorf("the arguments were changed: %q", args)
	}
}
