package alert

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/events"
)

// smtpServer takes mails, and sends what is between DATA and the dot.
func smtpServer(t *testing.T) (address string, mails <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprint(conn, "220 test ESMTP\r\n")
			in, data, body := bufio.NewScanner(conn), false, ""
			for in.Scan() {
				switch line := in.Text(); {
				case data && line == ".":
					got <- body
					data = false
					fmt.Fprint(conn, "250 ok\r\n")
				case data:
					body += line + "\n"
				case line == "DATA":
					data = true
					fmt.Fprint(conn, "354 go on\r\n")
				case line == "QUIT":
					fmt.Fprint(conn, "221 bye\r\n")
				default:
					fmt.Fprint(conn, "250 ok\r\n")
				}
			}
			conn.Close()
		}
	}()
	return l.Addr().String(), got
}

// The daily alert about ITLRecovery is mailed, and given to a command.
func TestDailyAlert(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, mails := smtpServer(t)
	file := filepath.Join(t.TempDir(), "told")
	h := Hook{Command: `cat >> "$TOLD"; echo "$ALERT_NAME $ALERT_SEVERITY" >> "$TOLD"`, Server: server, To: []string{"ops@example.lab"}, Logf: t.Logf, interval: time.Millisecond}
	t.Setenv("TOLD", file)
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began := make(chan struct{})
	go func() { close(began); done <- h.Follow(ctx, c.Events()) }()
	<-began
	var text string
	for day := 0; text == ""; day++ { // one that Follow begins behind is not told
		if day == 100 {
			t.Fatal("no mail for a hundred days")
		}
		if err := c.Apply(operation.Advance(24 * time.Hour)); err != nil {
			t.Fatal(err)
		}
		select {
		case text = <-mails:
		case <-time.After(500 * time.Millisecond):
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Header.Get("Subject"); s != "[test10pub] ITLRecoveryBackup" || !strings.Contains(text, "file get tftp ITLRecovery.p12") || m.Header.Get("To") != "<ops@example.lab>" {
		t.Errorf("subject %q in:\n%s", s, text)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if told, err := os.ReadFile(file); err != nil || !strings.Contains(string(told), "ITLRecoveryBackup 4") || !strings.Contains(string(told), "-4-ITLRecoveryBackup") {
		t.Errorf("the command was told %q, %v", told, err)
	}
}

// What stands in an event becomes neither a header nor a part of the command.
func TestHostile(t *testing.T) {
	h := Hook{Command: `printf %s "$ALERT_TEXT" > "$TOLD"`, To: []string{"a@b"}}
	file := filepath.Join(t.TempDir(), "told")
	t.Setenv("TOLD", file)
	e := events.Event{Name: "X", Node: "n\r\nBcc: all@example.lab", Text: "$(touch /nowhere)\r\n.\r\n; rm x\x1b"}
	if err := h.Tell(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	if told, err := os.ReadFile(file); err != nil || string(told) != `$(touch /nowhere)\r\n.\r\n; rm x\x1b` {
		t.Errorf("%q, %v", told, err)
	}
	m, err := mail.ReadMessage(strings.NewReader(string(h.Message(&e))))
	if err != nil || m.Header.Get("Bcc") != "" {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []Hook{{To: []string{"x"}}, {Server: "127.0.0.1:25"}, {Server: "x", To: []string{"a@b"}}, {Server: "127.0.0.1:25", To: []string{"a@b>\r\nRCPT TO:<c"}}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	h = Hook{Command: "exit 3"}
	if err := h.Tell(t.Context(), &e); err == nil {
		t.Error("a command that fails is not told of")
	}
}
