package status

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/bounded"
)

//go:generate go tool msgp -o=stored_gen.go -io=false -tests=false -unexported

// An array has at most as many elements as messages are kept: maxKept.
//msgp:limit arrays:64
//msgp:tuple stored record

// stored is the messages as they are on flash: MessagePack arrays.
type stored struct {
	Messages []record
}

// record is one message, its times in Unix seconds.
type record struct {
	Time, Last int64
	Count      uint32
	Text       bounded.Text
}

func encode(entries []Entry) ([]byte, error) {
	var s stored
	for _, e := range entries {
		s.Messages = append(s.Messages, record{e.Time.Unix(), e.Last.Unix(), uint32(e.Count), bounded.Text(e.Text)})
	}
	return s.MarshalMsg(nil)
}

// decode reads stored messages, in today's form or in that of lines of text.
func decode(data []byte) (entries []Entry, err error) {
	// firstArray begins an array of MessagePack. Text is below it.
	const firstArray = 0x90
	switch {
	case len(data) > maxStored:
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(data), maxStored)
	case len(data) == 0 || data[0] < firstArray:
		return decodeText(string(data)), nil
	}
	var s stored
	rest, err := s.UnmarshalMsg(data)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind them", len(rest))
	}
	for _, r := range s.Messages {
		if r.Count == 0 || r.Count > math.MaxInt32 {
			return nil, fmt.Errorf("a message that was shown %d times", r.Count)
		}
		entries = append(entries, Entry{time.Unix(r.Time, 0), time.Unix(r.Last, 0), int(r.Count), cut(string(r.Text))})
	}
	return entries, nil
}

// decodeText reads the form of programs before this one: a line for each message,
// with the two times, the count and the quoted text. Other lines are skipped.
func decodeText(text string) (entries []Entry) {
	for line := range strings.Lines(text) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(part) != 4 {
			continue
		}
		first, err1 := strconv.ParseInt(part[0], 10, 64)
		last, err2 := strconv.ParseInt(part[1], 10, 64)
		count, err3 := strconv.ParseUint(part[2], 10, 31)
		if text, err4 := strconv.Unquote(part[3]); errors.Join(err1, err2, err3, err4) == nil && count > 0 {
			entries = append(entries, Entry{time.Unix(first, 0), time.Unix(last, 0), int(count), cut(text)})
		}
	}
	return entries[max(0, len(entries)-maxKept):]
}
