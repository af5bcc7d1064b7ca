package register

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// refusal is an answer that does not accept a REGISTER.
type refusal struct {
	code   int
	phrase string
	later  time.Duration // Retry-After, 0 without
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("refused: %d %s", r.code, printable.Clip(r.phrase, 60))
	if r.code == 401 || r.code == 407 {
		text += " (the line has a password, which this phone does not send)"
	}
	return text
}

// granted returns for how long an answer registers the phone: what it says, at most what
// was asked for. One for no time at all is a refusal.
func granted(m *sip.Message) (time.Duration, error) {
	if m.Code/100 != 2 {
		return 0, &refusal{m.Code, m.Phrase, retryAfter(m)}
	}
	text, said := m.Get("expires"), "Expires"
	if text == "" {
		_, text, _ = strings.Cut(strings.ToLower(m.Get("contact")), ";expires=")
		text, _, _ = strings.Cut(text, ";")
		text, said = strings.TrimSpace(text), "the Contact's expires"
	}
	if text == "" {
		return askedExpires * time.Second, nil
	}
	if strings.Trim(text, "0123456789") != "" {
		return 0, fmt.Errorf("answer with %s %.20q", said, text)
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > askedExpires {
		n = askedExpires
	}
	if n == 0 {
		return 0, fmt.Errorf("accepted for 0 seconds")
	}
	return time.Duration(n) * time.Second, nil
}

// retryAfter reads Retry-After, at most maxRetryAfter; 0 without one.
func retryAfter(m *sip.Message) time.Duration {
	digits, _, _ := strings.Cut(strings.TrimSpace(m.Get("retry-after")), " ")
	digits, _, _ = strings.Cut(digits, ";")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}

// date reads the Date of an answer.
func date(m *sip.Message) (time.Time, bool) {
	t, err := time.Parse(dateForm, m.Get("date"))
	return t, err == nil
}
