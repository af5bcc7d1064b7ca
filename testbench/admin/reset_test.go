package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"itlagent/testbench/admin"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/sip/siptest"
)

// The command line counts the phones that come back after a reset, and names those that
// do not; show risdb has them all.
func TestResetDevices(t *testing.T) {
	c := newCluster(t, "note")
	for i := range 3 {
		if err := c.Apply(operation.AddPhone(fmt.Sprintf("00000000000%d", i), "CP-7965G")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pub := c.Publisher()
	out, code := run(pub, "utils reset devices")
	if want := "All devices were told to reset.\nNone of them is registered.\n"; code != admin.Done || out != want {
		t.Fatalf("nobody is registered: %d, %q; want %q", code, out, want)
	}
	phones := make([]*siptest.Phone, 3)
	heard := make(chan error, 20)
	for i := range phones {
		p, err := siptest.Dial("tcp", c.Nodes()[i%2].Endpoint("sip"), fmt.Sprintf("SEP00000000000%d", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if code, err := p.Register(3600, "initialized"); err != nil || code != 200 {
			t.Fatal(code, err)
		}
		phones[i] = p
		go func() {
			for {
				action, err := p.Notified(200)
				if err == nil {
					p.Again()
					_, err = p.Register(3600, "reset-"+action)
				}
				if heard <- err; err != nil {
					return
				}
			}
		}()
	}
	for _, test := range []struct {
		line, want string
		heard      int
	}{
		{"utils reset devices", "All devices were told to reset.\n3 of 3 came back.\n", 3},
		{"utils reset devices all --rate 1000", "All devices were told to reset.\n3 of 3 came back.\n", 3},
		{"utils reset devices sep000000000001 restart", "SEP000000000001 was told to restart.\n1 of 1 came back.\n", 1},
		{"utils reset devices node test10pub", "The devices of test10pub were told to reset.\n2 of 2 came back.\n", 2},
		{"utils reset devices --no-wait", "All devices were told to reset.\n3 are registered.\n", 3},
	} {
		out, code := run(pub, test.line)
		if code != admin.Done || out != test.want {
			t.Fatalf("%s: %d, %q; want %q", test.line, code, out, test.want)
		}
		for range test.heard {
			if err := <-heard; err != nil {
				t.Fatalf("%s: %v", test.line, err)
			}
		}
	}
	out, code = run(pub, "show risdb query phone")
	for _, want := range []string{"\n3, 3, 0, 3, 0, 0, 0, 0\n", "\nSEP000000000001, , 127.0.0.1, , 000000000001, reg, SIP, 436, no, ",
		"SIP45.9-3-1.loads, SIP45.8-4.loads, reset-reset, test10sub\n", "\nTotal count 3\n"} {
		if code != admin.Done || !strings.Contains(out, want) {
			t.Errorf("show risdb query phone: %d, %q\nis missing %q", code, out, want)
		}
	}
	for _, line := range []string{"utils reset devices SEP1", "utils reset devices --rate", "utils reset devices --rate 0", "utils reset devices --rate 10001",
		"utils reset devices node elsewhere", "utils reset devices some", "utils reset devices SEP000000000000 SEP000000000001"} {
		before := c.State().Resets
		if out, code := run(pub, line); code == admin.Done || c.State().Resets != before {
			t.Errorf("%s: code %d, %q", line, code, out)
		}
	}
}
