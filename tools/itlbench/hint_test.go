package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"itlagent/testbench/cluster/serve"
)

// Whoever may not open a port is told how he may; other refusals get no such hint.
func TestPortHint(t *testing.T) {
	denied := os.NewSyscallError("bind", syscall.EACCES)
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"a node's port":  {&serve.PortError{Node: "pub", Port: "tftp", Err: fmt.Errorf("127.0.0.1:69: %w", denied)}, true},
		"a listener":     {fmt.Errorf("listening: %w", &net.OpError{Op: "listen", Net: "tcp", Err: denied}), true},
		"a port in use":  {&serve.PortError{Node: "pub", Port: "tftp", Err: syscall.EADDRINUSE}, false},
		"a dialled port": {&net.OpError{Op: "dial", Net: "tcp", Err: denied}, false},
		"a file":         {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, false},
	} {
		var out bytes.Buffer
		e := &env{stderr: &out}
		if code := e.fail(exitInfra, "cluster: %v", test.err); code != exitInfra {
			t.Errorf("%s: code %d", name, code)
		}
		if got := strings.Contains(out.String(), "\nhint: ports below 1024 need a right: sudo setcap"); got != test.want {
			t.Errorf("%s: printed %q, hint wanted: %v", name, out.String(), test.want)
		}
	}
}
