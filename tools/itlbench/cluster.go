package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"itlagent/agent/trustlist"

	"github.com/spf13/pflag"

	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
)

// defaultDir keeps the cluster where no --dir is given.
const defaultDir = "itlbench-cluster"

func dirFlag(f *pflag.FlagSet) *string {
	return f.String("dir", defaultDir, "`DIR` that keeps the cluster")
}

// clusterCommands are the subcommands of cluster.
func clusterCommands() map[string]func(*env, []string) int {
	return map[string]func(*env, []string) int{
		"up": clusterUp, "down": clusterDown, "status": clusterStatus, "clock": clusterClock, "fault": clusterFault,
		"events": clusterEvents, "set": clusterSet, "rebuild": clusterRebuild, "passwords": clusterPasswords,
		"lists": clusterLists, "phones": clusterPhones, "serve": clusterServe, "encrypt": clusterEncrypt, "apply": clusterApply, "phone": clusterPhone,
	}
}

func runCluster(e *env, args []string) int {
	if len(args) > 0 {
		if run, ok := clusterCommands()[args[0]]; ok {
			return run(e, args[1:])
		}
		if args[0] != "--help" && args[0] != "-h" {
			return e.usage("cluster: no %q; there are: up, down, status, apply, phone, phones, clock, fault, events, lists, serve, set, encrypt, rebuild, passwords", args[0])
		}
	}
	fmt.Fprint(e.stdout, `usage: itlbench cluster COMMAND [--dir DIR]
  up [--profile NAME | --config FILE] [--port N] [--node NAME]  run the nodes until Ctrl-C
  down                          end the processes that run the nodes
  status [--json]               nodes, addresses, services
  apply --config FILE           bring addresses, ports, services and phones to what a file says
  phone add MAC [MODEL]         make a phone known; phone remove MAC
  phones [--json] [--wait N]    who is registered, where, and with which ITL
  clock [+DURATION]             show the bench clock, or move it ahead
  fault NODE SERVICE KIND       make tftp, tvs, sip or tomcat fail; none fixes it
  events [--follow] [--json]    the application log
  lists [--json]                every trust list that the nodes have served
  serve SHA1|FILE               make TFTP serve that ITL, until it starts again
  set MAC NAME VALUE            change a setting of a phone
  encrypt MAC PEM|none          encrypt the configuration of a phone for its certificate
  rebuild --security-password-file FILE  install the publisher again
  passwords                     those of the administrator and of the cluster
`)
	if len(args) > 0 {
		return exitOK
	}
	return exitUsage
}

