package rig

import "testing"

// Notices of the program may come between the lines of an answer, and its echo.
func TestOutputAmongNotices(t *testing.T) {
	for name, text := range map[string]string{
		"alone":       "locked: no\r\nshown: a\r\n$ end-of-output\r\nend-of-output: no such command; try help\r\n$ ",
		"behind echo": "locked: no\r\nshown: a\r\n$ end-of-output\r\nitlagent: clock set\r\nend-of-output: no such command; try help\r\n",
		"in lines":    "locked: noitlagent: clock set\r\n\r\nshown: a\r\n$ end-of-output\r\nend-of-output: no such command; try helpitlagent: clock set\r\n\r\n$ ",
		"in front":    "itlagent: registered\r\nlocked: no\r\nshown: a\r\n$ itlagent: clock set\r\n$ end-of-output\r\nend-of-output: no such command; try help\r\n",
	} {
		groups := marked.FindStringSubmatch(text)
		if groups == nil {
			t.Errorf("%s: no end in %q", name, text)
		} else if got, want := output(groups[1]), "locked: no\nshown: a\n"; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
