package qemu

import (
	"context"
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"

	"itlagent/platform/board"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/scenario"
	"itlagent/testbench/vaultimage"
)

// Campaign cuts the power of a board at random moments while the lists and the
// configuration of its phone are replaced as fast as it can: the cluster serves another
// list and another configuration at every turn. After each cut the flash is read by code
// that shares nothing with the vault, and after each boot the phone must hold the list
// that the flash had, an old one or a new one, and be trusted. A Campaign is not safe for
// concurrent use.
type Campaign struct {
	Board   *board.Board
	Options Options // of the board; Dir has its flash
	Cluster *cluster.Cluster
	Phone   scenario.Phone
	Servers []string     // TFTP, as the board reaches them
	Cuts    int          // how many
	Seed    uint64       // of the moments
	Say     func(string) // is told of each cut; may be nil

	served   map[[20]byte]bool // SHA-1 of every list
	turn     int
	sequence uint64 // of the vault, at the last cut
	result   Cuts
}

// Cuts is the result of a campaign of power cuts.
type Cuts struct {
	Done    int    // power cuts
	Updates uint64 // of the vault, in between
	Lost    []string
}

// longestWork is the longest that the phone works before its power is cut.
const longestWork = 600 * time.Millisecond

// Run cuts the power until it was done as often as wanted, or the context ends. The
// result counts also where it errs.
func (c *Campaign) Run(ctx context.Context) (Cuts, error) {
	r := rand.New(rand.NewPCG(c.Seed, 0))
	c.served = make(map[[20]byte]bool)
	if err := c.change(); err != nil {
		return c.result, err
	}
	p := NewPhone(c.Board, c.Phone.MAC, c.Phone.Model, c.Servers, c.Options)
	defer p.Close()
	for c.result.Done < c.Cuts {
		err := ctx.Err()
		if err == nil {
			err = c.boot(ctx, p)
		}
		if err == nil {
			err = c.work(p, time.Duration(r.Int64N(int64(longestWork))))
		}
		if err == nil {
			p.PowerCut()
			c.result.Done++
			err = c.look()
		}
		if err != nil {
			return c.result, err
		}
	}
	return c.result, nil
}

// lost notes what a cut has cost.
func (c *Campaign) lost(format string, args ...any) {
	c.result.Lost = append(c.result.Lost, fmt.Sprintf("cut %d: ", c.result.Done)+fmt.Sprintf(format, args...))
}

// change has the cluster serve another list and another configuration.
func (c *Campaign) change() error {
	c.turn++
	if err := c.Cluster.Apply(operation.Advance(time.Second)); err != nil { // a list with another time
		return err
	}
	for _, name := range c.Cluster.State().TFTPNodes() {
		if err := c.Cluster.Apply(operation.RestartTFTP(name)); err != nil {
			return err
		}
	}
	for _, node := range c.Cluster.Nodes() {
		c.served[sha1.Sum(node.ITL())] = true
	}
	return c.Cluster.Apply(operation.Set(c.Phone.MAC, "webAccess", fmt.Sprint(c.turn%2)))
}

var notLocked = regexp.MustCompile(`(?m)^locked: no$`)

// boot turns the power on and asks the phone how it stands.
func (c *Campaign) boot(ctx context.Context, p *Phone) error {
	if err := p.boot(ctx); err != nil {
		return err
	}
	status, err := p.run(ctx, "show status", nil)
	if err == nil && !notLocked.MatchString(status) {
		c.lost("after it the phone says\n%s", status)
	}
	return err
}

// work has the phone replace what it holds for a time.
func (c *Campaign) work(p *Phone, span time.Duration) error {
	for cut := time.After(span); ; {
		if err := c.change(); err != nil {
			return err
		}
		if err := p.console.Send("reset"); err != nil {
			return err
		}
		select {
		case <-cut:
			return nil
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// look reads the flash of a board whose power is off.
func (c *Campaign) look() error {
	data, err := Vault(c.Board, c.Options.Dir)
	if err != nil {
		return err
	}
	img, err := vaultimage.Read(data, 0)
	if err != nil {
		c.lost("%v", err)
		return nil
	}
	found := false
	for _, k := range img.Keys {
		if k.Degraded() {
			c.lost("%s is damaged", k.Name)
		}
		if k.Name == "itl" {
			found = true
			if !c.served[sha1.Sum(k.Value)] {
				c.lost("a list of %d bytes that was never served", len(k.Value))
			}
		}
	}
	if !found {
		c.lost("no list")
	}
	if img.Sequence < c.sequence {
		c.lost("sequence %d, it was %d", img.Sequence, c.sequence)
	}
	c.result.Updates += img.Sequence - min(c.sequence, img.Sequence)
	c.sequence = max(c.sequence, img.Sequence)
	if c.Say != nil {
		c.Say(fmt.Sprintf("cut %d of %d: sequence %d, %d keys, %d lost so far", c.result.Done, c.Cuts, img.Sequence, len(img.Keys), len(c.result.Lost)))
	}
	return nil
}
