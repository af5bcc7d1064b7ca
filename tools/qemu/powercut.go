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

// Cuts is the result of a campaign of power cuts.
type Cuts struct {
	Done    int    // power cuts
	Updates uint64 // of the vault, in between
	Lost    []string
}

// PowerCuts cuts the power of a board at random moments, n times, while its lists and
// its configuration are replaced as fast as it can: the cluster serves another list
// and another configuration at every turn. After each cut the flash is read by code
// that shares nothing with the vault, and after each boot the phone must hold the
// list that the flash had, an old one or a new one, and be trusted. say is told of
// each cut.
func PowerCuts(ctx context.Context, b *board.Board, c *cluster.Cluster, o Options, phone scenario.Phone, servers []string, n int, seed uint64, say func(string)) (res Cuts, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	served := make(map[[20]byte]bool)
	turn := 0
	change := func() error {
		turn++
		if err := c.Apply(operation.Advance(time.Second)); err != nil { // a list with another time
			return err
		}
		for _, name := range c.State().TFTPNodes() {
			if err := c.Apply(operation.RestartTFTP(name)); err != nil {
				return err
			}
		}
		for _, node := range c.Nodes() {
			served[sha1.Sum(node.ITL())] = true
		}
		return c.Apply(operation.Set(phone.MAC, "webAccess", fmt.Sprint(turn%2)))
	}
	if err := change(); err != nil {
		return res, err
	}
	p := NewPhone(b, phone.MAC, phone.Model, servers, o)
	defer p.Close()
	sequence := uint64(0)
	for res.Done < n {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		if err := p.boot(ctx); err != nil {
			return res, err
		}
		status, err := p.run(ctx, "show status", nil)
		if err != nil {
			return res, err
		}
		if !regexp.MustCompile(`(?m)^locked: no$`).MatchString(status) {
			res.Lost = append(res.Lost, fmt.Sprintf("cut %d: after it the phone says\n%s", res.Done, status))
		}
		cut := time.After(time.Duration(r.Int64N(int64(600 * time.Millisecond))))
		for busy := true; busy; {
			if err := change(); err != nil {
				return res, err
			}
			if err := p.console.Send("reset"); err != nil {
				return res, err
			}
			select {
			case <-cut:
				busy = false
			case <-time.After(30 * time.Millisecond):
			}
		}
		p.PowerCut()
		res.Done++
		data, err := Vault(b, o.Dir)
		if err != nil {
			return res, err
		}
		lost := func(format string, args ...any) {
			res.Lost = append(res.Lost, fmt.Sprintf("cut %d: ", res.Done)+fmt.Sprintf(format, args...))
		}
		img, err := vaultimage.Read(data, 0)
		if err != nil {
			lost("%v", err)
			continue
		}
		found := false
		for _, k := range img.Keys {
			if k.Degraded() {
				lost("%s is damaged", k.Name)
			}
			if k.Name == "itl" {
				found = true
				if !served[sha1.Sum(k.Value)] {
					lost("a list of %d bytes that was never served", len(k.Value))
				}
			}
		}
		if !found {
			lost("no list")
		}
		if img.Sequence < sequence {
			lost("sequence %d, it was %d", img.Sequence, sequence)
		}
		res.Updates += img.Sequence - min(sequence, img.Sequence)
		sequence = max(sequence, img.Sequence)
		if say != nil {
			say(fmt.Sprintf("cut %d of %d: sequence %d, %d keys, %d lost so far", res.Done, n, img.Sequence, len(img.Keys), len(res.Lost)))
		}
	}
	return res, nil
}
