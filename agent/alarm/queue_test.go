package alarm_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"

	"itlagent/agent/alarm"
)

// oldQueue is what programs before this one have on flash: three dropped, two that
// wait.
const oldQueue = "3\n" +
	`"SEP64A0E71502CC" "" "" "" "" "1ba1c907e99e4d3c539dc81424af6c9f7dce4d6d" "cucm-115.home.lab" "3"` + "\n" +
	`"SEP64A0E71502CC" "192.0.2.7" "2001:db8::7" "a36dcf5d1e654d76cde3624b22bd45cf857544a6" "a \"b\"\n\x00" "" "" "-1"` + "\n"

// newQueue is the same queue in today's form.
const newQueue = "\x93\x03\x00\x92" +
	"\x98\xafSEP64A0E71502CC\xa0\xa0\xc4\x00\xa0\xc4\x14\x1b\xa1\xc9\x07\xe9\x9e\x4d\x3c\x53\x9d\xc8\x14\x24\xaf\x6c\x9f\x7d\xce\x4d\x6d\xb1cucm-115.home.lab\x03" +
	"\x98\xafSEP64A0E71502CC\xa9192.0.2.7\xab2001:db8::7\xc4\x14\xa3\x6d\xcf\x5d\x1e\x65\x4d\x76\xcd\xe3\x62\x4b\x22\xbd\x45\xcf\x85\x75\x44\xa6\xa7a \"b\"\n\x00\xc4\x00\xa0\xff"

func oldWaiting(t testing.TB) []alarm.Info {
	return []alarm.Info{
		{Device: "SEP64A0E71502CC", ITL: hash(t, "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D"), ITLServer: "cucm-115.home.lab", Status: 3},
		{Device: "SEP64A0E71502CC", Address: "192.0.2.7", Address6: "2001:db8::7", CTL: hash(t, "A3 6D CF 5D 1E 65 4D 76 CD E3 62 4B 22 BD 45 CF 85 75 44 A6"), CTLServer: "a \"b\"\n\x00", Status: -1},
	}
}

// A queue in the form of lines of text is read, and written in today's form with the
// next change.
func TestOldQueue(t *testing.T) {
	m := &mem{values: map[string][]byte{"waiting": []byte(oldQueue)}}
	q, err := alarm.Open(m, "waiting")
	if err != nil {
		t.Fatal(err)
	}
	want := oldWaiting(t)
	if waiting, dropped := q.Waiting(); !reflect.DeepEqual(waiting, want) || dropped != 3 {
		t.Errorf("%d dropped, waiting %+v", dropped, waiting)
	}
	if string(m.values["waiting"]) != oldQueue {
		t.Error("it was written without a change")
	}
	if err := q.Add(vectors(t)[0]); err != nil {
		t.Fatal(err)
	}
	if data := m.values["waiting"]; len(m.values) != 1 || data[0] != 0x93 {
		t.Errorf("the next change wrote %q", data)
	}
	q, err = alarm.Open(m, "waiting")
	if waiting, dropped := q.Waiting(); err != nil || !reflect.DeepEqual(waiting, append(want, vectors(t)[0])) || dropped != 3 {
		t.Errorf("after the next change: %v, %d dropped, waiting %+v", err, dropped, waiting)
	}
}

