package agent

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"errors"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/boot"
	"itlagent/agent/settings"
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
	if a.conf.Rand == nil {
		return 0, nil
	}
	if waiting, _ := a.holdings.Alarms().Waiting(); len(waiting) == 0 {
		return 0, nil
	}
	if a.last.Load() == nil {
		return 0, errors.New("the phone has not booted yet")
	}
	s := &alarm.Sender{Dial: a.conf.Dial, Rand: a.conf.Rand, Now: a.conf.Now, UserAgent: a.model.UserAgent(), Log: a.conf.Log}
	return s.Deliver(ctx, a.holdings.Alarms(), a.callManagers())
}

// callManagers returns where alarms go: by TLS where the phone is secure.
func (a *Agent) callManagers() (servers []alarm.Server) {
	held := a.holdings.State()
	if held.Settings.SecurityMode() != settings.NonSecure {
		conf := boot.TLS(held.Identity(), func(s tls.ConnectionState) error {
			if listsCallManager(s, held.CTL) || listsCallManager(s, held.ITL) {
				return nil
			}
			return boot.ErrUntrustedServer
		})
		for _, address := range held.Settings.SecureManagers {
			servers = append(servers, alarm.Server{Address: address, Transport: alarm.TLS, TLS: conf})
		}
		return servers
	}
	for _, address := range held.Settings.CallManagers {
		servers = append(servers, alarm.Server{Address: address, Transport: alarm.Transport(held.Settings.SIPNetwork())})
	}
	return servers
}

// listsCallManager reports whether a list has the server's certificate as that of a call
// manager.
func listsCallManager(s tls.ConnectionState, list *trustlist.File) bool {
	if list == nil || len(s.PeerCertificates) == 0 {
		return false
	}
	for i := range list.Records {
		r := &list.Records[i]
		if (r.Role() == trustlist.CCM || r.Role() == trustlist.CCMTFTP) && r.MatchesCertificate(s.PeerCertificates[0]) {
			return true
		}
	}
	return false
}

// deliverLoop delivers alarms after each boot cycle, and again after a pause where no
// server took them.
func (a *Agent) deliverLoop(ctx context.Context, cycle <-chan struct{}) {
	var retry <-chan time.Time
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-cycle:
			failed = 0 // the configuration may name other servers now
		case <-retry:
		}
		retry = nil
		if _, err := a.DeliverAlarms(ctx); err != nil {
			failed++
			retry = time.After(alarm.Backoff(failed))
		}
	}
}
