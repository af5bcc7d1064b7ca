package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"itlagent/platform/limits"
	"itlagent/platform/serial"
	"itlagent/platform/serial/lines"
	"itlagent/tools/expect"
	"itlagent/tools/probe"
	"itlagent/tools/uboot"
)

// runBoard is what is done to a board that is there: probe, which asks it, and powercut.
func runBoard(e *env, args []string) int {
	if len(args) > 0 && args[0] == "powercut" {
		return runPowerCut(e, args[1:])
	}
	f := e.flags("board")
	line := f.String("console", "", "`LINE` of the board's console")
	name := f.String("name", "my-board", "`NAME` of the board in its description")
	out := f.StringP("output", "o", "", "`FILE` for the description; standard output where none is given")
	limit := time.Minute
	const minLimit, maxLimit = time.Second, time.Hour
	f.Var(limits.Duration(&limit, minLimit, maxLimit), "wait", "how long to wait for the prompt")
	if code, ok := e.parse(f, args, -1); !ok {
		return code
	}
	switch {
	case f.NArg() != 1 || f.Arg(0) != "probe":
		return e.usage("board: probe --console LINE, or powercut BOARD --console LINE --power CMD")
	case *line == "":
		return e.usage("board probe: --console says which line the board is at")
	case !boardName.MatchString(*name):
		return e.usage("board probe: invalid name %.60q: want 2 to 41 of a-z, 0-9 and '-'", *name)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	text, open, err := probeBoard(ctx, *line, *name, limit)
	if err != nil {
		return e.probeFailed(ctx, err)
	}
	if *out == "" {
		fmt.Fprint(e.stdout, text)
	} else if err := writeOutput(*out, []byte(text)); err != nil {
		return e.fail(exitInfra, "board probe: %v", err)
	}
	for _, question := range open {
		fmt.Fprintln(e.stderr, "open: "+question)
	}
	if err := probe.Sound(text); err != nil {
		fmt.Fprintf(e.stderr, "itlbench image --check will say: %v\n", err)
	}
	return exitOK
}

var boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,40}$`)

// probeBoard asks a board on a line.
func probeBoard(ctx context.Context, name, board string, limit time.Duration) (text string, open []string, err error) {
	line, err := lines.Open(ctx, name)
	if err != nil {
		return "", nil, err
	}
	defer line.Close()
	e := expect.New(line)
	prompt, stop, err := probe.Prompt(ctx, e, limit)
	if err != nil {
		return "", nil, err
	}
	l, err := uboot.Attach(ctx, e, uboot.Options{Prompt: prompt})
	if err != nil {
		return "", nil, err
	}
	answers, err := probe.Ask(ctx, l)
	if err != nil {
		return "", nil, err
	}
	text, open = probe.Describe(board, prompt, stop, answers)
	return text, open, nil
}

// probeHints are what to try, by what went wrong.
var probeHints = []struct {
	err  error
	hint string
}{
	{probe.ErrSystem, "turn it off and on while this waits, so that its boot loader can be stopped"},
	{probe.ErrSilent, "turn it on, and check cable, line and rate"},
	{probe.ErrPrompt, "turn it off and on while this waits; check the rate: --console LINE,RATE"},
	{uboot.ErrEcho, "the boot loader has no hush shell, or the line loses characters"},
	{expect.ErrSilent, "the boot loader has no hush shell, or the line loses characters"},
	{serial.ErrVanished, "plug it in again"},
	{os.ErrPermission, "join the group dialout"},
}

// probeFailed prints one line, with a hint, and returns the code.
func (e *env) probeFailed(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		return e.fail(exitInfra, "board probe: interrupted")
	}
	for _, h := range probeHints {
		if errors.Is(err, h.err) {
			return e.fail(exitInfra, "board probe: %v (%s)", plainPath(err), h.hint)
		}
	}
	return e.fail(exitInfra, "board probe: %v", plainPath(err))
}
