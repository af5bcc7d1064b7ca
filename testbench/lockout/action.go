package lockout

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/agent/holdings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// Op is what an Action does.
type Op string

// What administrators and whoever stands before a phone can do.
const (
	OpMend        Op = "fix"           // a service of a node: its fault ends, it runs
	OpRestart     Op = "restart"       // a service of a node
	OpRegenerate  Op = "regenerate"    // a certificate of a node
	OpRename      Op = "rename"        // a node: Value is "host NAME" or "domain NAME"
	OpUpgrade     Op = "upgrade"       // to the release Value
	OpFIPS        Op = "fips"          // of a node: Value is "on" or "off"
	OpRollback    Op = "rollback"      // the cluster is prepared for a release before 8.0; Value "off" ends that
	OpResetITL    Op = "reset-itl"     // sign the list with the key of this publisher
	OpRemoteKey   Op = "remote-key"    // sign it with the saved key
	OpResetCTL    Op = "reset-ctl"     // sign the CTL with the key of this publisher
	OpDigest      Op = "digest"        // sign with SHA-1 or SHA-512, and restart TFTP
	OpServeList   Op = "serve-list"    // put the list with the SHA-1 Value back on the servers
	OpRestore     Op = "restore"       // the backup Value
	OpImport      Op = "import"        // the other cluster's certificates, into trust stores
	OpTFTPServers Op = "tftp-servers"  // give phones the servers of a node, or of all nodes of a cluster
	OpDecrypt     Op = "decrypt"       // serve the phone's configuration unencrypted
	OpAlternate   Op = "alternate"     // use the TFTP servers of DHCP, not those set on the phone
	OpErase       Op = "erase"         // delete the phone's lists by hand
	OpFactory     Op = "factory-reset" // delete all that the phone keeps
)

// Action is one thing that is done, to a cluster or to a phone.
type Action struct {
	Op      Op
	Cluster int    // its place in the world
	Node    string // its name; "" for the whole cluster
	Place   int    // its place among the nodes, from 1 on, where it may be renamed before; else 0
	Service profile.Service
	Unit    profile.Unit
	Value   string
	From    int           // OpImport: the cluster whose certificates are imported
	Key     *pki.Identity // OpRemoteKey
}

// touches reports whether somebody must be at the phone.
func (a *Action) affects() bool {
	return a.Op == OpErase || a.Op == OpFactory || a.Op == OpAlternate
}

// node returns the present name of the action's node.
func (a *Action) node(c *cluster.Cluster) string {
	if a.Place > 0 {
		return c.Nodes()[a.Place-1].Name()
	}
	return a.Node
}

// Command is how an action is done: a line to type, and where.
type Command struct {
	Where  string // "admin" with Node, "phone" (the shell on its console), "bench", "dhcp"
	Node   string
	Line   string
	Answer string // to what it asks; "{admin}" is the administrator's password
	About  string // of the answer, where it is long
}

// String writes the command as it looks to whoever types it.
func (c Command) String() string {
	switch c.Where {
	case "admin":
		line := c.Node + " admin:" + c.Line
		if c.About != "" {
			line += " (paste " + c.About + ")"
		}
		return line
	case "phone":
		return "phone $ " + c.Line
	}
	return c.Line
}

