package cluster

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
		in := bufio.NewReaderSize(bytes.NewReader(data), sipHead)
		for range 10 {
			req, err := readSIP(in)
			if err != nil {
				return
			}
			if len(req.body) > sipBody || req.method == "" && !bytes.Contains(data, []byte(" ")) {
				t.Fatalf("%d bytes of body, method %q", len(req.body), req.method)
			}
			for _, line := range append(req.copied, req.to) {
				if strings.ContainsAny(line, "\n") || len(line) > sipHead {
					t.Fatalf("header line %q", line)
				}
			}
		}
	})
}

// What is accepted as a profile passes its own check, and an error is one line.
func FuzzProfile(f *testing.F) {
	f.Add([]byte("name: x\nrelease: \"14\"\nnodes: [{name: a, domain: b.c, role: publisher, ports: {http: 1}}]\nphones: [{mac: 64A0E71502CC, model: CP-7965G}]\n"))
	f.Add([]byte("release: 8.6\nnodes: [{name: a, domain: b}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProfile(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
	})
}
