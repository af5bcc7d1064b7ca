package sip

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// A request is read within its limits, whatever the bytes.
func FuzzSIP(f *testing.F) {
	f.Add([]byte("REFER sip:a SIP/2.0\r\nTo: <sip:a>\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("\r\n\r\nOPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(data), MaxHead)
		for range 10 {
			req, err := Read(in)
			if err != nil {
				return
			}
			if a, err := req.Alarm(); err == nil && a.Name == "" {
				t.Fatal("an alarm without a name")
			}
			if len(req.Body) > MaxBody || req.Method == "" && !bytes.Contains(data, []byte(" ")) {
				t.Fatalf("%d bytes of body, method %q", len(req.Body), req.Method)
			}
			for _, line := range append(req.copied, req.to) {
				if strings.ContainsAny(line, "\n") || len(line) > MaxHead {
					t.Fatalf("header line %q", line)
				}
			}
		}
	})
}
