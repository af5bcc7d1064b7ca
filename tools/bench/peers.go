package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"time"
)

// freePort returns a port that was free a moment ago.
func freePort(network string) (int, error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tftpd starts tftpd-hpa over a directory.
func tftpd(dir string) (stop func(), address string, err error) {
	path, err := exec.LookPath("/usr/sbin/in.tftpd")
	if err != nil {
		return nil, "", errors.New("the package tftpd-hpa is not installed")
	}
	u, err := user.Current()
	if err != nil {
		return nil, "", err
	}
	if u.Uid != "0" {
		return nil, "", errors.New("tftpd-hpa starts as root alone")
	}
	port, err := freePort("udp")
	if err != nil {
		return nil, "", err
	}
	address = fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(path, "--foreground", "--address", address, "--user", u.Username, "--secure", dir)
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	return ready(cmd, address, func() error { return receive(address, "ITLFile.tlv", 512, mustRead(filepath.Join(dir, "ITLFile.tlv"))) })
}

func mustRead(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err) // it was written a moment ago
	}
	return data
}

// nginx starts nginx over a directory, one connection a file.
func nginx(dir string) (stop func(), address string, err error) {
	path, err := exec.LookPath("/usr/sbin/nginx")
	if err != nil {
		return nil, "", errors.New("the package nginx-light is not installed")
	}
	port, err := freePort("tcp")
	if err != nil {
		return nil, "", err
	}
	address = fmt.Sprintf("127.0.0.1:%d", port)
	state, err := os.MkdirTemp("", "itlagent-bench-nginx-")
	if err != nil {
		return nil, "", err
	}
	u, err := user.Current()
	if err != nil {
		return nil, "", err
	}
	as := ""
	if u.Uid == "0" {
		as = "user root;\n"
	}
	conf := filepath.Join(state, "nginx.conf")
	text := fmt.Sprintf("daemon off; worker_processes auto; pid %[1]s/pid; error_log %[1]s/error;\n%[4]sevents { worker_connections 4096; }\n"+
		"http { access_log off; keepalive_timeout 0; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;\n"+
		"server { listen %[2]s backlog=4096; root %[3]s; } }\n", state, address, dir, as)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, "", err
	}
	cmd := exec.Command(path, "-c", conf, "-e", filepath.Join(state, "error"))
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	stop, address, err = ready(cmd, address, func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	end := stop
	return func() { end(); os.RemoveAll(state) }, address, err
}

// ready waits until a server answers.
func ready(cmd *exec.Cmd, address string, try func() error) (func(), string, error) {
	stop := func() {
		cmd.Process.Signal(os.Interrupt)
		time.Sleep(50 * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	var err error
	for range 50 {
		if err = try(); err == nil {
			return stop, address, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return func() {}, "", fmt.Errorf("%s does not answer: %w", filepath.Base(cmd.Path), err)
}
