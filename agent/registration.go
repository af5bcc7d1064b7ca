package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/printable"
	"itlagent/agent/register"
	"itlagent/agent/settings"
	"itlagent/agent/sip"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// newClient returns what registers the phone, nil for one without random numbers.
func (a *Agent) newClient() *register.Client {
	if a.conf.Rand == nil {
		return nil
	}
	return register.New(register.Config{
		Device: a.device, Model: a.model, Dial: a.conf.Dial, Rand: a.conf.Rand, Now: a.conf.Now, Log: a.conf.Log,
		First: func(ctx context.Context, conn *sip.Conn) {
			if _, err := a.deliverAlarms(ctx, conn); err != nil {
				a.conf.Log.Debugf("alarms: %v", err)
			}
		},
		Alarms: func(local net.Addr, send func([]byte) error) {
			if err := a.holdings.Alarms().SendOneWay(local, send); err != nil {
				a.conf.Log.Debugf("alarms: %v", err)
			}
		},
		Dated: a.dated,
	})
}

// register registers the phone with the call managers of the configuration in force, which
// in a locked phone is the old one. Where they are those of before it stays registered.
func (a *Agent) register(cause register.Cause) {
	if a.client != nil {
		a.client.Register(a.registrars(), a.holdings.State().Settings.LoadFor(a.model.Name), cause)
	}
}

// leave unregisters the phone.
func (a *Agent) leave() {
	if a.client != nil {
		a.client.Leave()
	}
}

// orders returns what call managers tell the phone.
func (a *Agent) orders() <-chan register.Order {
	if a.client == nil {
		return nil
	}
	return a.client.Orders()
}

// obey does what an order says before the next boot cycle, and returns why the phone will
// register. again is false where there is nothing to fetch.
func (a *Agent) obey(o register.Order) (cause register.Cause, again bool) {
	switch o.Action {
	case register.Reset:
		cause = register.ResetReset
	case register.Restart:
		cause = register.ResetRestart
	case register.CheckVersion:
		return register.ResetRestart, o.Stale(a.holdings.State().Settings.Stamp)
	default:
		return register.ResetRestart, true
	}
	a.show(status.Restarting.Text(a.model.Family))
	a.leave()
	if o.Action == register.Reset {
		a.cycle.Lock()
		a.boot.Forget() // as from power-on
		a.cycle.Unlock()
	}
	return cause, true
}

// Registration returns how the phone stands with its call managers; the zero value for one
// that does not register.
func (a *Agent) Registration() register.State {
	if a.client == nil {
		return register.State{}
	}
	return a.client.State()
}

// CannotRegister reports whether the phone trusts its cluster, and reached no call manager
// but those whose certificate is not in its lists: its CTL is from before their
// certificates.
func (s Snapshot) CannotRegister() bool {
	return s.Last != nil && s.Last.Reason() == trust.Accepted && s.Registration.Server == "" && errors.Is(s.Registration.Failure, boot.ErrUntrustedServer)
}

// Registered says in one line how the phone stands with its call managers.
func (s Snapshot) Registered() string {
	switch r := s.Registration; {
	case r.Server != "":
		return fmt.Sprintf("registered with %s by %s, Last=%v", printable.Text(r.Server), r.Transport, r.Cause)
	case s.CannotRegister():
		return "trusted, but cannot register: " + failure(r.Failure)
	case r.Failure != nil:
		return "not registered: " + failure(r.Failure)
	}
	return "not registered"
}

func failure(err error) string {
	return printable.Clip(strings.ReplaceAll(err.Error(), "\n", "; "), 300)
}

// dated sets the clock by the Date of a call manager that accepted the phone, where there
// is a clock to set. It never sets a time before the newest list that was in force.
func (a *Agent) dated(at time.Time) {
	if a.conf.SetClock == nil {
		return
	}
	held := a.holdings.State()
	least := held.Newest.ITL
	for _, t := range []time.Time{held.Newest.CTL, listTime(held.CTL), listTime(held.ITL)} {
		if t.After(least) {
			least = t
		}
	}
	if at.Before(least) {
		a.conf.Log.Debugf("clock: not set to %s, which is before the newest list", at.UTC().Format(time.RFC3339))
		return
	}
	a.conf.SetClock(at)
}

func listTime(f *trustlist.File) time.Time {
	if f == nil {
		return time.Time{}
	}
	return f.Time()
}

// callManagers returns whom the phone registers with, and sends alarms to, in the order of
// the configuration in force: by TLS alone where that says that the phone is secure. The
// lists of the moment of a handshake decide about the server.
func (a *Agent) callManagers() (servers []sip.Server) {
	held := a.holdings.State()
	if held.Settings.SecurityMode() != settings.NonSecure {
		conf := a.secured()
		for _, address := range held.Settings.SecureManagers {
			servers = append(servers, sip.Server{Address: address, Transport: sip.TLS, TLS: conf})
		}
		return servers
	}
	for _, address := range held.Settings.CallManagers {
		servers = append(servers, sip.Server{Address: address, Transport: sip.Transport(held.Settings.SIPNetwork())})
	}
	return servers
}

// secured is TLS with a call manager that a list names.
func (a *Agent) secured() *tls.Config {
	return boot.TLS(a.holdings.State().Identity(), func(s tls.ConnectionState) error {
		held := a.holdings.State()
		if listsCallManager(s, held.CTL) || listsCallManager(s, held.ITL) {
			return nil
		}
		return boot.ErrUntrustedServer
	})
}

// registrars returns whom the phone registers with: those that it sends alarms to, or by
// SCCP where its firmware speaks that.
func (a *Agent) registrars() (servers []sip.Server) {
	s := a.holdings.State().Settings
	if !s.SCCP(a.model.Name) {
		return a.callManagers()
	}
	if s.SecurityMode() == settings.NonSecure {
		for _, address := range s.SkinnyManagers {
			servers = append(servers, sip.Server{Address: address, Transport: register.SCCP})
		}
		return servers
	}
	conf := a.secured()
	for _, address := range s.SkinnyManagers {
		host, text, _ := net.SplitHostPort(address)
		if port, err := strconv.Atoi(text); err == nil {
			servers = append(servers, sip.Server{Address: net.JoinHostPort(host, strconv.Itoa(port+settings.SecureSkinny)), Transport: register.SCCP, TLS: conf})
		}
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
