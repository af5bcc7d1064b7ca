package capture

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// However segments are cut, repeated and mixed, the bytes come out in order and once.
func TestHalf(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		want := make([]byte, 1+r.IntN(20_000))
		for i := range want {
			want[i] = byte(r.Uint32())
		}
		first := r.Uint32() | 0xffff_0000 // sequence numbers begin again soon
		var segments []segment
		for range 3 {
			for at := 0; at < len(want); {
				n := min(1+r.IntN(1_500), len(want)-at)
				segments = append(segments, segment{first + uint32(at), want[at : at+n]})
				at += n
			}
		}
		r.Shuffle(len(segments), func(i, j int) { segments[i], segments[j] = segments[j], segments[i] })
		var h half
		h.start(first)
		var got []byte
		room := func(int) bool { return true }
		for _, s := range segments {
			h.add(s.seq, s.data, false, room, func(b []byte) { got = append(got, b...) })
		}
		h.add(first+uint32(len(want)), nil, true, room, nil)
		if !bytes.Equal(got, want) || !h.fin || h.lost || h.waiting != 0 || len(h.early) != 0 {
			t.Fatalf("seed %d: %d of %d bytes, fin %v, lost %v, %d bytes wait", seed, len(got), len(want), h.fin, h.lost, h.waiting)
		}
	}
}

// What waits is bounded: beyond it the stream is lost, and says so.
func TestHalfIsBounded(t *testing.T) {
	var h half
	h.start(0)
	for i := range uint32(10_000) {
		h.add(1+i*1_000, make([]byte, 1_000), false, func(int) bool { return true }, func([]byte) { t.Fatal("bytes behind a gap") })
	}
	if !h.lost || h.waiting > maxEarly {
		t.Errorf("lost %v, %d bytes wait", h.lost, h.waiting)
	}
}
