// Package alarm tells a cluster which trust lists a phone holds: the DeviceTLInfo
// alarm, in a SIP REFER.
//
//	q, err := alarm.Open(store)
//	err = q.Add(alarm.Info{Device: "SEP64A0E71502CC", Address: "192.0.2.7", ITL: sha1, ITLServer: "pub"})
//	sent, err := sender.Deliver(ctx, q, servers)
//
// Alarms wait in the phone's store while no server takes them; of more than
// MaxQueued the oldest give way, and are counted. Bodies are at most a few hundred
// bytes, answers are read to MaxAnswer. A Queue is safe for concurrent use.
// Source: traces of a CP-7821 with firmware 12.1.1; the alarm is in Cisco's note
// on ITL enhancements.
package alarm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
)

// MaxQueued bounds the alarms that wait.
const MaxQueued = 8

// Info is what an alarm says.
type Info struct {
	Device               string // "SEP64A0E71502CC"
	Address              string // IPv4; "" where the phone has none
	Address6             string
	CTL, ITL             []byte // SHA-1 of the file, nil where none is installed
	CTLServer, ITLServer string // host name of the TFTP node that the list is of
	Status               int    // StatusCode
}

// Body returns the XML of the alarm: lines end with LF, the last one with
// nothing.
func (i Info) Body() []byte {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n")
	str := func(name, value string) {
		b.WriteString("<String name=\"" + name + "\">" + escape(value) + "</String>\n")
	}
	list := func(kind string, hash []byte, server string) {
		text := "Not Installed"
		if hash == nil {
			server = "N/A"
		} else {
			text = Signature(hash)
		}
		str(kind+"_Signature", text)
		str(kind+"_TFTP_Server", server)
	}
	str("DeviceName", i.Device)
	str("IPv4Address", i.Address)
	str("IPv6Address", i.Address6)
	list("CTL", i.CTL, i.CTLServer)
	list("ITL", i.ITL, i.ITLServer)
	str("StatusCode", strconv.Itoa(i.Status))
	b.WriteString("</ParameterList>\n</Alarm>\n</x-cisco-alarm>")
	return []byte(b.String())
}

// escape keeps a value from ending its element.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// Signature writes a hash as phones do: upper-case pairs, each with a space
// behind it, the last one too.
func Signature(hash []byte) string {
	var b strings.Builder
	for _, c := range hash {
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
		b.WriteByte(' ')
	}
	return b.String()
}

// Store keeps values by name, as the agent's does.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
}

const queueKey = "alarms"

// Queue is the alarms that wait.
type Queue struct {
	store Store

	mu      sync.Mutex
	waiting []Info
	dropped int
}

// Open reads the queue of a store; one that is damaged is as none, and the error
// says so beside a queue that can be used.
func Open(s Store) (*Queue, error) {
	q := &Queue{store: s}
	data, err := s.Get(queueKey)
	if errors.Is(err, fs.ErrNotExist) {
		return q, nil
	}
	if err != nil {
		return q, err
	}
	const maxQueue = 16 << 10 // bytes
	if len(data) > maxQueue {
		return q, errors.New("queue of alarms: too large")
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if i == 0 {
			if q.dropped, err = strconv.Atoi(line); err != nil || q.dropped < 0 {
				return &Queue{store: s}, fmt.Errorf("queue of alarms: %.40q", line)
			}
			continue
		}
		info, err := decode(line)
		if err != nil || len(q.waiting) == MaxQueued {
			return &Queue{store: s}, fmt.Errorf("queue of alarms, line %d: %.40q", i+1, line)
		}
		q.waiting = append(q.waiting, info)
	}
	return q, nil
}

// encode writes an alarm as one line of quoted words.
func (i Info) encode() string {
	words := []string{i.Device, i.Address, i.Address6, hex.EncodeToString(i.CTL), i.CTLServer, hex.EncodeToString(i.ITL), i.ITLServer, strconv.Itoa(i.Status)}
	for n := range words {
		words[n] = strconv.Quote(words[n])
	}
	return strings.Join(words, " ")
}

func decode(line string) (Info, error) {
	var words []string
	for line != "" {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return Info{}, err
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return Info{}, err
		}
		words = append(words, word)
		line = strings.TrimPrefix(line[len(quoted):], " ")
	}
	const parts = 8
	if len(words) != parts {
		return Info{}, fmt.Errorf("%d parts", len(words))
	}
	hash := func(text string) ([]byte, error) {
		if text == "" {
			return nil, nil
		}
		return hex.DecodeString(text)
	}
	ctl, err1 := hash(words[3])
	itl, err2 := hash(words[5])
	status, err3 := strconv.Atoi(words[7])
	return Info{words[0], words[1], words[2], ctl, itl, words[4], words[6], status}, errors.Join(err1, err2, err3)
}

// keep writes the queue. The caller holds mu.
func (q *Queue) keep() error {
	var b strings.Builder
	b.WriteString(strconv.Itoa(q.dropped) + "\n")
	for _, i := range q.waiting {
		b.WriteString(i.encode() + "\n")
	}
	return q.store.Put(queueKey, []byte(b.String()))
}

// Add appends an alarm. After an error it waits in memory alone.
func (q *Queue) Add(i Info) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == MaxQueued {
		q.waiting = append(q.waiting[:0], q.waiting[1:]...)
		q.dropped++
	}
	q.waiting = append(q.waiting, i)
	return q.keep()
}

// Waiting returns the alarms that wait, oldest first, and how many gave way.
func (q *Queue) Waiting() (waiting []Info, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]Info(nil), q.waiting...), q.dropped
}

// sent removes an alarm that a server has taken.
func (q *Queue) sent(i Info) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 && q.waiting[0].encode() == i.encode() {
		q.waiting = append(q.waiting[:0], q.waiting[1:]...)
		return q.keep()
	}
	return nil // it has given way in the meantime
}

// Clear drops every alarm and the count of those dropped before.
func (q *Queue) Clear() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting, q.dropped = nil, 0
	return q.keep()
}
