package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence"
	"itlagent/testbench/pki"
)

var roles = map[string]trustlist.Role{
	"sast": trustlist.SAST, "ccm": trustlist.CCM, "ccm+tftp": trustlist.CCMTFTP, "tftp": trustlist.TFTP,
	"capf": trustlist.CAPF, "app-server": trustlist.AppServer, "tvs": trustlist.TVS,
}

var digests = map[string]trustlist.Digest{"sha1": trustlist.SHA1, "sha256": trustlist.SHA256, "sha512": trustlist.SHA512}

// signerFlags are the flags that build and sign share.
type signerFlags struct {
	signer, key, digest, output *string
	time                        *int64
}

func addSignerFlags(f *pflag.FlagSet) signerFlags {
	return signerFlags{
		signer: f.String("signer", "", "`PEM` file with the signer's certificate and private key"),
		key:    f.String("key", "", "`FILE` with the signer's private key, where --signer has the certificate alone"),
		digest: f.String("digest", "sha1", "sha1, sha256 or sha512"),
		output: f.StringP("output", "o", "", "`FILE` to write"),
		time:   f.Int64("time", -1, "Unix `SECONDS` of the header's timestamp; now where left out"),
	}
}

// identity reads the signer's certificate and key, which may be in two files.
func (s signerFlags) identity() (*pki.Identity, error) {
	if *s.key == "" {
		return readIdentity(*s.signer, true)
	}
	id, err := readIdentity(*s.signer, false)
	if err != nil {
		return nil, err
	}
	data, err := evidence.ReadFile(*s.key)
	if err != nil {
		return nil, err
	}
	cert, err := id.PEM(false)
	if err == nil {
		id, err = pki.Load(append(cert, data...))
	}
	if err == nil && id.Key == nil {
		err = errors.New("no PRIVATE KEY block in PEM form")
	}
	if err == nil {
		err = id.Fits()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", *s.key, err)
	}
	return id, nil
}

// load reads the signer. The code counts only where it is not exitOK.
func (s signerFlags) load(e *env, name string) (key trustlist.SigningKey, d trustlist.Digest, at time.Time, code int) {
	d, ok := digests[strings.ToLower(strings.ReplaceAll(*s.digest, "-", ""))]
	if !ok {
		return key, d, at, e.usage("%s: unknown digest %q: sha1, sha256 or sha512", name, *s.digest)
	}
	if *s.signer == "" {
		return key, d, at, e.usage("%s: no --signer given", name)
	}
	id, err := s.identity()
	if err != nil {
		return key, d, at, e.fail(exitNo, "%v", err)
	}
	at = time.Now()
	if *s.time >= 0 {
		at = time.Unix(*s.time, 0)
	}
	return id.SigningKey(), d, at, exitOK
}

func runBuild(e *env, args []string) int {
	f := e.flags("build")
	s := addSignerFlags(f)
	records := f.StringArray("record", nil, "`ROLE=PEM` of a record, in order; ROLE is sast, ccm, ccm+tftp, tftp, capf, app-server, tvs or a number")
	name := f.String("name", "", "FILENAME of the list: `NAME` begins with itl or ctl and ends in .tlv; ITLFile.tlv or CTLFile.tlv where left out")
	whole := f.Bool("whole", false, "put whole certificates into TVS and CAPF records too, not their hashes")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	spec := trustlist.ListSpec{Kind: map[string]trustlist.Kind{"itl": trustlist.ITL, "ctl": trustlist.CTL}[strings.ToLower(f.Arg(0))]}
	if spec.Kind == 0 {
		return e.usage("build: %q is neither itl nor ctl", f.Arg(0))
	}
	if *s.output == "" {
		return e.usage("build: no -o FILE given")
	}
	if is, ok := kindOfName(*s.output); ok && is != spec.Kind {
		return e.usage("build: -o %s: that is the name of a file of kind %v, not %v", *s.output, is, spec.Kind)
	}
	spec.FileName = *name
	if len(*records) == 0 {
		return e.usage("build: no --record given")
	}
	key, digest, at, code := s.load(e, "build")
	if code != exitOK {
		return code
	}
	spec.Digest, spec.Time = digest, at
	if spec.Records, code = e.listRecords(*records, *whole); code != exitOK {
		return code
	}
	data, err := trustlist.BuildList(spec, key)
	if err != nil {
		return e.notMade(*s.output, *s.signer, err)
	}
	if err := writeOutput(*s.output, data); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	e.warnOfList(*s.output, spec.Kind, data)
	return exitOK
}

