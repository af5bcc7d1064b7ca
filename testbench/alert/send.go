package alert

import (
	"crypto/tls"
	"errors"
	"net/smtp"

	"itlagent/testbench/events"
)

// send sends the mail over a connection.
func (h *Hook) send(c *smtp.Client, host string, e *events.Event) error {
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(&tls.Config{ServerName: host}); err != nil {
			return err
		}
	}
	if err := c.Mail(h.from()); err != nil {
		return err
	}
	for _, to := range h.To {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err = w.Write(h.Message(e)); err != nil {
		return err
	}
	return errors.Join(w.Close(), c.Quit())
}
