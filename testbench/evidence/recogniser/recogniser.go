// Package recogniser tells what a file is that somebody has of a cluster or a phone, by its
// bytes and not by its name.
//
//	items, err := recogniser.Collect([]string{"from-customer.zip", "itl.txt"}, os.Stdin, recogniser.Limits{})
//	for _, it := range items { fmt.Println(it.Name, it.Kind, it.About) }
//
// Directories, .zip, .tar and .tar.gz are taken whole, archives in archives too, to a depth of
// MaxDepth. What is bounded, by Limits: the files, their bytes, unpacked, and the bytes of one
// that must be read whole. Logs and captures are not read: Open reads them, as often as wanted
// but from standard input. What is not known has the kind Unknown, and About says what it looks
// like; nothing is an error but what cannot be read. Collect is not safe for concurrent use of
// one standard input.
package recogniser

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
	"itlagent/testbench/evidence/showtext"
)

// Kind is what a file is.
type Kind string

// The kinds.
const (
	TrustFile     Kind = "trust-file"    // ITL, CTL, .sgn, .enc.sgn
	ListText      Kind = "list-text"     // what show itl or show ctl prints
	Certificates  Kind = "certificates"  // PEM or DER, one or a chain
	PKCS12        Kind = "pkcs12"        // a key store, such as ITLRecovery.p12
	PrivateKey    Kind = "private-key"   // PEM without a certificate; never shown
	Configuration Kind = "configuration" // of a phone: <device> or <Default>
	CertListText  Kind = "cert-list"     // what show cert list prints
	VersionText   Kind = "version-text"  // what show version active prints
	ServiceText   Kind = "service-text"  // what utils service list prints
	Page          Kind = "phone-page"    // HTML or XML
	AlarmLog      Kind = "alarm-log"     // application log or syslog
	ConsoleLog    Kind = "console-log"   // of a phone, and pasted status messages
	Capture       Kind = "capture"       // pcap, pcapng
	VaultImage    Kind = "vault-image"   // a phone's flash
	Phones        Kind = "phones"        // CSV of RIS or AXL
	Audit         Kind = "audit"         // what audit --json writes
	Empty         Kind = "empty"
	Unknown       Kind = "unknown"
)

// Limits bound what is read; a zero takes the default.
type Limits struct {
	Files int   // in directories and archives; 10,000
	Total int64 // bytes of what is read into memory, unpacked; 512 MiB
	One   int64 // bytes of one file that is read whole; 256 MiB, of a pipe or a device 32 MiB
}

// MaxDepth is how deep archives may stand in each other, and directories.
const MaxDepth = 8

const (
	defaultFiles = 10_000
	defaultTotal = 512 << 20
	defaultOne   = 256 << 20
	maxPipe      = 32 << 20 // bytes of what has no size: a buffer that grows takes several times as much
	headSize     = 64 << 10 // bytes that tell the kind
)

// ErrLimit says that there is more than is read.
var ErrLimit = errors.New("more than is read")

// Item is one file.
type Item struct {
	Name  string // its path; of what is in an archive, behind the archive's own
	Kind  Kind
	About string // in a line, what it is or looks like
	Err   error  // it is damaged: what it looks like could not be read

	// Of what is read whole:
	Data         []byte
	File         *trustlist.File     // TrustFile
	Lists        []*showtext.List    // ListText
	Certificates []*x509.Certificate // Certificates
	Settings     settings.Settings   // Configuration
	open         func() (io.ReadCloser, error)
}

// Open reads a file from its beginning, unpacked. Standard input can be opened once.
func (it *Item) Open() (io.ReadCloser, error) {
	if it.open != nil {
		return it.open()
	}
	return io.NopCloser(bytes.NewReader(it.Data)), nil
}

// Stdin is the path of standard input.
const Stdin = "-"

// Collect recognises files, what is in directories and archives, and, of the path Stdin, what is
// on standard input. An error wraps ErrLimit where there is more than the limits say.
func Collect(paths []string, stdin io.Reader, l Limits) ([]*Item, error) {
	for _, d := range []struct {
		of   *int64
		with int64
	}{{&l.Total, defaultTotal}, {&l.One, defaultOne}} {
		if *d.of == 0 {
			*d.of = d.with
		}
	}
	if l.Files == 0 {
		l.Files = defaultFiles
	}
	c := &collector{limits: l}
	for _, path := range paths {
		var err error
		if path == Stdin {
			err = c.stream(Stdin, stdin, nil, 0)
		} else {
			err = c.path(path, 0)
		}
		if err != nil {
			return c.items, err
		}
	}
	return c.items, nil
}

// Recognise tells what bytes are, under a name that errors and archives have.
func Recognise(name string, data []byte) *Item {
	head := data[:min(len(data), headSize)]
	if kind, about := streamed(head); kind != "" {
		return &Item{Name: name, Kind: kind, About: about, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	}
	it := &Item{Name: name, Data: data}
	it.recognise(head)
	return it
}

// collector is what was collected so far.
type collector struct {
	limits Limits
	items  []*Item
	files  int
	total  int64
}

func (c *collector) limit(name, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", name, ErrLimit, fmt.Sprintf(format, args...))
}

// count counts a file.
func (c *collector) count(name string) error {
	if c.files++; c.files > c.limits.Files {
		return c.limit(name, "at most %d files", c.limits.Files)
	}
	return nil
}

// whole reads a file of at most one bytes.
func (c *collector) whole(name string, one int64, in io.Reader) ([]byte, error) {
	most := min(one, c.limits.Total-c.total)
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, plain(err))
	}
	if int64(len(data)) > most {
		return nil, c.limit(name, "%d bytes of one file, %d of all", one, c.limits.Total)
	}
	c.total += int64(len(data))
	return data, nil
}

// plain takes the system call's name off an error.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// stream recognises what a reader gives. again opens it from its beginning; nil where that
// cannot be.
func (c *collector) stream(name string, in io.Reader, again func() (io.ReadCloser, error), depth int) error {
	if err := c.count(name); err != nil {
		return err
	}
	buf := bufio.NewReaderSize(in, headSize)
	head, err := buf.Peek(headSize)
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return fmt.Errorf("%s: %w", name, plain(err))
	}
	one := c.limits.One
	if again == nil {
		one = min(one, maxPipe)
		again = func() (io.ReadCloser, error) { return io.NopCloser(buf), nil }
	}
	if packed(head) && depth < MaxDepth {
		return c.unpack(name, head, buf, again, depth)
	}
	it := &Item{Name: name}
	if kind, about := streamed(head); kind != "" {
		it.Kind, it.About, it.open = kind, about, again
		c.items = append(c.items, it)
		return nil
	}
	data, err := c.whole(name, one, buf)
	if err != nil {
		return err
	}
	it.Data = data
	if filestore.Encoded(data) { // out of the directory of a phone's state
		if _, it.Data, it.Err = filestore.Decode(data); it.Err != nil {
			it.Kind, it.About, it.Err = Unknown, "a value of a phone's state, damaged", fmt.Errorf("offset 0: %w", it.Err)
			it.Data = data
			c.items = append(c.items, it)
			return nil
		}
	}
	it.recognise(it.Data[:min(len(it.Data), headSize)])
	c.items = append(c.items, it)
	return nil
}

// gunzip returns what opens a gzip's content.
func gunzip(open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			f.Close()
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{z, f}, nil
	}
}
