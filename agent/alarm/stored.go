package alarm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"itlagent/agent/bounded"
)

//go:generate go tool msgp -o=stored_gen.go -io=false -tests=false -unexported

// An array has at most as many elements as alarms wait: MaxQueued.
//msgp:limit arrays:8
//msgp:tuple stored record

// stored is a queue as it is on flash: MessagePack arrays.
type stored struct {
	Dropped, Refused uint32
	Waiting          []record
}

// record is one alarm.
type record struct {
	Device, Address, Address6 bounded.Text
	CTL                       bounded.Bytes
	CTLServer                 bounded.Text
	ITL                       bounded.Bytes
	ITLServer                 bounded.Text
	Status                    int32
}

// maxStored bounds a stored queue, in bytes: MaxQueued alarms of the longest fields
// are 14,452.
const maxStored = 16 << 10

func recordOf(i Info) record {
	hash := func(b []byte) bounded.Bytes { return append(bounded.Bytes(nil), b[:min(len(b), bounded.MaxLen)]...) }
	return record{bounded.Cut(i.Device), bounded.Cut(i.Address), bounded.Cut(i.Address6), hash(i.CTL), bounded.Cut(i.CTLServer), hash(i.ITL), bounded.Cut(i.ITLServer),
		int32(max(math.MinInt32, min(i.Status, math.MaxInt32)))}
}

func (r *record) info() Info {
	return Info{string(r.Device), string(r.Address), string(r.Address6), r.CTL, r.ITL, string(r.CTLServer), string(r.ITLServer), int(r.Status)}
}

// count is a count as it is stored: one that is higher than 2^31 stays there.
func count(n int) uint32 { return uint32(min(n, math.MaxInt32)) }

// decode reads a stored queue, in today's form or in that of lines of text.
func decode(data []byte) (stored, error) {
	var s stored
	switch {
	case len(data) == 0:
		return s, errors.New("it is empty")
	case len(data) > maxStored:
		return s, fmt.Errorf("%d bytes, the limit is %d", len(data), maxStored)
	case data[0] < firstArray:
		return decodeText(string(data))
	}
	rest, err := s.UnmarshalMsg(data)
	switch {
	case err != nil:
		return stored{}, err
	case len(rest) > 0:
		return stored{}, fmt.Errorf("%d bytes behind it", len(rest))
	case s.Dropped > math.MaxInt32 || s.Refused > math.MaxInt32:
		return stored{}, errors.New("a count is too high")
	}
	return s, nil
}

// firstArray begins an array of MessagePack. Text is below it.
const firstArray = 0x90

// decodeText reads the form of programs before this one: the number of dropped
// alarms, then a line of quoted words for each that waits.
func decodeText(text string) (s stored, err error) {
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i == 0 {
			n, err := strconv.ParseUint(line, 10, 31)
			if err != nil {
				return stored{}, fmt.Errorf("line 1: %.40q", line)
			}
			s.Dropped = uint32(n)
			continue
		}
		info, err := decodeLine(line)
		if err != nil || len(s.Waiting) == MaxQueued {
			return stored{}, fmt.Errorf("line %d: %.40q", i+1, line)
		}
		s.Waiting = append(s.Waiting, recordOf(info))
	}
	return s, nil
}

func decodeLine(line string) (Info, error) {
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
	ctl, err1 := hex.DecodeString(words[3])
	itl, err2 := hex.DecodeString(words[5])
	status, err3 := strconv.Atoi(words[7])
	return Info{words[0], words[1], words[2], ctl, itl, words[4], words[6], status}, errors.Join(err1, err2, err3)
}
