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
	"strings"
	"syscall"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/platform/limits"

	"github.com/spf13/pflag"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
)

// clusterCommands are the subcommands of cluster.
func clusterCommands() []command {
	return []command{
		{"up", "", "run the nodes until Ctrl-C", clusterUp},
		{"down", "", "end the processes that run the nodes", clusterDown},
		{"status", "", "nodes, addresses, services", clusterStatus},
		{"apply", "", "bring addresses, ports, services and phones to what a file says", clusterApply},
		{"phone", "add MAC [MODEL] | remove MAC", "make a phone known, or forget it", clusterPhone},
		{"phones", "", "who is registered, where, and with which ITL", clusterPhones},
		{"clock", "[+DURATION]", "show the bench clock, or move it ahead", clusterClock},
		{"fault", "NODE SERVICE KIND", "make tftp, tvs, sip or tomcat fail; none fixes it", clusterFault},
		{"events", "", "the application log", clusterEvents},
		{"lists", "", "every trust list that the nodes have served", clusterLists},
		{"serve", "SHA1|FILE", "make TFTP serve that ITL, until it starts again", clusterServe},
		{"set", "MAC NAME VALUE", "change a setting of a phone", clusterSet},
		{"encrypt", "MAC PEM|none", "encrypt the configuration of a phone for its certificate", clusterEncrypt},
		{"rebuild", "", "install the publisher again", clusterRebuild},
		{"passwords", "", "those of the administrator and of the cluster", clusterPasswords},
	}
}

func runCluster(e *env, args []string) int { return e.dispatch("cluster", clusterCommands(), args) }

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
	var patience time.Duration
	f.Var(limits.Duration(&patience, 10*time.Millisecond, 24*time.Hour), "wait", "wait until every node is up, for at most this `TIME`")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	if patience > 0 {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := waitUp(ctx, c, patience); err != nil {
			return e.fail(exitNo, "cluster status: %v", err)
		}
	}
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
		if !ok {
			return e.usage("cluster clock: %q is not like +5m or +36h or +2d", f.Arg(0))
		}
		if err != nil {
			return e.usage("cluster clock: %v", err)
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