func clusterUp(e *env, args []string) int {
	f := e.flags("cluster up")
	builtin := f.String("profile", "note", "`NAME` of a built-in profile: "+strings.Join(profile.ProfileNames(), ", "))
	config := f.String("config", "", "`FILE` with a profile in YAML")
	dir := dirFlag(f)
	port := f.Int("port", 0, "first `PORT` of the first node, the next has its ports 10 behind; free ones where 0")
	only := f.StringArray("node", nil, "run the node of this `NAME` alone")
	still := f.Bool("still", false, "a new cluster's bench clock moves by cluster clock alone")
	verbose := f.BoolP("verbose", "v", false, "log what the services refuse")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	if f.Changed("profile") && *config != "" {
		return e.usage("cluster up: --profile and --config are two ways to say the same")
	}
	if *port < 0 || *port > 65000 {
		return e.usage("cluster up: port %d", *port)
	}
	p, err := profile.Builtin(*builtin)
	if err != nil {
		return e.usage("cluster up: %v", err)
	}
	if *config != "" {
		if p, err = readProfile(*config); err != nil {
			return e.usage("%v", err)
		}
	}
	if *port != 0 {
		p.FromPort(*port)
	}
	opts := cluster.Options{Dir: *dir, Tick: !*still, Only: *only, SSH: admin.ServeSSH}
	if *verbose {
		opts.Logf = func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := cluster.New(p, opts)
	if err != nil {
		return e.clusterFailed(*config, err)
	}
	defer c.Close()
	if !e.differs(c, f, *dir, &p) {
		return e.usage("cluster up: give another --dir, or leave the flags out; cluster apply brings ports and phones to a file")
	}
	if err := c.Host(); err != nil {
		return e.clusterFailed(*config, err)
	}
	removeAddresses(*dir, c, *only) // whoever sees them finds the services up
	if err := c.Start(); err != nil {
		return e.clusterFailed(*config, err)
	}
	for _, st := range c.Status() {
		if len(*only) > 0 && !slices.Contains(*only, st.Name) {
			continue
		}
		fmt.Fprintln(e.stdout, addressLine(st))
	}
	e.checkDescriptors(c, *only)
	if err := writeAddresses(*dir, c, *only); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	written := addressFiles(c, *only)
	renamed := time.NewTicker(followEvery)
	defer renamed.Stop()
	for tick := time.NewTicker(time.Minute); ; {
		select {
		case <-ctx.Done():
			return exitOK
		case <-c.Down():
			return exitOK
		case <-renamed.C:
			if now := addressFiles(c, *only); !slices.Equal(now, written) {
				for _, file := range written {
					os.Remove(filepath.Join(*dir, file[0]))
				}
				if err := writeAddresses(*dir, c, *only); err != nil {
					fmt.Fprintf(e.stderr, "itlbench: %v\n", err)
				}
				written = now
			}
		case <-tick.C:
			if err := c.Remind(); err != nil {
				fmt.Fprintf(e.stderr, "itlbench: %v\n", err)
			}
		}
	}
}

// checkDescriptors says where this process may not have the file descriptors that its
// phones need: a connection each.
func (e *env) checkDescriptors(c *cluster.Cluster, only []string) {
	nodes := len(only)
	if nodes == 0 {
		nodes = len(c.Nodes())
	}
	limit, most := serve.Descriptors(nodes)
	if known := len(c.State().Phones); most < known {
		fmt.Fprintf(e.stderr, "itlbench: %d file descriptors: of %d phones %d can be registered with a node by TCP; ulimit -n allows more\n", limit, known, most)
	}
}

// clusterFailed tells what a user did wrong from what the machine did.
func (e *env) clusterFailed(config string, err error) int {
	var port *serve.PortError
	code := exitInfra
	if errors.As(err, &port) {
		code = exitUsage
		if config != "" {
			return e.fail(code, "%s: %v", config, err)
		}
	}
	if errors.Is(err, operation.ErrNoNode) {
		code = exitUsage
	}
	return e.fail(code, "cluster: %v", plainPath(err))
}

// portOrder is the order of a node's ports in lines for people.
var portOrder = []string{"tftp", "tvs", "https", "sip", "tomcat", "ssh", "sips"}

func addressLine(st cluster.NodeStatus) string {
	line := st.Name + " " + st.Role
	for _, name := range portOrder {
		if at := st.Addresses[name]; at != "" {
			line += " " + name + " " + at
		}
	}
	return line
}

// writeAddresses leaves the addresses for scripts; the file of the publisher's
// TFTP service comes last, so that whoever sees it finds the others too.
func writeAddresses(dir string, c *cluster.Cluster, only []string) error {
	for _, file := range addressFiles(c, only) {
		if err := writeFile(filepath.Join(dir, file[0]), []byte(file[1]+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func removeAddresses(dir string, c *cluster.Cluster, only []string) {
	for _, file := range addressFiles(c, only) {
		os.Remove(filepath.Join(dir, file[0]))
	}
}

// addressFiles returns names and contents of the files with addresses.
func addressFiles(c *cluster.Cluster, only []string) (files [][2]string) {
	nodes := c.Status()
	slices.Reverse(nodes)
	slices.SortStableFunc(nodes, func(a, b cluster.NodeStatus) int { return strings.Compare(b.Role, a.Role) })
	for _, st := range nodes {
		if len(only) > 0 && !slices.Contains(only, st.Name) {
			continue
		}
		for i := len(portOrder) - 1; i >= 0; i-- {
			if at := st.Addresses[portOrder[i]]; at != "" {
				files = append(files, [2]string{st.Name + "." + portOrder[i], at})
			}
		}
	}
	return files
}

// openCluster opens the cluster of a directory, for a command.
func (e *env) openCluster(dir string) (*cluster.Cluster, int) {
	c, err := cluster.Open(cluster.Options{Dir: dir})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, e.fail(exitInfra, "no cluster in %s; itlbench cluster up makes one", dir)
	}
	if err != nil {
		return nil, e.clusterFailed("", err)
	}
	return c, exitOK
}

// clusterCommand parses a subcommand's flags and opens the cluster.
func (e *env) clusterCommand(f *pflag.FlagSet, args []string, want int) (*cluster.Cluster, int) {
	dir := dirFlag(f)
	if code, ok := e.parse(f, args, want); !ok {
		return nil, code
	}
	return e.openCluster(*dir)
}

func clusterDown(e *env, args []string) int {
	c, code := e.clusterCommand(e.flags("cluster down"), args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	names, err := c.TakeDown()
	if err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	if len(names) == 0 {
		return e.fail(exitNo, "no node was up")
	}
	fmt.Fprintln(e.stdout, "down: "+strings.Join(names, " "))
	return exitOK
}

func clusterStatus(e *env, args []string) int {
	f := e.flags("cluster status")
	asJSON := f.Bool("json", false, "print one JSON object a node")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	up := 0
	for _, st := range c.Status() {
		if st.Up {
			up++
		}
		if *asJSON {
			printJSON(e.stdout, st)
			continue
		}
		state := "down"
		if st.Up {
			state = fmt.Sprintf("up, process %d", st.PID)
		}
		fmt.Fprintf(e.stdout, "%s\n  %s\n  ITL signed by %s\n", addressLine(st), state, trustlist.Printable([]byte(st.ITLSigner)))
		for _, name := range []string{"tftp", "tvs", "sip", "tomcat"} {
			fault := ""
			if kind := st.Faults[name]; kind != "" {
				fault = ", fault: " + kind
			}
			fmt.Fprintf(e.stdout, "  %s %s%s\n", name, st.Services[name], fault)
		}
	}
	if up == 0 {
		return exitNo
	}
	return exitOK
}

func clusterClock(e *env, args []string) int {
	f := e.flags("cluster clock")
	c, code := e.clusterCommand(f, args, -1)
	if c == nil {
		return code
	}
	defer c.Close()
	if f.NArg() == 1 {
		text, ok := strings.CutPrefix(f.Arg(0), "+")
		d, err := operation.ParseDuration(text)
		if err != nil || !ok {
			return e.usage("cluster clock: %q is not like +5m or +36h or +2d", f.Arg(0))
		}
		if err := c.Apply(operation.Advance(d)); err != nil {
			return e.operationFailed("cluster clock", err)
		}
	}
	fmt.Fprintln(e.stdout, c.Now().UTC().Format(time.RFC3339))
	return exitOK
}

func clusterFault(e *env, args []string) int {
	f := e.flags("cluster fault")
	c, code := e.clusterCommand(f, args, 3)
	if c == nil {
		return code
	}
	defer c.Close()
	service, err := profile.FindService(f.Arg(1))
	if err == nil {
		_, err = c.Node(f.Arg(0))
	}
	if err == nil {
		err = c.Apply(operation.SetFault(f.Arg(0), service, f.Arg(2)))
	}
	if err != nil {
		return e.operationFailed("cluster fault", err)
	}
	return exitOK
}

// followEvery is how often new events are looked for.
const followEvery = 100 * time.Millisecond

func clusterEvents(e *env, args []string) int {
	f := e.flags("cluster events")
	follow := f.Bool("follow", false, "go on until Ctrl-C")
	asJSON := f.Bool("json", false, "print one JSON object an event")
	since := f.Uint64("since", 0, "first `NUMBER`")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for next, last := *since, !*follow; ; {
		var list []events.Event
		var err error
		if list, next, err = c.Events().Since(next); err != nil {
			return e.fail(exitInfra, "%v", err)
		}
		for _, event := range list {
			if *asJSON {
				printJSON(e.stdout, event)
			} else {
				fmt.Fprintln(e.stdout, event)
			}
		}
		if last {
			return exitOK
		}
		select {
		case <-ctx.Done():
			last = true
		case <-time.After(followEvery):
		}
	}
}

func clusterSet(e *env, args []string) int {
	f := e.flags("cluster set")
	c, code := e.clusterCommand(f, args, 3)
	if c == nil {
		return code
	}
	defer c.Close()
	if err := c.Apply(operation.Set(strings.TrimPrefix(f.Arg(0), "SEP"), f.Arg(1), f.Arg(2))); err != nil {
		return e.operationFailed("cluster set", err)
	}
	return exitOK
}

// listJSON is the object that `cluster lists --json` prints.
type listJSON struct {
	Kind   string `json:"kind"`
	Node   string `json:"node"`
	SHA1   string `json:"sha1"`
	Since  int64  `json:"since"`
	Until  int64  `json:"until"` // 0 where it is served now
	Reason string `json:"reason"`
}

func clusterLists(e *env, args []string) int {
	f := e.flags("cluster lists")
	asJSON := f.Bool("json", false, "print one JSON object a list")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	for _, s := range c.State().Lists() {
		out := listJSON{Kind: s.Kind.String(), Node: c.Nodes()[s.Node].Name(), SHA1: s.SHA1, Since: s.Since.Unix(), Reason: s.Reason}
		until := "now"
		if !s.Until.IsZero() {
			out.Until, until = s.Until.Unix(), s.Until.UTC().Format(time.DateTime)
		}
		if *asJSON {
			printJSON(e.stdout, out)
			continue
		}
		fmt.Fprintf(e.stdout, "%s %s %s from %s to %s: %s\n", out.Kind, out.Node, out.SHA1, s.Since.UTC().Format(time.DateTime), until, trustlist.Printable([]byte(s.Reason)))
	}
	return exitOK
}

func clusterServe(e *env, args []string) int {
	f := e.flags("cluster serve")
	c, code := e.clusterCommand(f, args, 1)
	if c == nil {
		return code
	}
	defer c.Close()
	list, err := c.List(strings.ToLower(f.Arg(0)))
	if errors.Is(err, store.ErrNoList) {
		var file *trustlist.File
		if file, err = evidence.OpenFile(f.Arg(0)); err != nil {
			return e.fail(exitNo, "neither a list that the cluster has served nor a file: %v", err)
		}
		if file.Kind != trustlist.ITL {
			return e.fail(exitNo, "%s: it is a %v, not an ITL", f.Arg(0), file.Kind)
		}
		list = file.Bytes()
	}
	if err == nil {
		err = c.Apply(operation.ServeITL(list))
	}
	if err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	return exitOK
}

func clusterEncrypt(e *env, args []string) int {
	f := e.flags("cluster encrypt")
	c, code := e.clusterCommand(f, args, 2)
	if c == nil {
		return code
	}
	defer c.Close()
	var cert *x509.Certificate
	if f.Arg(1) != "none" {
		id, err := readIdentity(f.Arg(1), false)
		if err != nil {
			return e.fail(exitNo, "%v", err)
		}
		cert = id.Certificate
	}
	if err := c.Apply(operation.Encrypt(strings.TrimPrefix(f.Arg(0), "SEP"), cert)); err != nil {
		return e.operationFailed("cluster encrypt", err)
	}
	return exitOK
}

func clusterRebuild(e *env, args []string) int {
	f := e.flags("cluster rebuild")
	password := f.String("security-password-file", "", "`FILE` with the security password of the new installation")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	security, err := readPassword(*password)
	if err != nil {
		return e.usage("cluster rebuild: --security-password-file: %v", plainPath(err))
	}
	if err := c.Apply(operation.Rebuild(security)); err != nil {
		return e.fail(exitNo, "%v", err)
	}
	return exitOK
}

func clusterPasswords(e *env, args []string) int {
	f := e.flags("cluster passwords")
	asJSON := f.Bool("json", false, "print one JSON object")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	now := c.State()
	administrator, security := now.AdminPassword, now.SecurityPassword
	if *asJSON {
		json.NewEncoder(e.stdout).Encode(map[string]string{"administrator": administrator, "security": security})
		return exitOK
	}
	fmt.Fprintf(e.stdout, "administrator %s\nsecurity %s\n", administrator, security)
	return exitOK
}
