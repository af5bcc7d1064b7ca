package capture

import "errors"

// Limits bound what is read and kept; a zero takes the default.
type Limits struct {
	Bytes  int64 // of the capture, unpacked; 64 GiB
	Phones int   // 10,000
	Events int   // of one phone: 2,000; of all of them, a hundred times that
	Flows  int   // TCP connections and TFTP transfers that are followed at one time; 4,096 of each
	Kept   int   // bytes of files, equal ones counted once, and the same of what is being put together; 128 MiB
}

// ErrLimit says that there is more than is read.
var ErrLimit = errors.New("more than is read")

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 30
	}
	for _, d := range []struct {
		of   *int
		with int
	}{{&l.Phones, 10_000}, {&l.Events, 2_000}, {&l.Flows, 4_096}, {&l.Kept, 128 << 20}} {
		if *d.of == 0 {
			*d.of = d.with
		}
	}
	return l
}

const (
	maxPacket     = 256 << 10 // bytes; libpcap's own largest snapshot
	maxEarly      = 256 << 10 // bytes of one direction of a connection that wait for earlier ones
	maxAllEarly   = 32 << 20  // of all of them
	maxFragments  = 16 << 20  // bytes of fragments that wait for others
	maxInterfaces = 1_024     // of one section of a pcapng file
	maxHead       = 8 << 10   // bytes of a request's or an answer's head
	maxHandshake  = 64 << 10  // bytes of TLS messages in clear, in one direction
	maxTags       = 4         // VLAN tags of a frame
)
