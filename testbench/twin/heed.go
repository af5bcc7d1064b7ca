package twin

import (
	"context"
	"fmt"

	"itlagent/agent/trust"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence/phonelog"
	"itlagent/testbench/lockout"
)

// answers are what TVS did to a phone that gave a reason, as faults of it.
var answers = map[trust.Reason]string{
	trust.TVSUnreachable: "close", trust.TVSInvalid: "invalid", trust.TVSMismatch: "mismatch", trust.TVSBadAnswer: "garbage", trust.TVSHungUp: "hangup", trust.RoleMissing: "norole",
}

// Heed lets the TVS services of the clusters do what a phone's log says that they did, where the
// phone would fare otherwise in the copies: files do not tell how TVS answers. It returns a note,
// "" where nothing was to be done.
func Heed(ctx context.Context, w lockout.World, p lockout.Phone, log *phonelog.Log) (note string, err error) {
	f := log.Fault()
	if f == nil {
		return "", nil
	}
	same := func(w lockout.World) (bool, error) {
		_, report, err := p.Boot(ctx, w)
		return err == nil && report.Reason() == f.Reason, err
	}
	if ok, err := same(w); ok || err != nil {
		return "", err
	}
	changed := w.Fork(nil)
	if err := answer(changed, f.Reason); err != nil {
		return "", err
	}
	if ok, err := same(changed); !ok || err != nil {
		return fmt.Sprintf("the phone's log says %v, which the evidence does not bear out", f.Reason), err
	}
	return "by the phone's log, TVS is taken to do as it did then: " + f.Reason.Text(), answer(w, f.Reason)
}

// answer makes TVS of all nodes answer so that a phone gives a reason.
func answer(w lockout.World, reason trust.Reason) error {
	kind := answers[reason]
	for _, c := range w {
		for _, n := range c.Nodes() {
			if _, started := n.State().Runs(profile.TVSService); !started || kind == "" {
				continue
			}
			if err := c.Apply(operation.SetFault(n.Name(), profile.TVSService, kind)); err != nil {
				return err
			}
		}
	}
	return nil
}
