package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pin/tftp/v3"
)

// A phone repeats an unanswered TFTP packet about every half second.
const (
	tftpTimeout = 500 * time.Millisecond
	tftpRetries = 5
	// tftpTries is how often a transfer is begun that breaks off: the library ends one
	// at the first datagram that is none of TFTP, be it empty and from a stranger.
	tftpTries = 3
)

// PlainTFTP gets a file by TFTP in octet mode from address, "host:port", over
// the network of the machine.
func PlainTFTP(ctx context.Context, address, name string, limit int) ([]byte, error) {
	client, err := tftp.NewClient(address)
	if err != nil {
		return nil, err
	}
	client.SetTimeout(tftpTimeout)
	client.SetRetries(tftpRetries)
	client.SetBackoff(func(int) time.Duration { return 0 })

	// The library knows no context. It runs beside us, and ends by itself within
	// timeout x retries of the last packet, or at once when a write fails.
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		for range tftpTries {
			w := &boundedWriter{ctx: ctx, limit: limit}
			from, err := client.Receive(name, "octet")
			if err == nil {
				_, err = from.WriteTo(w)
			}
			if r = (result{w.buf.Bytes(), err}); !brokeOff(ctx, err) {
				break
			}
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.data, tftpError(r.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// brokeOff reports whether a transfer ended for a reason that another try may not meet:
// neither done, nor refused by the server, nor without an answer in time.
func brokeOff(ctx context.Context, err error) bool {
	var n net.Error
	return err != nil && ctx.Err() == nil && !errors.Is(err, ErrTooLarge) && !strings.HasPrefix(err.Error(), "code: ") &&
		!(errors.As(err, &n) && n.Timeout())
}

// tftpError gives the library's texts their meaning: it has no error values.
func tftpError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrTooLarge):
		return err
	case strings.HasPrefix(err.Error(), "code: 1,"):
		return ErrNotFound
	}
	return fmt.Errorf("transfer: %w", err)
}

// boundedWriter takes at most limit bytes, and none once ctx is done.
type boundedWriter struct {
	ctx   context.Context
	limit int
	buf   bytes.Buffer
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.buf.Len()+len(p) > w.limit {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, w.limit)
	}
	return w.buf.Write(p)
}
