package agent

import (
	"context"
	"crypto/sha1"
	"errors"
	"slices"

	"itlagent/agent/alarm"
	"itlagent/agent/sip"
	"itlagent/agent/trustlist"
)

// queueAlarm queues what the phone holds now.
func (a *Agent) queueAlarm() {
	if !a.model.Alarms() || a.conf.Rand == nil {
		return
	}
	held := a.holdings.State()
	info := alarm.Info{Device: a.device, Address: a.conf.Address, Status: statusCode(held.CTL != nil, held.ITL != nil)}
	hash := func(list *trustlist.File) []byte {
		sum := sha1.Sum(list.Bytes())
		return sum[:]
	}
	if held.CTL != nil {
		info.CTL, info.CTLServer = hash(held.CTL), listServer(held.CTL)
	}
	if held.ITL != nil {
		info.ITL, info.ITLServer = hash(held.ITL), listServer(held.ITL)
	}
	if err := a.holdings.Alarms().Add(info); err != nil {
		a.conf.Log.Noticef("keep alarm: %v", err)
	}
}

// DeliverAlarms sends the alarms that wait to the first call manager of the
// configuration that takes them. It does not wait for a cycle to end.
func (a *Agent) DeliverAlarms(ctx context.Context) (sent int, err error) {
	return a.deliverAlarms(ctx, nil)
}

// deliverAlarms sends the alarms that wait, where over is not nil on that connection
// first.
func (a *Agent) deliverAlarms(ctx context.Context, over *sip.Conn) (sent int, err error) {
	if a.conf.Rand == nil {
		return 0, nil
	}
	if waiting, _ := a.holdings.Alarms().Waiting(); len(waiting) == 0 {
		return 0, nil
	}
	if a.last.Load() == nil {
		return 0, errors.New("the phone has not booted yet")
	}
	servers := a.callManagers()
	if over != nil {
		rest := slices.DeleteFunc(servers, func(s sip.Server) bool { return s.Address == over.Server().Address })
		servers = append([]sip.Server{over.Server()}, rest...)
	}
	s := &alarm.Sender{Dial: a.conf.Dial, Rand: a.conf.Rand, Now: a.conf.Now, UserAgent: a.model.UserAgent(), Over: over, Log: a.conf.Log}
	return s.Deliver(ctx, a.holdings.Alarms(), servers)
}
