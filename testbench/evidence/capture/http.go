package capture

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"itlagent/agent/trustlist"
)

// httpParser reads the requests for files of one connection, and the answers to them.
type httpParser struct {
	r       *reader
	f       *flow
	head    [2][]byte
	asked   []*Event // the answer to the first one is read now; nil is not looked at
	answer  *answer
	stopped [2]bool
}

// answer is an answer whose body is read.
type answer struct {
	length  int64 // bytes to come, -1 to the end of the connection
	chunked bool
	body    []byte
	size    int64
	keep    bool
	held    int // bytes that count for Limits.Kept
}

// maxFile bounds a file that is kept, in bytes: more than a phone takes.
const maxFile = trustlist.MaxSignedSize + 1

// maxAsked bounds the requests of a connection that wait for their answer.
const maxAsked = 64

func (h *httpParser) data(dir int, at time.Time, b []byte) {
	for len(b) > 0 && !h.stopped[dir] {
		if dir == fromServer && h.answer != nil {
			b = h.body(at, b)
			continue
		}
		// What ends the head may have begun in the bytes before.
		had := len(h.head[dir])
		take := b[:min(len(b), maxHead+1-had)]
		h.head[dir] = append(h.head[dir], take...)
		from := max(0, had-3)
		end := bytes.Index(h.head[dir][from:], []byte("\r\n\r\n"))
		if end < 0 {
			if len(h.head[dir]) > maxHead {
				h.stop(dir, at, Refused)
			}
			b = b[len(take):]
			continue
		}
		whole := from + end + 4
		b = b[whole-had:]
		head := h.head[dir][:whole]
		h.head[dir] = nil
		if dir == fromClient {
			h.request(at, head)
		} else {
			h.response(at, head)
		}
	}
}

// stop gives a direction up: what it carries is not HTTP.
func (h *httpParser) stop(dir int, at time.Time, result Result) {
	h.stopped[dir], h.head[dir] = true, nil
	if dir == fromServer {
		for _, e := range h.asked {
			h.r.close(e, at, result)
		}
		h.asked = nil
		h.r.release(h.answer)
		h.answer = nil
	}
}

func (h *httpParser) request(at time.Time, head []byte) {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	words := strings.Fields(string(line))
	if len(words) < 2 || len(h.asked) >= maxAsked {
		h.stop(fromClient, at, Refused)
		return
	}
	var e *Event
	if words[0] == "GET" {
		name := strings.TrimPrefix(words[1], "/")
		e = h.r.asked(h.f.client, h.f.server, name, "HTTP", at)
	}
	h.asked = append(h.asked, e)
	if h.stopped[fromServer] {
		h.r.close(e, at, Refused)
	}
}

func (h *httpParser) response(at time.Time, head []byte) {
	if len(h.asked) == 0 {
		h.stop(fromServer, at, Refused)
		return
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodGet})
	if err != nil {
		h.stop(fromServer, at, Refused)
		return
	}
	res.Body.Close()
	if res.StatusCode < 200 {
		return // the answer itself follows
	}
	e := h.asked[0]
	a := &answer{length: res.ContentLength, chunked: len(res.TransferEncoding) > 0}
	if e != nil {
		e.File.Code = res.StatusCode
		e.File.Size = -1
		if a.length >= 0 {
			e.File.Size = a.length
		}
		a.keep = res.StatusCode == http.StatusOK && trusted(e.File.Name)
	}
	h.answer = a
	if a.length == 0 && !a.chunked {
		h.complete(at, Got)
	}
}

// body takes bytes of an answer's body, and returns those behind it.
func (h *httpParser) body(at time.Time, b []byte) []byte {
	a := h.answer
	take := b
	if a.length >= 0 && !a.chunked {
		take = b[:min(int64(len(b)), a.length-a.size)]
	}
	a.size += int64(len(take))
	if a.keep && len(a.body) < maxFile && !h.r.grow(a, take) {
		a.keep = false
	}
	switch {
	case a.chunked && a.keep && bytes.HasSuffix(a.body, []byte("0\r\n\r\n")), !a.chunked && a.length >= 0 && a.size >= a.length:
		h.complete(at, Got)
	}
	return b[len(take):]
}

// complete ends an answer.
func (h *httpParser) complete(at time.Time, result Result) {
	e, a := h.asked[0], h.answer
	h.asked, h.answer = h.asked[1:], nil
	body := a.body
	if a.chunked {
		plain, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(bytes.NewReader(body)), maxFile))
		if err != nil && result == Got {
			result = CutShort
		}
		body, a.size = plain, int64(len(plain))
	}
	if e != nil {
		if e.File.Size < 0 || result == Got {
			e.File.Size = a.size
		}
		if result == Got {
			result = resultOf(e.File.Code)
		}
		if result == Got && trusted(e.File.Name) && a.size < maxFile {
			result = h.r.keep(e.File, body, a.keep)
		}
	}
	h.r.release(a)
	h.r.close(e, at, result)
}

func resultOf(code int) Result {
	switch code {
	case http.StatusOK:
		return Got
	case http.StatusNotFound:
		return NotFound
	}
	return Refused
}

func (h *httpParser) lost(dir int) { h.stop(dir, h.f.last, NotSeen) }

func (h *httpParser) end(e ending) {
	if h.answer != nil {
		switch a := h.answer; {
		case e.evicted || e.by == nobody:
			h.complete(e.at, NotSeen)
		case e.by == fromClient:
			h.complete(e.at, BrokenOff)
		case a.length < 0 && !a.chunked && !e.reset:
			h.complete(e.at, Got)
		default:
			h.complete(e.at, CutShort)
		}
	}
	for _, ev := range h.asked {
		result := NoAnswer
		if e.evicted || e.by == nobody {
			result = NotSeen
		}
		h.r.close(ev, e.at, result)
	}
	h.asked = nil
}
