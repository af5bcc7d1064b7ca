package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/crypto/ssh"

	"itlagent/agent/printable"
	"itlagent/testbench/sftpd"
)

// runSFTP serves the files of a directory to one user until Ctrl-C. Password and host
// key are made at each start.
func runSFTP(e *env, args []string) int {
	f := e.flags("sftp")
	dir := f.String("dir", "", "`DIR` whose files are served; nothing outside it is")
	user := f.String("user", "", "`NAME` that logs in")
	listen := f.String("listen", "127.0.0.1:0", "`ADDR` to listen on; port 0 takes a free one")
	file := f.String("password-file", "", "write the password to `FILE` (mode 0600) in place of printing it")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	if *dir == "" || *user == "" {
		return e.usage("sftp: --dir and --user are needed")
	}
	if printable.Text(*user) != *user {
		return e.usage("sftp: the name %q has characters that cannot be seen", *user)
	}
	if info, err := os.Stat(*dir); err != nil {
		return e.fail(exitInfra, "sftp: %v", plainPath(err))
	} else if !info.IsDir() {
		return e.fail(exitInfra, "sftp: %s: %v", *dir, syscall.ENOTDIR)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	password := rand.Text()
	server, err := sftpd.Start(sftpd.Options{Dir: *dir, Listen: *listen, User: *user, Password: password})
	if err != nil {
		return e.fail(exitInfra, "sftp: %v", err)
	}
	defer server.Close()
	if *file != "" {
		if err := writeFile(*file, []byte(password+"\n"), 0o600); err != nil {
			return e.fail(exitInfra, "sftp: %v", err)
		}
		password = "in " + *file
	}
	fmt.Fprintf(e.stdout, "sftp %s\nuser %s\npassword %s\nhost key %s\n", server.Address(), *user, password, ssh.FingerprintLegacyMD5(server.HostKey()))
	<-ctx.Done()
	return exitOK
}
