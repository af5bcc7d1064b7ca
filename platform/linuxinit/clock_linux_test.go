package linuxinit

import (
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"testing"
	"time"
)

// late are times that 32 bits cannot hold: signed ones end in 2038, unsigned ones in
// 2106. want is the kernel's structure in big-endian order.
var late = []struct {
	at   time.Time
	want string
}{
	{time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), "00000000695735a50000000000000006"},
	{time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC), "000000007fffffff0000000000000000"},
	{time.Date(2038, 1, 20, 0, 0, 0, 0, time.UTC), "00000000800124000000000000000000"},
	{time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC), "00000001000000000000000000000000"},
	{time.Date(2200, 1, 1, 0, 0, 0, 999999999, time.UTC), "00000001b09e1900000000003b9ac9ff"},
}

// The call itself would set the clock of the machine that the test runs on: emulated
// boards do it.
func TestTimespec(t *testing.T) {
	for _, c := range late {
		b := timespec(c.at)
		if binary.NativeEndian.Uint16([]byte{0, 1}) != 1 { // little-endian: turn each number round
			for i := range 4 {
				b[i], b[7-i] = b[7-i], b[i]
				b[8+i], b[15-i] = b[15-i], b[8+i]
			}
		}
		if got := hex.EncodeToString(b[:]); got != c.want {
			t.Errorf("%v: %s, want %s", c.at, got, c.want)
		}
		if got := fromTimespec(timespec(c.at)); !got.Equal(c.at) {
			t.Errorf("%v became %v", c.at, got.UTC())
		}
	}
}

// The old call is for what it can hold.
func TestTimeval(t *testing.T) {
	for _, c := range late {
		tv, err := timeval(c.at)
		fits := c.at.Year() < 2038 || c.at.Unix() == 1<<31-1
		if fits != (err == nil) || fits && time.Unix(int64(tv.Sec), int64(tv.Usec)*1000).Unix() != c.at.Unix() {
			t.Errorf("%v: %+v, %v", c.at, tv, err)
		}
	}
	if _, err := timeval(time.Unix(-1, 0)); err == nil {
		t.Error("a time before 1970 was encoded")
	}
}

func TestNow(t *testing.T) {
	before := time.Now()
	now := Now()
	if d := now.Sub(before.Round(0)); d < -time.Second || d > time.Minute {
		t.Errorf("%v is %v away from time.Now", now, d)
	}
	if set, err := Clock(time.Unix(0, 0)); set || err != nil {
		t.Errorf("a clock that is right was set: %v, %v", set, err)
	}
}

// The numbers of the calls, from the kernel's tables.
func TestCallNumbers(t *testing.T) {
	want := map[string][2]int{"arm": {403, 404}, "386": {403, 404}, "mips": {4403, 4404}, "mipsle": {4403, 4404}, "amd64": {228, 227}, "arm64": {113, 112}}[runtime.GOARCH]
	if got := [2]int{sysClockGettime, sysClockSettime}; want != [2]int{} && got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
