package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"itlagent/platform/limits"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/tools/rig"
)

// cutting is a campaign of power cuts, and how it is told.
type cutting struct {
	*rig.Campaign
	name string // of the board
	json bool
}

// cutJSON is the object that is printed for each power cut.
type cutJSON struct {
	Cut      int      `json:"cut"`
	During   string   `json:"during"` // program, erase, neither or unknown
	Sequence uint64   `json:"sequence"`
	Keys     *int     `json:"keys"` // null where the flash is not seen
	Verdict  string   `json:"verdict"`
	Lost     []string `json:"lost"`
}

// cutsJSON is the object that is printed at the end.
type cutsJSON struct {
	Board   string         `json:"board"`
	Cuts    int            `json:"cuts"`
	Updates uint64         `json:"updates"`
	During  map[string]int `json:"during"`
	Lost    int            `json:"lost"`
	Seed    uint64         `json:"seed"`
	Error   string         `json:"error,omitempty"`
}

// run cuts the power and prints what came of it. Its code is that of the command, unless
// an error says more.
func (c *cutting) run(ctx context.Context, e *env) (code int, err error) {
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	c.Say = func(cut rig.Cut) { c.tell(e, cut) }
	res, err := c.Run(ctx)
	during := make(map[string]int)
	for _, d := range []rig.During{rig.Program, rig.Erase, rig.Neither, rig.Unknown} {
		if n := res.During[d]; n > 0 {
			during[string(d)] = n
		}
	}
	if c.json {
		end := cutsJSON{c.name, res.Done, res.Updates, during, len(res.Lost), c.Seed, ""}
		if err != nil {
			end.Error, _, _ = strings.Cut(err.Error(), "\n")
		}
		printJSON(e.stdout, end)
	} else {
		for _, line := range res.Lost {
			fmt.Fprintln(e.stdout, strings.TrimSpace(line))
		}
		fmt.Fprintf(e.stdout, "%s: %d power cuts among %d updates, %d lost; %s; --seed %d\n", c.name, res.Done, res.Updates, len(res.Lost), share(res), c.Seed)
	}
	if len(res.Lost) > 0 {
		return exitNo, err
	}
	return exitOK, err
}

// share says how many cuts fell into what.
func share(res rig.Cuts) string {
	known := res.Done - res.During[rig.Unknown]
	if known == 0 {
		return "what the flash did at each is not known"
	}
	return fmt.Sprintf("%d fell into a program, %d into an erase (%d %%)", res.During[rig.Program], res.During[rig.Erase],
		100*(res.During[rig.Program]+res.During[rig.Erase])/known)
}

// tell prints what came of a cut.
func (c *cutting) tell(e *env, cut rig.Cut) {
	if c.json {
		line := cutJSON{Cut: cut.Number, During: string(cut.During), Sequence: cut.Sequence, Verdict: cut.Verdict, Lost: append([]string{}, cut.Lost...)}
		if cut.Keys >= 0 {
			line.Keys = &cut.Keys
		}
		printJSON(e.stdout, line)
		return
	}
	keys, verdict := "", "it did not boot"
	if cut.Keys >= 0 {
		keys = fmt.Sprintf(" %d keys,", cut.Keys)
	}
	if cut.Verdict != "" {
		verdict = cut.Verdict
	}
	fmt.Fprintf(e.stderr, "cut %d of %d: during %s, sequence %d,%s %s, %d lost\n", cut.Number, c.Cuts, cut.During, cut.Sequence, keys, verdict, len(cut.Lost))
}

// runPowerCut is the command board powercut.
func runPowerCut(e *env, args []string) int {
	f := e.flags("board powercut")
	s := new(site)
	s.addPhone(f)
	f.StringVar(&s.dir, "dir", "", "`DIR` with the flash file of an emulated board, which is then looked at after each cut")
	count := 20
	const maxCuts = 1_000_000
	f.Var(limits.Int(&count, 1, maxCuts), "count", "cut the power `N` times")
	seed := f.Uint64("seed", 0, "`SEED` of the moments; 0 takes the time")
	beside := f.String("cluster", "note", "`PROFILE` of the cluster that the phone follows")
	asJSON := f.Bool("json", false, "print one JSON object a cut, and one at the end")
	yes := f.Bool("yes", false, "do not ask: the phone on the board loses its lists, and its flash is written without end")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	if code := s.find(e, f, f.Arg(0)); code != exitOK {
		return code
	}
	text := s.wrong()
	if text == "" && s.power == "" {
		text = "--power says what cuts the board's power"
	}
	profileOf, err := profile.Builtin(*beside)
	if text == "" && err != nil {
		text = "--cluster: " + err.Error()
	}
	if text != "" {
		return e.usage("board powercut: %s", text)
	}
	if !*yes && !e.confirm(fmt.Sprintf("The phone on %s is reset to factory settings, its flash written, and its power cut %d times. Go on (yes|no)? ", s.name, count)) {
		return e.usage("board powercut: nothing was done: it deletes what the phone on the board holds, and writes its flash; --yes says that this is meant")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	p, err := s.plug(ctx)
	if err != nil {
		return e.siteFailed(ctx, "board powercut", err)
	}
	defer p.unplug()
	c, phone, mac, err := p.cluster(ctx, profileOf)
	if err != nil {
		return e.siteFailed(ctx, "board powercut", p.explain(err))
	}
	defer c.Close()
	phone.Follow(serversAt(c, s.advertise))
	run := cutting{&rig.Campaign{Rig: p, Phone: phone, MAC: mac, Cluster: c, Cuts: count, Seed: *seed}, s.name, *asJSON}
	code, err := run.run(ctx, e)
	if err != nil {
		return e.siteFailed(ctx, "board powercut", p.explain(err))
	}
	return code
}

// confirm asks a person; without a terminal nobody says yes.
func (e *env) confirm(question string) bool {
	in, ok := e.stdin.(*os.File)
	if !ok || !isTerminal(in) {
		return false
	}
	fmt.Fprint(e.stderr, question)
	const most = 100
	line, err := bufio.NewReaderSize(in, most).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "yes"
}

// cluster boots the board, and starts a cluster that knows the phone on it.
func (p *plugged) cluster(ctx context.Context, conf profile.Profile) (c *cluster.Cluster, phone *rig.Phone, mac string, err error) {
	phone = rig.NewPhone(p.Relay, nil)
	mac, model, err := phone.Identity(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	conf.Host, conf.Advertise = p.site.listen, p.site.advertise
	conf.Phones = []profile.PhoneSpec{{MAC: mac, Model: model}}
	if c, err = cluster.New(conf, cluster.Options{Tick: true}); err == nil {
		if err = c.Start(); err != nil {
			c.Close()
		}
	}
	return c, phone, mac, err
}
