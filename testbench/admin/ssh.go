package admin

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"itlagent/agent/accept"
	"itlagent/agent/login"
	"itlagent/platform/console"
	"itlagent/platform/readfile"
	"itlagent/testbench/cluster"
)

// User is the name that an administrator logs in with.
const User = "admin"

// Limits of an SSH connection.
const (
	sshLogin    = 30 * time.Second // until the user is in; more than login.Queue
	sshIdle     = 30 * time.Minute // between two lines
	sshTries    = 6                // passwords
	sshChannels = 8                // sessions of one connection
)

// AuthorizedKeys is the file in the cluster's directory with the public keys of
// administrators, in OpenSSH's form.
const AuthorizedKeys = "authorized_keys"

// maxKeys bounds that file, in bytes: some 100 keys of 4096 bits. Whoever connects has it
// read.
const maxKeys = 64 << 10

// hostKey returns the key that the node shows to SSH clients, and to SFTP servers.
func hostKey(n *cluster.Node) (ssh.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(n.State().HostKey)
	if err != nil {
		return nil, fmt.Errorf("host key: %w", err)
	}
	return ssh.NewSignerFromKey(key)
}

var errLogin = errors.New("not an administrator")

// SSH serves the command line of nodes to SSH clients. The user is admin, with the
// administrator's password or a key of the file AuthorizedKeys. Wrong passwords make the
// next one of the same address wait, the right one too; keys never wait.
type SSH struct {
	Logins login.Delay
	Wait   func(time.Duration) // time.Sleep where nil
}

// ServeSSH serves the client of one connection, with the delays of this process.
func ServeSSH(raw net.Conn, n *cluster.Node) { process.Serve(raw, n) }

var process SSH

// password reports whether a password is the administrator's, once that may be known.
func (s *SSH) password(meta ssh.ConnMetadata, n *cluster.Node, password string) bool {
	peer := n.Cluster().Dir() + "\x00" + accept.Peer(meta.RemoteAddr())
	wait, ok := s.Logins.Begin(peer)
	if !ok {
		return false
	}
	if s.Wait != nil {
		s.Wait(wait)
	} else {
		time.Sleep(wait)
	}
	if meta.User() != User || !n.Cluster().State().CheckAdmin(password) {
		return false
	}
	s.Logins.Right(peer)
	return true
}

// Serve serves the client of one connection, until that ends.
func (s *SSH) Serve(raw net.Conn, n *cluster.Node) {
	signer, err := hostKey(n)
	if err != nil {
		return
	}
	conf := &ssh.ServerConfig{
		MaxAuthTries: sshTries,
		PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if s.password(meta, n, string(password)) {
				return nil, nil
			}
			return nil, errLogin
		},
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() == User && authorized(n.Cluster().Dir(), key) {
				return nil, nil
			}
			return nil, errLogin
		},
	}
	conf.AddHostKey(signer)
	raw.SetDeadline(time.Now().Add(sshLogin))
	conn, channels, requests, err := ssh.NewServerConn(raw, conf)
	if err != nil {
		return
	}
	defer conn.Close()
	raw.SetDeadline(time.Time{})
	go ssh.DiscardRequests(requests)
	slots := make(chan struct{}, sshChannels)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for ch := range channels {
		if ch.ChannelType() != "session" {
			ch.Reject(ssh.UnknownChannelType, "sessions alone")
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			ch.Reject(ssh.ResourceShortage, "too many sessions")
			continue
		}
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() {
			defer func() { <-slots }()
			serveSession(raw, n, channel, requests)
		})
	}
}

// authorized reports whether a key stands in the file of keys.
func authorized(dir string, key ssh.PublicKey) bool {
	if dir == "" {
		return false
	}
	data, err := readfile.AtMost(filepath.Join(dir, AuthorizedKeys), maxKeys)
	if err != nil {
		return false
	}
	for len(data) > 0 {
		known, _, _, rest, err := ssh.ParseAuthorizedKey(data)
		if err != nil {
			return false
		}
		if bytes.Equal(known.Marshal(), key.Marshal()) {
			return true
		}
		data = rest
	}
	return false
}

// idle closes a connection whose user types nothing for sshIdle.
type idle struct {
	ssh.Channel
	conn net.Conn
}

func (i idle) Read(b []byte) (int, error) {
	i.conn.SetDeadline(time.Now().Add(sshIdle))
	return i.Channel.Read(b)
}

// session is a session that a client has opened.
type session struct {
	tty      idle
	terminal *console.Terminal // nil where the client asked for none
	running  bool
}

// request does what the client asks for. It reports whether that was done, and whether the
// shell or the command begins with it.
func (s *session) request(req *ssh.Request) (ok, begins bool, command string) {
	switch req.Type {
	case "pty-req":
		var pty struct {
			Term                         string
			Columns, Rows, Width, Height uint32
			Modes                        string
		}
		if ok = ssh.Unmarshal(req.Payload, &pty) == nil && !s.running && s.terminal == nil; ok {
			s.terminal = console.NewTerminal(s.tty, Prompt, Complete)
			s.terminal.SetSize(int(pty.Columns), int(pty.Rows))
		}
	case "window-change":
		var size struct{ Columns, Rows, Width, Height uint32 }
		if ok = ssh.Unmarshal(req.Payload, &size) == nil && s.terminal != nil; ok {
			s.terminal.SetSize(int(size.Columns), int(size.Rows))
		}
	case "shell", "exec":
		var exec struct{ Command string }
		if ok = !s.running && (req.Type == "shell" || ssh.Unmarshal(req.Payload, &exec) == nil); ok {
			s.running = true
			return true, true, exec.Command
		}
	case "env":
		ok = true
	}
	return ok, false, ""
}

// requests answers what the client asks for, and sends the command once there is one.
func (s *session) requests(all <-chan *ssh.Request, started chan<- string) {
	defer close(started)
	for req := range all {
		ok, begins, command := s.request(req)
		if req.WantReply {
			req.Reply(ok, nil)
		}
		if begins { // behind the reply: a short command would end the channel before it
			started <- command
		}
	}
}

// serveSession serves one session: a shell, or one command.
func serveSession(raw net.Conn, n *cluster.Node, ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	asked := &session{tty: idle{ch, raw}}
	started := make(chan string, 1)
	go asked.requests(requests, started)
	command, ok := <-started
	if !ok {
		return
	}
	var talk console.Console = console.NewPlain(asked.tty, ch)
	if asked.terminal != nil {
		talk = asked.terminal
	}
	s := New(n, talk)
	code := Done
	switch {
	case len(command) > console.MaxLine:
		s.say("%v: it has at most %d bytes", console.ErrTooLong, console.MaxLine)
		code = Usage
	case command != "":
		code = s.Run(command)
	default:
		io.WriteString(talk, "Command Line Interface is starting up, please wait ...\n\n   Welcome to the command line of "+n.State().FQDN()+"\n\n")
		s.Loop()
	}
	ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(code)}))
}
