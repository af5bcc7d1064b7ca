package shell_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"itlagent/agent/shell"
	"itlagent/platform/console"
)

// Three wrong logins end the shell with an error, the end of input without one.
func TestRefused(t *testing.T) {
	for lines, refused := range map[string]bool{
		"admin\nno\nadmin\nno\nadmin\nno\n": true, "admin\nno\n": false, "admin\nsecret\nexit\n": false,
	} {
		phone := alone(t, storeOf(t, map[string]string{"config": loginConfig}), nil)
		o := shell.Options{Wait: func(context.Context, time.Duration) error { return nil }}
		err := shell.New(phone, console.NewPlain(strings.NewReader(lines), new(bytes.Buffer)), o).Loop(t.Context())
		if errors.Is(err, shell.ErrLogin) != refused || !refused && err != nil {
			t.Errorf("%q: %v", lines, err)
		}
	}
}

// Of a server that was not reached there is no verdict to print.
func TestDirectoryNotReached(t *testing.T) {
	phone := alone(t, storeOf(t, map[string]string{"config": "<device><directoryURL>http://192.0.2.1:1/x</directoryURL></device>"}), nil)
	if out := session(t, phone, shell.Options{}, "directory"); !strings.Contains(out, "Host Not Found") || strings.Contains(out, "accepted") {
		t.Errorf("%s", out)
	}
}