// Commands returns how the action is done.
func (a *Action) Commands(w World) []Command {
	var out []Command
	c := w[a.Cluster]
	add := func(node, answer, format string, args ...any) {
		if node == "" {
			node = c.Publisher().Name()
		}
		out = append(out, Command{Where: "admin", Node: node, Line: fmt.Sprintf(format, args...), Answer: answer})
	}
	other := func(where, answer, format string, args ...any) {
		out = append(out, Command{Where: where, Line: fmt.Sprintf(format, args...), Answer: answer})
	}
	switch a.Op {
	case OpMend:
		n, err := c.Node(a.node(c))
		if err != nil {
			break
		}
		if n.State().Fault(a.Service).Kind != "" {
			other("bench", "", "itlbench cluster fault %s %s none", a.node(c), profile.ShortName(a.Service))
		}
		if _, started := n.State().Runs(a.Service); !started {
			add(a.node(c), "", "utils service start %s", a.Service)
		}
	case OpRestart:
		add(a.node(c), "", "utils service restart %s", a.Service)
	case OpRegenerate:
		add(a.node(c), "yes", "set cert regen %s", a.Unit)
	case OpRename:
		what, name, _ := strings.Cut(a.Value, " ")
		add(a.node(c), "y", "utils network %s %s", map[string]string{"host": "hostname", "domain": "domain"}[what], name)
	case OpUpgrade:
		add("", "y", "utils system upgrade initiate %s", a.Value)
	case OpFIPS:
		add(a.node(c), "y", "utils fips %s", map[string]string{"on": "enable", "off": "disable"}[a.Value])
	case OpRollback:
		add("", "", `set enterprise parameter "Prepare Cluster for Rollback to Pre 8.0" %s`, map[bool]string{true: "True", false: "False"}[a.Value != "off"])
	case OpResetITL:
		add("", "{admin}", "utils itl reset localkey")
	case OpRemoteKey:
		add("", "{admin}", "utils itl reset remotekey SFTP-HOST USER PATH/%s", state.P12Name)
	case OpResetCTL:
		add("", "{admin}", "utils ctl reset localkey")
	case OpDigest:
		add("", "", `set enterprise parameter "TFTP File Signature Algorithm" %s`, a.Value)
		for _, name := range c.State().TFTPNodes() {
			add(name, "", "utils service restart %s", profile.TFTPService)
		}
	case OpServeList:
		other("bench", "", "itlbench cluster serve %s", a.Value)
	case OpRestore:
		add("", "y", "utils disaster_recovery restore %s", a.Value)
	case OpImport:
		for _, i := range imports(w[a.From]) {
			add("", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})), "set cert import trust %s", i.store)
			out[len(out)-1].About = i.cert.Subject.CommonName + " of " + w[a.From].State().Profile.Name
		}
		for _, n := range c.Nodes() {
			if active, _ := n.State().Runs(profile.TVSService); active {
				add(n.Name(), "", "utils service restart %s", profile.TVSService)
			}
		}
	case OpTFTPServers:
		other("dhcp", "", "DHCP option 150: %s", strings.Join(a.servers(w), " "))
	case OpDecrypt:
		other("bench", "", "itlbench cluster encrypt %s none", a.Value)
	case OpAlternate:
		other("phone", "", "set alttftp no")
	case OpErase:
		other("phone", "", "erase itl")
		other("phone", "", "erase ctl")
	case OpFactory:
		other("phone", "yes", "factory-reset")
	}
	return out
}

// servers are those of OpTFTPServers.
func (a *Action) servers(w World) []string {
	list := Servers(w[a.Cluster])
	if a.Node == "" {
		return list
	}
	n, err := w[a.Cluster].Node(a.node(w[a.Cluster]))
	if err != nil || !slices.Contains(list, n.State().Advertised("http")) {
		return nil
	}
	return []string{n.State().Advertised("http")}
}

// Servers returns the TFTP servers that the phones of a cluster are given, "host:port":
// the nodes that are to run the service, whether or not it is stopped.
func Servers(c *cluster.Cluster) (list []string) {
	for _, n := range c.Nodes() {
		if active, _ := n.State().Runs(profile.TFTPService); active {
			list = append(list, n.State().Advertised("http"))
		}
	}
	return list
}

type importOf struct {
	store profile.Store
	cert  *x509.Certificate
}

// imports are the certificates of a cluster that another one must know for phones
// to move: of every TFTP node the CallManager certificate, and ITLRecovery.
func imports(c *cluster.Cluster) (all []importOf) {
	callManagers, recovery := c.State().Foreign()
	for _, cert := range callManagers {
		all = append(all, importOf{profile.CallManagerTrust, cert}, importOf{profile.PhoneSASTTrust, cert})
	}
	if recovery != nil {
		all = append(all, importOf{profile.PhoneSASTTrust, recovery})
	}
	return all
}

