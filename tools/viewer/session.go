package viewer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"itlagent/platform/readfile"
	"itlagent/tools/broker"
)

// Session is a person at a line, through its broker.
type Session struct {
	Client *broker.Client
	View   *View
	Keys   Keys
	Enter  string // what the return key sends
	Echo   bool   // what is typed is shown here too

	Power func(context.Context) error // cycles it; nil where nobody knows how
	Log   string

	dtr, rts bool
}

// ErrQuit says that the person wants to leave.
var ErrQuit = errors.New("quit")

// silence is after how long a line that says nothing is worth a word.
const silence = 10 * time.Second

// maxFile bounds a file that is sent, in bytes: at 115200 baud, 16 MiB take half an hour.
const maxFile = 16 << 20

// piece is what arrived from one of the session's sources.
type piece struct {
	b       []byte
	earlier bool
	err     error
}

// Run shows the line and sends what is typed, until the person quits (ErrQuit), the
// context ends, or the broker does (io.EOF). typed is what a terminal in raw mode gives.
func (s *Session) Run(ctx context.Context, typed io.Reader) error {
	s.dtr, s.rts = true, true
	done := make(chan struct{})
	defer close(done)
	line, keys := make(chan piece), make(chan piece)
	go pump(line, done, s.Client.ReadEarlier)
	go pump(keys, done, func(b []byte) (int, bool, error) {
		n, err := typed.Read(b)
		return n, false, err
	})
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for {
		var err error
		select {
		case p := <-line:
			quiet.Stop()
			if err = p.err; err == nil {
				err = s.show(p)
			}
		case p := <-keys:
			if p.err != nil {
				return ErrQuit // the terminal is gone
			}
			err = s.typed(ctx, p.b, keys)
		case e := <-s.Client.Events():
			s.View.Note(e.Text)
		case <-quiet.C:
			s.View.Note("nothing has arrived yet: is the board on, and are its rate and wiring right?")
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			s.View.Flush()
			return err
		}
	}
}

// pump reads until there is an error, or nobody wants it.
func pump(to chan<- piece, done <-chan struct{}, read func([]byte) (int, bool, error)) {
	for {
		b := make([]byte, 32<<10)
		n, earlier, err := read(b)
		if n > 0 {
			select {
			case to <- piece{b: b[:n], earlier: earlier}:
			case <-done:
				return
			}
		}
		if err != nil {
			select {
			case to <- piece{err: err}:
			case <-done:
			}
			return
		}
	}
}

func (s *Session) show(p piece) error {
	err := s.View.Show(p.b, p.earlier)
	if s.View.Garbled() {
		s.View.Note("this looks like bytes at another rate: compare with the board's console=...,RATE")
	}
	return err
}

func (s *Session) typed(ctx context.Context, b []byte, keys <-chan piece) error {
	for _, e := range s.Keys.Read(b) {
		if e.Action == 0 {
			if err := s.send(e.Bytes); err != nil {
				return err
			}
			continue
		}
		if err := s.act(ctx, e.Action, keys); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) send(b []byte) error {
	text := string(b)
	if s.Enter != "\r" {
		text = strings.ReplaceAll(text, "\r", s.Enter)
	}
	if s.Echo {
		s.View.Show([]byte(strings.ReplaceAll(string(b), "\r", "\r\n")), false)
	}
	_, err := io.WriteString(s.Client, text)
	return err
}

// act does what a key asks for. Its error ends the session.
func (s *Session) act(ctx context.Context, a Action, keys <-chan piece) error {
	v := s.View
	switch a {
	case Quit:
		return ErrQuit
	case Help:
		for _, line := range HelpText(s.Keys.Name()) {
			v.Note(line)
		}
	case LogName:
		v.Note("log: " + s.Log)
	case TimesKey:
		v.Times = !v.Times
	case DecodeKey:
		v.Decode = !v.Decode
	case EchoKey:
		s.Echo = !s.Echo
	case HexKey:
		v.Flush()
		v.Hex = !v.Hex
	case SendFile:
		s.sendFile(ctx, keys)
	case PowerKey:
		s.power(ctx)
	default:
		s.do(a)
	}
	return nil
}

// do has the broker do something, and says how that went.
func (s *Session) do(a Action) {
	onOff := map[bool]string{true: "on", false: "off"}
	command := map[Action]string{Break: "break", Write: "ask", Free: "free", Force: "force", ModemKey: "modem"}[a]
	dtr, rts := s.dtr, s.rts
	if a == DTRKey || a == RTSKey {
		if a == DTRKey {
			dtr = !dtr
		} else {
			rts = !rts
		}
		command = fmt.Sprintf("modem dtr=%s rts=%s", onOff[dtr], onOff[rts])
	}
	// The answer comes by way of the line's reader, which must go on meanwhile.
	go func() {
		answer, err := s.Client.Do(command)
		text := command + ": " + answer
		switch {
		case err != nil:
			text = command + ": " + err.Error()
		case answer == "":
			text = command + ": done"
		}
		s.Client.Tell(text)
	}()
	s.dtr, s.rts = dtr, rts
}

func (s *Session) power(ctx context.Context) {
	if s.Power == nil {
		s.View.Note("no power command is known: give --power")
		return
	}
	s.View.Note("power cycle")
	go func() {
		if err := s.Power(ctx); err != nil {
			s.Client.Tell(err.Error())
		}
	}()
}

// sendFile asks for a file's name and types the file.
func (s *Session) sendFile(ctx context.Context, keys <-chan piece) {
	s.View.Note("send which file? (return ends the name, ctrl-c drops it)")
	var name []byte
	for {
		select {
		case p := <-keys:
			for _, c := range p.b {
				switch {
				case c == '\r' || c == '\n':
					s.typeFile(string(name))
					return
				case c == 0x03:
					s.View.Note("nothing sent")
					return
				case c == 0x7f || c == '\b':
					name = name[:max(0, len(name)-1)]
				default:
					name = append(name, c)
				}
			}
			if p.err != nil {
				return
			}
			fmt.Fprintf(s.View.w, "\r\x1b[K%s", new(Filter).Filter(name))
		case <-ctx.Done():
			return
		}
	}
}

func (s *Session) typeFile(name string) {
	io.WriteString(s.View.w, "\r\n")
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", name)
	case info.Size() > maxFile:
		err = fmt.Errorf("%s has %d bytes, at most %d are sent", name, info.Size(), maxFile)
	}
	var data []byte
	if err == nil {
		data, err = readfile.AtMost(name, maxFile)
	}
	if err != nil {
		s.View.Note(err.Error())
		return
	}
	go func() { // the line is shown meanwhile
		if _, err := s.Client.Write(data); err != nil {
			s.Client.Tell(name + ": " + err.Error())
			return
		}
		s.Client.Tell(fmt.Sprintf("%s: %d bytes sent", name, len(data)))
	}()
}

// Raw puts a terminal into raw mode. leave gives it back as it was, colours and cursor
// with it; it may be called more than once, and from anywhere.
func Raw(tty *os.File) (leave func(), err error) {
	old, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return nil, err
	}
	return func() {
		tty.WriteString("\x1b[0m\x1b[?25h") // in case --raw has let others through
		term.Restore(int(tty.Fd()), old)
	}, nil
}
