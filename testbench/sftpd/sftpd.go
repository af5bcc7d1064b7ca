// Package sftpd is an SFTP server for the bench: where an administrator keeps the
// recovery key of a cluster.
//
//	s, err := sftpd.Start(sftpd.Options{Dir: dir, User: "joe", Password: "secret"})
//	defer s.Close()
//	fmt.Println(s.Address())
//
// It listens on loopback unless Options says otherwise, for at most 128 connections of a
// minute each. The files are served by this process, which keeps users inside the
// directory, or by OpenSSH's sftp-server where Options names it: whoever can log in then
// reads and writes what this process may. The login is this package's in both cases, so
// that each way to log in can be had. A Server is safe for concurrent use. Source: RFC
// 4251 to 4254, and draft-ietf-secsh-filexfer-02.
package sftpd

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"itlagent/agent/accept"
)

// Login is a way to log in.
type Login int

// The ways to log in. A server offers one.
const (
	Password Login = iota
	KeyboardInteractive
	PublicKey
)

// Options describe a server.
type Options struct {
	Dir            string // where names begin
	Listen         string // "host:port"; "" takes a free port of 127.0.0.1
	User, Password string
	Login          Login
	Keys           []ssh.PublicKey // of users, for PublicKey
	Program        string          // OpenSSH's sftp-server; "" serves in this process
}

// Server is a running server.
type Server struct {
	opts    Options
	address string
	server  *accept.Server
	conf    *ssh.ServerConfig
	key     ssh.PublicKey
}

// Limits of a server.
const (
	conns    = 128
	connTime = time.Minute // for a whole connection
)

var errLogin = errors.New("not a user")

// Start makes a host key and serves until Close.
func Start(o Options) (*Server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, conf: new(ssh.ServerConfig)}
	check := func(user string, ok bool) (*ssh.Permissions, error) {
		if user != o.User || !ok {
			return nil, errLogin
		}
		return nil, nil
	}
	switch o.Login {
	case Password:
		s.conf.PasswordCallback = func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return check(c.User(), same(string(password), o.Password))
		}
	case KeyboardInteractive:
		s.conf.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			return check(c.User(), err == nil && len(answers) == 1 && same(answers[0], o.Password))
		}
	case PublicKey:
		s.conf.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, known := range o.Keys {
				if bytes.Equal(known.Marshal(), key.Marshal()) {
					return check(c.User(), true)
				}
			}
			return nil, errLogin
		}
	}
	s.conf.AddHostKey(signer)
	s.key = signer.PublicKey()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	s.address = l.Addr().String()
	s.server = accept.Serve(l, accept.Limits{Conns: conns, First: connTime}, s.serve)
	return s, nil
}

// same compares passwords in a time that says nothing about them.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Address returns "host:port".
func (s *Server) Address() string { return s.address }

// HostKey returns the key that the server shows. It is made at Start.
func (s *Server) HostKey() ssh.PublicKey { return s.key }

// Close ends every connection and waits for it.
func (s *Server) Close() { s.server.Close() }

func (s *Server) serve(raw net.Conn) {
	raw.SetDeadline(time.Now().Add(connTime))
	conn, channels, requests, err := ssh.NewServerConn(raw, s.conf)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			offered.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		ch, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for req := range requests {
			var subsystem struct{ Name string }
			ok := req.Type == "subsystem" && ssh.Unmarshal(req.Payload, &subsystem) == nil && subsystem.Name == "sftp"
			req.Reply(ok, nil)
			if ok {
				go ssh.DiscardRequests(requests)
				s.files(ch)
				break
			}
		}
		ch.Close()
	}
}

// files serves one SFTP session.
func (s *Server) files(ch ssh.Channel) error {
	if s.opts.Program == "" {
		dir, err := newRooted(s.opts.Dir)
		if err != nil {
			return err
		}
		defer dir.root.Close()
		srv := sftp.NewRequestServer(ch, dir.handlers())
		defer srv.Close()
		return srv.Serve()
	}
	cmd := exec.Command(s.opts.Program, "-d", s.opts.Dir)
	in, err := cmd.StdinPipe() // copied by hand: Wait must not wait for the client
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", s.opts.Program, err)
	}
	go func() {
		io.Copy(in, ch)
		in.Close()
	}()
	return cmd.Wait()
}
