// Package phonelog reads what phones write about trust: console logs of the 78/88 and 79xx
// families, and status messages that people paste. It tells which step failed, which reason that
// corresponds to, and quotes the lines that prove it.
//
//	r, err := phonelog.Read(file, nil)
//	for _, f := range r.Findings { fmt.Println(f.Step, f.Reason, f.Todo) }
//
// A log is read line by line in constant memory; of each finding MaxQuotes lines are kept, the
// first ones and the last. Lines are clipped and made printable. Sources: traces of phones in
// Cisco's support notes, the catalogue of status messages in administration guides.
package phonelog

import (
	"bufio"
	"io"
	"regexp"
	"strings"

	"itlagent/agent/printable"
	"itlagent/agent/trust"
)

// Limits.
const (
	MaxQuotes = 6
	maxLine   = 8 << 10 // bytes; what is longer is cut
	maxQuote  = 300     // bytes
)

// Quote is a line that proves something.
type Quote struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Finding is one thing that a log tells.
type Finding struct {
	Step   string       `json:"step"`   // of a boot: lists, configuration, TVS, network
	Fault  bool         `json:"fault"`  // it is what went wrong, not what went right
	Reason trust.Reason `json:"-"`      // that it corresponds to, in this project's words
	What   string       `json:"what"`   // what the lines say
	Todo   string       `json:"todo"`   // "" where nothing is to be done
	Count  int          `json:"count"`  // lines
	Quotes []Quote      `json:"quotes"` // some of them
	last   int
}

// Log is what was read.
type Log struct {
	Lines    int
	Findings []Finding // those that went wrong first, in the order of the boot
}

// rule is what a line means.
type rule struct {
	pattern    *regexp.Regexp
	step, what string
	fault      bool
	reason     trust.Reason
	todo       string
}

func bad(pattern, step string, reason trust.Reason, what, todo string) rule {
	return rule{regexp.MustCompile(`(?i)` + pattern), step, what, true, reason, todo}
}

func good(pattern, step, what string) rule {
	return rule{regexp.MustCompile(`(?i)` + pattern), step, what, false, trust.Accepted, ""}
}

// rules are tried in order: the first that fits a line counts.
var rules = append(own(), known...)

// ownMark stands in every line that own has a rule for.
const ownMark = ": rejected: "

// own are what this project's phones log of a file that they reject.
func own() (rules []rule) {
	steps := map[trust.Reason]string{trust.TVSUnreachable: "TVS", trust.TVSUntrusted: "TVS", trust.TVSInvalid: "TVS", trust.TVSMismatch: "TVS", trust.TVSBadAnswer: "TVS", trust.TVSHungUp: "TVS"}
	for _, r := range trust.Reasons()[1:] {
		step := steps[r]
		if step == "" {
			step = "lists"
		}
		rules = append(rules, bad(ownMark+r.String()+`:`, step, r, r.Text(), r.Advice()))
	}
	return rules
}

