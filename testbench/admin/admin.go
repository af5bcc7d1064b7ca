// Package admin is the command line of a cluster's node, with the words and the
// answers that administrators know: prompt "admin:", `show itl`, `utils itl reset
// localkey`, `set cert regen`.
//
//	s := admin.New(node, console)
//	code := s.Run("utils service restart Cisco Tftp")
//	s.Loop() // a prompt, until exit
//
// ServeSSH serves it to SSH clients. A session is not safe for concurrent use at a time; several
// sessions may change one cluster. Sources: the transcripts in Cisco's note on ITL
// enhancements in release 10.0(1), and the command line guides of CUCM; commands
// that stand for what is done on web pages there are marked as the bench's own.
package admin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"itlagent/platform/console"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
)

// Prompt is what a session asks for commands with.
const Prompt = "admin:"

// Codes of a command.
const (
	Done   = 0 // done
	Failed = 1 // refused, or gone wrong; nothing has changed
	Usage  = 2 // no such command, or wrong arguments
)

// Session is one user's command line on one node.
type Session struct {
	Node *cluster.Node
	// Progress, if not nil, is told how many of the phones that were told to reset have
	// come back.
	Progress func(back, of int)

	cluster *cluster.Cluster
	io      console.Console
}

// New returns a session on a node.
func New(n *cluster.Node, io console.Console) *Session {
	return &Session{Node: n, cluster: n.Cluster(), io: io}
}

// command is one command: its words, the arguments behind them, and what it does.
type command struct {
	words     string
	args      string // as help shows them
	min, max  int    // number of arguments
	publisher bool   // on the publisher alone
	own       bool   // the bench's own: a web page, or nothing at all, with a cluster
	about     string
	run       func(s *Session, args []string) error
}

// commands returns all commands, sorted by their words.
func commands() []command {
	all := slices.Concat(showCommands, setCommands, certCommands, itlCommands, serviceCommands, fileCommands, bulkCommands, sftpCommands, deviceCommands)
	slices.SortFunc(all, func(a, b command) int { return strings.Compare(a.words, b.words) })
	return all
}

// usageError is an error about the words of a command.
type usageError string

func (e usageError) Error() string { return string(e) }

// errQuiet fails a command that has said why already.
var errQuiet = errors.New("")

// Loop asks for commands until exit, quit, or the end of what the user types. Ctrl-C
// cancels the line, or the command that asks something.
func (s *Session) Loop() {
	for {
		line, err := s.io.Ask(Prompt, console.Shown)
		switch {
		case errors.Is(err, console.ErrInterrupt):
			continue
		case errors.Is(err, console.ErrTooLong):
			s.say("%v: it has at most %d bytes", err, console.MaxLine)
			continue
		case err != nil:
			return
		}
		switch strings.TrimSpace(line) {
		case "":
			continue
		case "exit", "quit":
			return
		}
		s.Run(line)
	}
}

// Run runs one command and returns its code.
func (s *Session) Run(line string) int {
	words, err := split(line)
	if err == nil && len(words) == 0 {
		return Done
	}
	if err == nil {
		err = s.run(words)
	}
	var usage usageError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &usage):
		s.say("%s\nExecuted command unsuccessfully", err)
		return Usage
	case errors.Is(err, console.ErrInterrupt):
		s.say("Control-C pressed\nExecuted command unsuccessfully")
		return Failed
	case errors.Is(err, io.EOF):
		s.say("\nExecuted command unsuccessfully")
		return Failed
	case err != errQuiet:
		s.say("%s", err)
	}
	return Failed
}

func (s *Session) run(words []string) error {
	if words[0] == "help" || words[0] == "?" {
		return s.help(words[1:])
	}
	cmd, args, ok := find(words)
	if !ok {
		return usageError("No valid command entered")
	}
	if len(args) < cmd.min || len(args) > cmd.max {
		return usageError("Syntax: " + strings.TrimSpace(cmd.words+" "+cmd.args))
	}
	if cmd.publisher && !s.Node.IsPublisher() {
		return operation.ErrNotPublisher
	}
	return cmd.run(s, args)
}

// find returns the command with the most words that the line begins with.
func find(words []string) (cmd command, args []string, ok bool) {
	for _, c := range commands() {
		n := len(strings.Fields(c.words))
		if n <= len(words) && strings.Join(words[:n], " ") == c.words && (!ok || n > len(strings.Fields(cmd.words))) {
			cmd, args, ok = c, words[n:], true
		}
	}
	return cmd, args, ok
}

// split parts a line into words; double quotes hold words together.
func split(line string) ([]string, error) {
	errWords := usageError("No valid command entered")
	var words []string
	var word strings.Builder
	quoted, in := false, false
	end := func() {
		if in {
			words = append(words, word.String())
			word.Reset()
		}
		in = false
	}
	for _, r := range line {
		switch {
		case r == '"':
			quoted, in = !quoted, true
		case r == ' ' && !quoted:
			end()
		case r < ' ' || r == 0x7f:
			return nil, errWords
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if end(); quoted {
		return nil, errWords
	}
	return words, nil
}

func (s *Session) say(format string, args ...any) { fmt.Fprintf(s.io, format+"\n", args...) }

func (s *Session) help(words []string) error {
	prefix := strings.Join(words, " ")
	shown := 0
	for _, c := range commands() {
		if prefix != "" && c.words != prefix && !strings.HasPrefix(c.words, prefix+" ") {
			continue
		}
		shown++
		about := c.about
		if c.own {
			about += " (of this bench alone)"
		}
		s.say("%s\n    %s", strings.TrimSpace(c.words+" "+c.args), about)
	}
	if shown == 0 {
		return usageError("No valid command entered")
	}
	if prefix == "" {
		s.say("help [WORDS]\n    these lines\nexit\n    end the session")
	}
	return nil
}

// Complete returns what a line can be completed to, and the ways that are open.
func Complete(line string) (completed string, choices []string) {
	words := []string{"help", "exit"}
	for _, c := range commands() {
		words = append(words, c.words)
	}
	return console.CompleteWords(words, line)
}

// confirm asks a question that y and yes say yes to, whatever case they are in.
func (s *Session) confirm(prompt string) error {
	answer, err := s.io.Ask(prompt, console.Shown)
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("Operation cancelled. Nothing was changed.")
}

// authenticate asks for the administrator's password.
func (s *Session) authenticate() error {
	password, err := s.io.Ask("Enter CCM Administrator password :", console.Hidden)
	if err != nil {
		return err
	}
	if !s.cluster.State().CheckAdmin(password) {
		return errors.New("The CCM Administrator password is not correct. Nothing was changed.")
	}
	return nil
}
