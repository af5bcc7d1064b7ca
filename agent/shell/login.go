package shell

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/platform/console"
)

// maxTries is how often a login may fail before the shell ends.
const maxTries = 3

// access is who may use the shell, by what the phone holds at one moment.
type access struct {
	want    [sha256.Size]byte // of the user and the password
	ask     bool              // the configuration sets a login
	damaged error             // what a configuration sets is not known
}

func credentials(user, password string) [sha256.Size]byte {
	return sha256.Sum256([]byte(user + "\x00" + password))
}

func accessOf(phone *agent.Agent) access {
	now := phone.State()
	if err := now.Damage(holdings.Config); err != nil {
		return access{damaged: err}
	}
	if now.Settings.ShellUser == "" {
		return access{}
	}
	return access{want: credentials(now.Settings.ShellUser, now.Settings.ShellPassword), ask: true}
}

// same reports whether a session that one was given is still one of the other.
func (a access) same(b access) bool {
	return a.want == b.want && a.ask == b.ask && (a.damaged == nil) == (b.damaged == nil)
}

// ErrLogin says that a shell ended because nobody logged in.
var ErrLogin = errors.New("nobody has logged in")

// errChanged ends a session.
var errChanged = errors.New("the login of this phone has changed; the session ends")

// check ends a session whose login is no longer that of the phone. It is asked before
// each command, and behind each answer.
func (s *Shell) check() error {
	if s.session != nil && !s.session.same(accessOf(s.phone)) {
		return errChanged
	}
	return nil
}

// login asks for the user and password of the configuration, if it sets one at that
// moment, and begins a session. Each wrong one makes the next wait longer, and what was
// typed ahead is forgotten: nobody can leave guesses behind that the owner has to wait
// for.
func (s *Shell) login(ctx context.Context) bool {
	for range maxTries {
		if now := accessOf(s.phone); !now.ask {
			s.begin(now)
			return true
		}
		user, err := s.io.Ask("log in: ", console.Shown)
		var password string
		if err == nil {
			password, err = s.io.Ask("password: ", console.Hidden)
		}
		if errors.Is(err, console.ErrInterrupt) || errors.Is(err, console.ErrTooLong) {
			continue
		}
		if err != nil {
			return false
		}
		wait, _ := s.opts.Logins.Begin(consoleName)
		if s.opts.Wait(ctx, wait) != nil {
			return false
		}
		now, got := accessOf(s.phone), credentials(user, password)
		if !now.ask {
			continue // not any more
		}
		if subtle.ConstantTimeCompare(now.want[:], got[:]) == 1 {
			s.opts.Logins.Right(consoleName)
			s.begin(now)
			return true
		}
		s.io.Discard()
		s.say("Login incorrect")
	}
	s.refused = true
	return false
}

// consoleName stands for the one console where login.Delay has addresses.
const consoleName = "console"

// begin begins a session.
func (s *Shell) begin(a access) {
	s.session = &a
	if a.damaged != nil {
		s.say("%v: whether it sets a login is not known; there are show, why, erase and factory-reset", a.damaged)
	}
}

// watched shows the phone's trace to a session for as long as that may last.
type watched struct {
	s *Shell
	a access
}

func (w watched) Write(b []byte) (int, error) {
	if !w.a.same(accessOf(w.s.phone)) {
		return len(b), nil
	}
	return w.s.io.Write(b)
}

// waitFor waits, or returns the context's error.
func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