var known = []rule{
	bad(`trust list update failed, verification failure`, "lists", trust.UnknownSigner, "the new list is signed by somebody whom the phone does not trust, or its signature does not verify",
		"itlbench explain with the list that the phone holds and the one that is served says who; utils itl reset localkey is tried first"),
	bad(`trust list update failed`, "lists", trust.UnknownSigner, "the phone has lists and could not replace them: network, TFTP, a signer that its lists do not know, or an internal failure",
		"see whether TVS answers; then itlbench explain with both lists"),
	bad(`CTL update failed`, "lists", trust.Malformed, "the CTL could not be updated: something is wrong with the CTL file on the TFTP server", "itlbench show CTLFile.tlv; utils ctl update CTLFile"),
	bad(`authenticated fail\. *Reason:14|invalid file .*authenticated fail`, "configuration", trust.UnknownSigner, "the signed configuration did not verify against the lists that the phone holds (89xx: Reason:14)",
		"the phone holds a list without the present CallManager certificate: itlbench explain with both lists"),
	bad(`file auth error`, "configuration", trust.UnknownSigner, "a signed file failed its authentication", "the phone holds a list without the present CallManager certificate: itlbench explain with both lists"),
	bad(`errcode *[:=]? *19\b`, "TVS", trust.TVSUnreachable, "no server could be connected to (errcode 19)", "see that TVS runs on the nodes of the phone's device pool, and that tcp 2445 is open to them"),
	bad(`SSL3 alert read:fatal|SSL handshake failed|SSL CLNT ERR|alert read:fatal:handshake failure`, "TVS", trust.TVSUntrusted, "the TLS connection to TVS failed: the certificate that TVS shows is not in the phone's ITL, or the two have no cipher in common",
		"the TVS certificate was regenerated: utils itl reset localkey, if the phone's list has ITLRecovery"),
	bad(`returning validation result = 0|certificate is (?:not valid|invalid)`, "TVS", trust.TVSUntrusted, "the certificate that TVS shows is not in the phone's ITL as TVS",
		"the TVS certificate was regenerated: utils itl reset localkey, if the phone's list has ITLRecovery"),
	bad(`Authentication Response received, status *: *[1-9]`, "TVS", trust.TVSInvalid, "TVS answered that it does not know the certificate", "import the signer's certificate into Phone-SAST-trust, and restart TVS"),
	bad(`hashes (?:do not|don'?t) match|authentication failed`, "lists", trust.BadSignature, "the signature of a file does not fit its bytes", "compare the file as it is served with show itl"),
	bad(`TFTP error *: *\S*\.cnf\.xml`, "configuration", trust.DownloadFailed, "the configuration could not be fetched, or its signature did not verify (79xx does not tell which)", "fetch it by hand; itlbench verify --installed with the phone's list"),
	bad(`TFTP error *: *download \S*\.tlv fail`, "lists", trust.DownloadFailed, "a list could not be fetched", "see that TFTP runs, and that tcp 6970 and udp 69 are open"),
	bad(`TFTP timeout|TFTP access error|tftp error`, "network", trust.DownloadFailed, "TFTP did not answer", "see that TFTP runs, and that tcp 6970 and udp 69 are open"),
	bad(`HTTPS cert not in CTL`, "services", trust.UnknownSigner, "the certificate of an HTTPS service is in no list of the phone: TVS is asked", ""),
	bad(`no CTL, assume TFTP NONSECURE|no trust list installed`, "lists", trust.NotFound, "the phone holds no list: it takes the first one that it is served", ""),
	good(`TL file verified successfully|TL file updated|updateFromFile: .*CTL_SUCCESS`, "lists", "a list was verified and installed"),
	good(`trust list updated|CTL and ITL installed|[CI]TL installed`, "lists", "a list was installed"),
	good(`hashes match\.* *authentication successful`, "lists", "a signature verified"),
	good(`TVS added cert to TVS cache`, "TVS", "TVS vouched for a certificate"),
	good(`Handshake successful|Successfully obtained a TLS connection to the TVS`, "TVS", "TVS was reached, and its certificate is in the phone's list"),
	good(`Authentication Response received, status *: *0`, "TVS", "TVS knows the certificate that it was asked about"),
	good(`erasing CTL and ITL`, "lists", "the lists were deleted by hand"),
}

// Read reads a log to its end. progress, if not nil, is told of bytes as they are read.
func Read(in io.Reader, progress func(int)) (*Log, error) {
	log := &Log{}
	found := make(map[int]*Finding)
	r := bufio.NewReaderSize(in, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		n := len(line)
		text := string(line)
		for err == bufio.ErrBufferFull { // the rest of a long line is passed over
			line, err = r.ReadSlice('\n')
			n += len(line)
		}
		if progress != nil {
			progress(n)
		}
		if n > 0 {
			log.Lines++
			log.line(found, strings.TrimSpace(text))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	for _, fault := range []bool{true, false} {
		for i := range rules {
			if f := found[i]; f != nil && f.Fault == fault {
				log.Findings = append(log.Findings, *f)
			}
		}
	}
	return log, nil
}

func (l *Log) line(found map[int]*Finding, text string) {
	for i := range rules {
		rule := &rules[i]
		if i < len(rules)-len(known) && !strings.Contains(text, ownMark) || !rule.pattern.MatchString(text) {
			continue
		}
		f := found[i]
		if f == nil {
			f = &Finding{Step: rule.step, Fault: rule.fault, Reason: rule.reason, What: rule.what, Todo: rule.todo}
			found[i] = f
		}
		f.Count++
		f.last = l.Lines
		q := Quote{l.Lines, printable.Clip(text, maxQuote)}
		if len(f.Quotes) < MaxQuotes {
			f.Quotes = append(f.Quotes, q)
		} else {
			f.Quotes[MaxQuotes-1] = q // the first ones, and the last
		}
		return
	}
}

// Fault returns the finding that tells best what went wrong last, nil where nothing did: a reason
// that is more exact than "the update failed" goes first.
func (l *Log) Fault() *Finding {
	var best, general *Finding
	healed := 0
	for i := range l.Findings {
		if f := &l.Findings[i]; !f.Fault && f.Step == "lists" {
			healed = max(healed, f.last)
		}
	}
	for i := range l.Findings {
		f := &l.Findings[i]
		switch {
		case !f.Fault || f.Todo == "" || f.last < healed && f.Step != "configuration":
		case strings.HasPrefix(f.What, "the phone has lists and could not replace"):
			general = f
		case best == nil:
			best = f
		}
	}
	if best == nil {
		return general
	}
	return best
}
