// Package alert tells somebody of a cluster's alerts: it runs a command, or sends a mail,
// for each event that counts as one, such as the daily word about ITLRecovery.
//
//	h := alert.Hook{Command: "logger -t cluster", To: []string{"ops@example.lab"}, Server: "127.0.0.1:25"}
//	err := h.Follow(ctx, c.Events())
//
// A command is run by sh with the event's line on standard input and its parts in the
// environment (ALERT_NAME, ALERT_NODE, ALERT_SEVERITY, ALERT_TIME, ALERT_TEXT): nothing of
// an event becomes part of the command. Mail goes by SMTP (RFC 5321) to the server that is
// given, encrypted where that offers it. Alerts are told one after the other; more than
// maxBehind that wait are passed over, which is said. Each takes at most maxTime. Times
// are of the bench clock. A Hook must not be changed while it is used. Source: the CUCM 10.0
// note, whose administrators get an e-mail a day until the recovery key is saved.
package alert

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/smtp"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/platform/shellcmd"
	"itlagent/testbench/events"
)

// Severity is the highest number of an event that counts as an alert.
const Severity = 4

const (
	maxBehind = 100
	maxTime   = 30 * time.Second
	every     = time.Second // looks at the log
)

// Hook is who is told.
type Hook struct {
	Command  string   // of sh; "" runs none
	Server   string   // of SMTP, "host:port"; "" sends no mail
	From     string   // address; "itlbench@localhost" where ""
	To       []string // addresses
	Logf     func(format string, args ...any)
	interval time.Duration
}

// Check reports what cannot be used.
func (h *Hook) Check() error {
	for _, a := range append(slices.Clone(h.To), h.From) {
		if strings.ContainsAny(a, "\r\n<>") || len(a) > 254 { // RFC 5321, section 4.5.3.1
			return fmt.Errorf("invalid mail address %.60q", a)
		}
	}
	switch {
	case h.Server == "" && len(h.To) > 0, h.Server != "" && len(h.To) == 0:
		return errors.New("mail needs both a server and an address")
	case h.Server != "":
		if _, _, err := net.SplitHostPort(h.Server); err != nil {
			return fmt.Errorf("the mail server: %w", err)
		}
	}
	return nil
}

// Follow tells of every alert that is new in a log, until the context ends.
func (h *Hook) Follow(ctx context.Context, log *events.Log) error {
	_, next, err := log.Since(1 << 62)
	if err != nil {
		return err
	}
	interval := every
	if h.interval > 0 {
		interval = h.interval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		all, now, err := log.Since(next)
		if err != nil {
			return err
		}
		next = now
		all = slices.DeleteFunc(all, func(e events.Event) bool { return e.Severity > Severity })
		if n := len(all) - maxBehind; n > 0 {
			h.logf("alert: %d alerts are passed over: more than %d came at once", n, maxBehind)
			all = all[n:]
		}
		for i := range all {
			if err := h.Tell(ctx, &all[i]); err != nil {
				h.logf("alert: %v: %v", all[i].Name, printable.Error(err))
			}
		}
	}
}

func (h *Hook) logf(format string, args ...any) {
	if h.Logf != nil {
		h.Logf(format, args...)
	}
}

// Tell tells of one event.
func (h *Hook) Tell(ctx context.Context, e *events.Event) error {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	var failed error
	if h.Command != "" {
		failed = h.run(ctx, e)
	}
	if h.Server != "" {
		failed = errors.Join(failed, h.mail(ctx, e))
	}
	return failed
}

func (h *Hook) run(ctx context.Context, e *events.Event) error {
	cmd := shellcmd.New(ctx, h.Command)
	cmd.Stdin = strings.NewReader(e.String() + "\n")
	cmd.Env = append(os.Environ(), "ALERT_NAME="+printable.Text(e.Name), "ALERT_NODE="+printable.Text(e.Node), "ALERT_SEVERITY="+strconv.Itoa(e.Severity),
		"ALERT_TIME="+e.Time.UTC().Format(time.RFC3339), "ALERT_TEXT="+printable.Text(e.Text))
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the command: %w", err)
	}
	return nil
}

// Message returns the mail about an event.
func (h *Hook) Message(e *events.Event) []byte {
	line := func(s string) string { return printable.Text(s) } // no line ends in it
	subject := mime.QEncoding.Encode("utf-8", line(fmt.Sprintf("[%s] %s", e.Node, e.Name)))
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\n", h.from(), strings.Join(h.To, ">, <"), subject, e.Time.UTC().Format(time.RFC1123Z))
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	fmt.Fprintf(&b, "%s\r\n\r\nAt %s on %s, severity %d.\r\n\r\n%s\r\n", line(e.Text), e.Time.UTC().Format(time.RFC3339), line(e.Node), e.Severity, line(e.String()))
	return []byte(b.String())
}

func (h *Hook) from() string {
	if h.From == "" {
		return "itlbench@localhost"
	}
	return h.From
}

func (h *Hook) mail(ctx context.Context, e *events.Event) error {
	fail := func(err error) error { return fmt.Errorf("mail by %s: %w", h.Server, err) }
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", h.Server)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		conn.SetDeadline(end)
	}
	host, _, _ := net.SplitHostPort(h.Server)
	c, err := smtp.NewClient(conn, host)
	if err == nil {
		err = h.send(c, host, e)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