// listRecords reads what --record says of each record. The code counts only where it is
// not exitOK.
func (e *env) listRecords(flags []string, whole bool) (specs []trustlist.RecordSpec, code int) {
	for _, r := range flags {
		word, path, _ := strings.Cut(r, "=")
		role, err := parseRole(word)
		if err != nil || path == "" {
			return nil, e.usage("build: record %q is not ROLE=PEM with a known role", r)
		}
		id, err := readIdentity(path, false)
		if err != nil {
			return nil, e.fail(exitNo, "%v", err)
		}
		form := trustlist.Whole
		if (role == trustlist.TVS || role == trustlist.CAPF) && !whole {
			form = trustlist.Hashed
		}
		specs = append(specs, trustlist.RecordSpec{Role: role, Certificate: id.Certificate, Form: form})
	}
	return specs, exitOK
}

// warnOfList says what phones may dislike in a list that was made as ordered.
func (e *env) warnOfList(path string, kind trustlist.Kind, data []byte) {
	list, err := trustlist.Parse(kind, data)
	if err != nil {
		return
	}
	if _, err := list.CheckOwn(); err != nil {
		fmt.Fprintf(e.stderr, "itlbench: warning: %s: %v: a phone without lists will refuse it\n", path, err)
	}
	if n := trust.SASTRecords(list); n > trustlist.MaxSAST {
		fmt.Fprintf(e.stderr, "itlbench: warning: %s: %d SAST records: phones hold %d\n", path, n, trustlist.MaxSAST)
	}
}

// kindOfName tells the kind of files that have the name, where the name tells.
func kindOfName(path string) (trustlist.Kind, bool) {
	name := strings.ToLower(filepath.Base(path))
	switch {
	case strings.HasSuffix(name, ".enc.sgn"):
		return trustlist.ENC, true
	case strings.HasSuffix(name, ".sgn"):
		return trustlist.SGN, true
	case strings.HasSuffix(name, ".tlv") && strings.HasPrefix(name, "itl"):
		return trustlist.ITL, true
	case strings.HasSuffix(name, ".tlv") && strings.HasPrefix(name, "ctl"):
		return trustlist.CTL, true
	}
	return 0, false
}

func parseRole(word string) (trustlist.Role, error) {
	if r, ok := roles[strings.ToLower(word)]; ok {
		return r, nil
	}
	n, err := strconv.ParseUint(word, 10, 16)
	return trustlist.Role(n), err
}

func runSign(e *env, args []string) int {
	f := e.flags("sign")
	s := addSignerFlags(f)
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	path := f.Arg(0)
	if *s.output == "" {
		*s.output = path + ".sgn"
	}
	key, digest, at, code := s.load(e, "sign")
	if code != exitOK {
		return code
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() == 0 {
		return e.fail(exitNo, "%s: offset 0: the file is empty", path)
	}
	content, err := evidence.ReadFile(path)
	if err != nil {
		return e.fail(exitNo, "%v", err)
	}
	data, err := trustlist.SignFile(filepath.Base(path)+".sgn", content, digest, at, key)
	if err != nil {
		return e.notMade(*s.output, *s.signer, err)
	}
	if err := writeOutput(*s.output, data); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	return exitOK
}

// notMade reports why a file could not be made, under the name of what is at
// fault: its own where it would be too large or of the wrong kind, else the signer's.
func (e *env) notMade(output, signer string, err error) int {
	if errors.Is(err, trustlist.ErrTooLarge) || errors.Is(err, trustlist.ErrWrongFile) {
		return e.fail(exitNo, "%s: %v", output, err)
	}
	return e.fail(exitNo, "%s: %v", signer, err)
}
