package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// stored is the form of the state file: the state with a hash over its bytes.
type stored struct {
	Format int             `json:"format"`
	SHA256 string          `json:"sha256"`
	State  json.RawMessage `json:"state"`
}

const stateFormat = 1

// ErrDamaged says that the file with the cluster's state is not what was
// written.
var ErrDamaged = errors.New("the state of the cluster is damaged")

// Encode writes a state in the form of the state file.
func (s *State) Encode() ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.Marshal(stored{stateFormat, hex.EncodeToString(sum[:]), body})
}

// Decode reads what Encode wrote. What could not have been written gives ErrDamaged,
// with the path of the value and what is wrong with it.
func Decode(data []byte) (*State, error) {
	var file stored
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if file.Format != stateFormat {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrDamaged, file.Format, stateFormat)
	}
	if sum := sha256.Sum256(file.State); hex.EncodeToString(sum[:]) != file.SHA256 {
		return nil, fmt.Errorf("%w: its bytes do not have the hash that stands with them", ErrDamaged)
	}
	s := new(State)
	dec := json.NewDecoder(bytes.NewReader(file.State))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	s.link()
	return s, nil
}