// The form on flash is this, to the byte.
func TestNewQueue(t *testing.T) {
	m := &mem{values: map[string][]byte{"alarms": []byte(newQueue)}}
	q, err := alarm.Open(m, "alarms")
	if waiting, dropped := q.Waiting(); err != nil || !reflect.DeepEqual(waiting, oldWaiting(t)) || dropped != 3 || q.Refused() != 0 {
		t.Fatalf("%v, %d dropped, %d refused, waiting %+v", err, dropped, q.Refused(), waiting)
	}
	other := new(mem)
	if q, err = alarm.Open(other, "alarms"); err != nil {
		t.Fatal(err)
	}
	for _, i := range oldWaiting(t) {
		if err := q.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := string(other.values["alarms"]), strings.Replace(newQueue, "\x93\x03", "\x93\x00", 1); got != want {
		t.Errorf("written\n%x\nwant\n%x", got, want)
	}
}

// Fields of any length are cut so that the queue can be read again.
func TestLongFields(t *testing.T) {
	m := new(mem)
	q, err := alarm.Open(m, "alarms")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 100_000)
	for range alarm.MaxQueued {
		if err := q.Add(alarm.Info{long, long, long, []byte(long), []byte(long), long, long, math.MaxInt}); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := q.Waiting()
	q, err = alarm.Open(m, "alarms")
	if after, _ := q.Waiting(); err != nil || !reflect.DeepEqual(before, after) || len(after) != alarm.MaxQueued || len(after[0].ITLServer) != 255 {
		t.Errorf("%d bytes are read as %d alarms: %v", len(m.values["alarms"]), len(after), err)
	}
	if n := len(m.values["alarms"]); n > 14_452 {
		t.Errorf("%d bytes are stored", n)
	}
}

// Every queue that is cut or has a byte too many is an error, and can be used.
func TestDamagedQueue(t *testing.T) {
	nine := "\x93\x00\x00\x99" + strings.Repeat("\x98\xa0\xa0\xa0\xc4\x00\xa0\xc4\x00\xa0\x00", 9)
	bad := map[string]string{"nothing": "", "a byte behind it": newQueue + "\x00", "nine": nine, "a map": "\x83\x00\x00\x90", "another array": "\x92\x00\x00",
		"2^32 alarms": "\x93\x00\x00\xdd\xff\xff\xff\xff", "a text of 2^32": "\x93\x00\x00\x91\x98\xdb\xff\xff\xff\xffx", "bytes of 2^32": "\x93\x00\x00\x91\x98\xa0\xa0\xa0\xc6\xff\xff\xff\xff",
		"a count of 2^31": "\x93\xce\x80\x00\x00\x00\x00\x90", "old, a line too few": strings.Split(oldQueue, "\n")[0] + "\n\n", "old, a high count": "2147483648\n", "old, no count": "\n"}
	for i := range newQueue {
		bad["cut at "+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))] = newQueue[:i]
	}
	for name, data := range bad {
		m := &mem{values: map[string][]byte{"alarms": []byte(data)}}
		q, err := alarm.Open(m, "alarms")
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if waiting, dropped := q.Waiting(); len(waiting)+dropped != 0 {
			t.Errorf("%s: %d wait, %d dropped", name, len(waiting), dropped)
		}
		if err := q.Add(vectors(t)[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err = alarm.Open(m, "alarms"); err != nil {
			t.Errorf("%s, then an alarm: %v", name, err)
		}
	}
}

// deleter is a store that can delete.
type deleter struct{ mem }

func (d *deleter) Delete(key string) error {
	if d.err != nil {
		return d.err
	}
	delete(d.values, key)
	return nil
}

// A queue that is cleared is empty, also after a restart. One whose store fails is
// as before.
func TestClear(t *testing.T) {
	plain, full := new(mem), new(deleter)
	for name, s := range map[string]struct {
		alarm.Store
		mem *mem
	}{"a store that can delete": {full, &full.mem}, "a store that cannot": {plain, plain}} {
		s.mem.values = map[string][]byte{"alarms": []byte(oldQueue), "other": []byte("x")}
		q, err := alarm.Open(s.Store, "alarms")
		if err != nil {
			t.Fatal(err)
		}
		s.mem.err = errors.New("flash is worn out")
		if err := q.Clear(); !errors.Is(err, s.mem.err) {
			t.Errorf("%s: %v", name, err)
		}
		if waiting, dropped := q.Waiting(); len(waiting) != 2 || dropped != 3 {
			t.Errorf("%s, which fails: %d wait, %d dropped", name, len(waiting), dropped)
		}
		s.mem.err = nil
		if err := q.Clear(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range 2 {
			if waiting, dropped := q.Waiting(); len(waiting) != 0 || dropped != 0 {
				t.Errorf("%s: %d wait, %d dropped", name, len(waiting), dropped)
			}
			if q, err = alarm.Open(s.Store, "alarms"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if string(s.mem.values["other"]) != "x" {
			t.Errorf("%s: another value is gone", name)
		}
	}
	if _, err := full.Get("alarms"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the value is still there: %v", err)
	}
}

// Two alarms are equal if all fields are: no hash and an empty one are the same.
func TestEqual(t *testing.T) {
	full := alarm.Info{"a", "b", "c", []byte{1}, []byte{2}, "d", "e", 3}
	if !full.Equal(alarm.Info{"a", "b", "c", []byte{1}, []byte{2}, "d", "e", 3}) || !(alarm.Info{}).Equal(alarm.Info{CTL: []byte{}, ITL: []byte{}}) {
		t.Error("equal alarms differ")
	}
	for n := range reflect.TypeOf(full).NumField() {
		other := full
		field := reflect.ValueOf(&other).Elem().Field(n)
		field.SetZero()
		if full.Equal(other) || other.Equal(full) {
			t.Errorf("alarms that differ in %s are equal", reflect.TypeOf(full).Field(n).Name)
		}
	}
}

// What a list calls its server cannot break the alarm's XML, or steer the terminal
// of a reader.
func TestBodyOfAnyName(t *testing.T) {
	for _, name := range []string{"a\x1b[2Jb", "a\u202eb", "a\x00b", "a\u0085b", "a\xffb", "a\r\nb"} {
		body := alarm.Info{Device: name, Address: name, Address6: name, CTL: []byte{1}, ITL: []byte{1}, CTLServer: name, ITLServer: name}.Body()
		if bytes.Contains(body, []byte(name)) || bytes.Count(body, []byte(`>a\`)) != 5 {
			t.Errorf("%q:\n%s", name, body)
		}
	}
	if got := hex.EncodeToString([]byte(alarm.Signature([]byte{0x0a, 0xff}))); got != "304120464620" {
		t.Error(got)
	}
}
