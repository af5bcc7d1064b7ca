package state

import (
	"bytes"
	"crypto/sha256"
	"sync"

	"itlagent/testbench/cluster/profile"
)

// maxSigned bounds what the signed files of a state hold, in bytes: those of 20,000
// phones, of two nodes. Where there is more, all are dropped.
const maxSigned = 64 << 20

// signedFiles are the files that the nodes of a state have signed: an RSA signature for
// each request would be a fifth of what phones cost. The time in a file is that of its
// first request. It is safe for concurrent use.
type signedFiles struct {
	mu   sync.Mutex
	made map[signedKey]signedFile
	size int
}

type signedKey struct {
	node *Node
	name string
}

// signedFile is valid for one content, key and digest: a copy of a state that an operation
// changes may be asked in between.
type signedFile struct {
	content [sha256.Size]byte
	by      []byte // the signer's certificate
	digest  int
	data    []byte
}

// get returns the signed file, which sign makes where there is none. It is not to be
// changed.
func (f *signedFiles) get(n *Node, name string, content []byte, sign func() ([]byte, error)) ([]byte, error) {
	key, want := signedKey{n, name}, signedFile{content: sha256.Sum256(content), by: n.Signer.Certificate.Raw, digest: int(n.in.Digest)}
	f.mu.Lock()
	have, ok := f.made[key]
	f.mu.Unlock()
	if ok && have.content == want.content && have.digest == want.digest && bytes.Equal(have.by, want.by) {
		return have.data, nil
	}
	data, err := sign()
	if err != nil {
		return nil, err
	}
	want.data = data
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size += len(data); f.made == nil || f.size > maxSigned {
		f.made, f.size = make(map[signedKey]signedFile), len(data)
	}
	f.made[key] = want
	return data, nil
}

// places are where phones stand in the list of a state, by MAC address: a search for each
// request of ten thousand phones would take longer than the answer. It is safe for
// concurrent use.
type places struct {
	mu    sync.Mutex
	first *profile.PhoneSpec // of the list that was indexed
	len   int
	by    map[string]int
}

// of returns the place of a phone, or -1 where it has to be looked for.
func (p *places) of(phones []profile.PhoneSpec, mac string) int {
	if p == nil || len(phones) == 0 {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first != &phones[0] || p.len != len(phones) {
		p.first, p.len, p.by = &phones[0], len(phones), make(map[string]int, len(phones))
		for i := range phones {
			p.by[phones[i].MAC] = i
		}
	}
	i, ok := p.by[mac]
	if !ok || phones[i].MAC != mac {
		return -1
	}
	return i
}