// ErrImpossible wraps the reason why a change cannot be made.
var ErrImpossible = errors.New("impossible")

// Do does an action to a world and a phone, and returns what becomes of the phone.
// The clusters of the world are changed: it should be a fork.
func (a *Action) Do(w World, p Phone) (Phone, error) {
	c := w[a.Cluster]
	var err error
	switch a.Op {
	case OpMend:
		if err = c.Apply(operation.SetFault(a.node(c), a.Service, profile.NoFault)); err == nil {
			n, _ := c.Node(a.node(c))
			if _, started := n.State().Runs(a.Service); !started {
				err = c.Apply(operation.Service(a.node(c), a.Service, operation.Start))
			}
		}
	case OpRestart:
		err = c.Apply(operation.Service(a.node(c), a.Service, operation.Restart))
	case OpRegenerate:
		err = c.Apply(operation.Regenerate(a.node(c), a.Unit))
	case OpRename:
		switch what, name, _ := strings.Cut(a.Value, " "); what {
		case "host":
			err = c.Apply(operation.Rename(a.node(c), name, ""))
		case "domain":
			err = c.Apply(operation.Rename(a.node(c), "", name))
		default:
			err = fmt.Errorf("rename %q", a.Value)
		}
	case OpUpgrade:
		err = c.Apply(operation.Upgrade(a.Value))
	case OpFIPS:
		err = c.Apply(operation.SetFIPS(a.node(c), a.Value == "on"))
	case OpRollback:
		err = c.Apply(operation.SetRollback(a.Value != "off"))
	case OpResetITL:
		err = c.Apply(operation.ResetITL(nil))
	case OpRemoteKey:
		err = c.Apply(operation.ResetITL(a.Key))
	case OpResetCTL:
		err = c.Apply(operation.ResetCTL())
	case OpDigest:
		digest := trustlist.SHA1
		if a.Value != "SHA-1" {
			digest = trustlist.SHA512
		}
		err = c.Apply(operation.SetDigest(digest))
		for _, name := range c.State().TFTPNodes() {
			err = errors.Join(err, c.Apply(operation.RestartTFTP(name)))
		}
	case OpServeList:
		var list []byte
		if list, err = c.List(a.Value); err == nil {
			err = c.Apply(operation.ServeITL(list))
		}
	case OpRestore:
		err = c.Restore(a.Value)
	case OpImport:
		for _, i := range imports(w[a.From]) {
			err = errors.Join(err, c.Apply(operation.Import(i.store, i.cert)))
		}
		for _, n := range c.Nodes() {
			if active, _ := n.State().Runs(profile.TVSService); active {
				err = errors.Join(err, c.Apply(operation.RestartTVS(n.Name())))
			}
		}
	case OpTFTPServers:
		p.Servers = a.servers(w)
		if len(p.Servers) == 0 {
			err = errors.New("no node runs TFTP")
		}
	case OpDecrypt:
		err = c.Apply(operation.Encrypt(a.Value, nil))
	case OpAlternate:
		p, err = p.changed(func(h *holdings.Holdings) error { return h.SetNetwork(holdings.Network{}) })
	case OpErase:
		p, err = p.changed(func(h *holdings.Holdings) error { return h.Erase(trustlist.ITL, trustlist.CTL) })
	case OpFactory:
		p, err = p.changed((*holdings.Holdings).FactoryReset)
	default:
		err = fmt.Errorf("no action %q", a.Op)
	}
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	return p, nil
}

// waitForHold moves the bench clock of a cluster ahead until a certificate of a node
// may be regenerated.
func waitForHold(c *cluster.Cluster, node string, u profile.Unit) error {
	var hold *operation.HoldError
	if errors.As(operation.Held(c.State(), node, u), &hold) {
		return c.Apply(operation.Advance(operation.HoldTime + time.Minute))
	}
	return nil
}
