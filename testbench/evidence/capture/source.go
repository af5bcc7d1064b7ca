package capture

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// ErrFormat says that a file is no capture.
var ErrFormat = errors.New("neither pcap nor pcapng")

// source gives one frame after the other; the bytes count until the next call.
type source struct {
	read func() ([]byte, gopacket.CaptureInfo, error)
	link layers.LinkType // of pcap; of pcapng each frame has its own
	ng   bool
	last time.Time
}

// metered counts, and ends, what is read of a file.
type metered struct {
	ctx      context.Context
	in       io.Reader
	left     int64
	progress func(int)
}

func (m *metered) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	if m.left <= 0 {
		return 0, fmt.Errorf("%w: the capture is too long", ErrLimit)
	}
	n, err := m.in.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	if m.progress != nil {
		m.progress(n)
	}
	return n, err
}

const bufferSize = 256 << 10 // bytes

func open(ctx context.Context, in io.Reader, l Limits, progress func(int)) (*source, error) {
	// What is read counts for the progress, what is unpacked for the limit.
	buf := bufio.NewReaderSize(&metered{ctx, in, l.Bytes, progress}, bufferSize)
	if head, _ := buf.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(buf)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		buf = bufio.NewReaderSize(&metered{ctx, z, l.Bytes, nil}, bufferSize)
	}
	head, err := buf.Peek(4)
	switch {
	case len(head) == 4 && string(head) == "\x0a\x0d\x0d\x0a":
		r, err := pcapgo.NewNgReader(&gate{in: buf}, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return nil, err
		}
		return &source{read: r.ZeroCopyReadPacketData, ng: true}, nil
	case len(head) == 4 && (head[0] == 0xa1 && head[1] == 0xb2 || head[2] == 0xb2 && head[3] == 0xa1):
		r, err := pcapgo.NewReader(buf)
		if err != nil {
			return nil, err
		}
		r.SetSnaplen(maxPacket)
		return &source{read: r.ZeroCopyReadPacketData, link: r.LinkType()}, nil
	case err != nil && err != io.EOF:
		return nil, err
	}
	return nil, ErrFormat
}

// frame returns the next frame.
func (s *source) frame() (data []byte, link layers.LinkType, at time.Time, err error) {
	data, info, err := s.read()
	if err != nil {
		return nil, 0, at, err
	}
	link = s.link
	if s.ng {
		link, _ = info.AncillaryData[0].(layers.LinkType)
	}
	if !info.Timestamp.IsZero() { // simple packets of pcapng have none
		s.last = info.Timestamp
	}
	return data, link, s.last, nil
}
