package linuxinit_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"itlagent/platform/linuxinit"
)

// What needs a machine of its own is tested on emulated boards, whose first process
// uses all of it. Here is what can be refused without one.
func TestRefused(t *testing.T) {
	if linuxinit.First() {
		t.Fatal("the test is the first process")
	}
	for name, address := range map[string][3]string{
		"no prefix": {"eth0", "192.0.2.1", ""}, "no address": {"eth0", "here/24", ""}, "IPv6": {"eth0", "2001:db8::1/64", ""}, "a long name": {"interface-with-a-long-name", "192.0.2.1/24", ""},
	} {
		if err := linuxinit.Address(address[0], address[1], address[2]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	dir := t.TempDir()
	if err := linuxinit.Modules(dir); err != nil {
		t.Errorf("no modules: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.load"), []byte("absent.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := linuxinit.Modules(dir); err == nil {
		t.Error("a module that is not there")
	}
	if set, err := linuxinit.Clock(time.Unix(0, 0)); set || err != nil {
		t.Errorf("a clock that is right was set: %v, %v", set, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	linuxinit.Reap(ctx) // returns
	if err := linuxinit.Watchdog(ctx, filepath.Join(dir, "none")); err != nil {
		t.Errorf("no watchdog: %v", err)
	}
	// A watchdog is fed, and closed in the way that does not reset the board.
	dog := filepath.Join(dir, "watchdog")
	if err := os.WriteFile(dog, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := linuxinit.Watchdog(ctx, dog); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(dog); err != nil || string(data) != "\x00V" {
		t.Errorf("the watchdog got %q, %v", data, err)
	}
}
