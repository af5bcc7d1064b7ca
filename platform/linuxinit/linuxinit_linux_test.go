package linuxinit_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

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
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	linuxinit.Reap(ctx) // returns
}
