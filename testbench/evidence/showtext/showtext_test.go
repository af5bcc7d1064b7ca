package showtext_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence/showtext"
	"itlagent/testbench/listing"
)

var made []*trustlist.File

// samples are lists of every built-in profile: ordinary, reset, blanked, CTLs. They are made
// once.
func samples(t testing.TB) (files []*trustlist.File) {
	t.Helper()
	if made != nil {
		return made
	}
	add := func(kind trustlist.Kind, data []byte) {
		f, err := trustlist.Parse(kind, data)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	for _, name := range profile.ProfileNames() {
		p, err := profile.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cluster.New(p, cluster.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, n := range c.Nodes() {
			add(trustlist.ITL, n.ITL())
		}
		if !c.State().Release().Recovery {
			continue
		}
		for _, op := range []operation.Operation{operation.ResetITL(nil), operation.SetMixedMode(true), operation.RestartTFTP(c.Publisher().Name()), operation.SetRollback(true),
			operation.RestartTFTP(c.Publisher().Name())} {
			if err := c.Apply(op); err != nil {
				t.Fatal(err)
			}
			add(trustlist.ITL, c.Publisher().ITL())
			if ctl := c.Publisher().State().CTL; ctl != nil {
				add(trustlist.CTL, ctl)
			}
		}
	}
	wild, err := os.ReadFile("../../../agent/trustlist/testdata/wild-itl.tlv")
	if err != nil {
		t.Fatal(err)
	}
	add(trustlist.ITL, wild)
	made = files
	return files
}

// textOf is what a text has of a list.
func textOf(f *trustlist.File) listing.File {
	data, err := json.Marshal(listing.Of(f, nil))
	if err != nil {
		panic(err)
	}
	var want listing.File
	if err := json.Unmarshal(data, &want); err != nil {
		panic(err)
	}
	want.Digest, want.FileName, want.Timestamp, want.Reason = "", "", 0, ""
	for i := range want.Records {
		r := &want.Records[i]
		r.NotBefore, r.NotAfter, r.IPAddress = 0, 0, ""
	}
	return want
}

// mangled is a text as it comes out of terminals and documents.
func mangled(text string) map[string]string {
	out := map[string]string{"as printed": text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n")}
	var columns strings.Builder
	for line := range strings.Lines(text) {
		words := strings.SplitN(strings.Replace(strings.TrimSuffix(line, "\n"), "HASH ALG", "HASH_ALG", 1), " ", 4)
		if len(words) > 2 && strings.Trim(words[0], "0123456789") == "" && strings.ToUpper(words[1]) == words[1] && len(words[1]) > 3 {
			line = strings.Join(words[:3], "\t   ")
			if len(words) > 3 {
				line += "      " + words[3]
			}
			line += "\n"
		}
		columns.WriteString(strings.Replace(line, "HASH_ALG", "HASH ALG", 1))
	}
	out["columns"] = columns.String()
	for _, width := range []int{40, 61, 80, 132} {
		var wrapped, paged strings.Builder
		for i, line := range strings.Split(text, "\n") {
			for len(line) > width {
				wrapped.WriteString(line[:width] + "\n")
				paged.WriteString(line[:width] + "\r\n")
				line = line[width:]
			}
			wrapped.WriteString(line + "\n")
			paged.WriteString(line + "\r\n")
			if i%11 == 10 {
				paged.WriteString("Press <enter> for 1 line, <space> for one page, or <q> to quit\r\nadmin:\r\n")
			}
		}
		out[fmt.Sprintf("wrapped at %d", width)] = wrapped.String()
		out[fmt.Sprintf("paged at %d", width)] = "admin:show itl\r\n" + paged.String()
	}
	return out
}

// What is printed of every list is read back, equal in all that a text has, whatever terminals
// did to it.
func TestReadsBack(t *testing.T) {
	files := samples(t)
	texts := 0
	for i, f := range files {
		var b, aligned bytes.Buffer
		yes := true
		listing.Write(&b, f, &yes)
		listing.Of(f, &yes).Write(&aligned, listing.Layout{Columns: true, Zone: time.FixedZone("PST", -8*3600)})
		want := textOf(f)
		all := mangled(b.String())
		for how, text := range mangled(aligned.String()) {
			all["aligned, "+how] = text
		}
		for how, text := range all {
			lists, err := showtext.Read([]byte(text))
			if err != nil || len(lists) != 1 {
				t.Fatalf("list %d, %s: %d lists, %v", i, how, len(lists), err)
			}
			l := lists[0]
			if !reflect.DeepEqual(l.File, want) {
				t.Fatalf("list %d, %s: %s\n%s", i, how, difference(l.File, want), text)
			}
			if !bytes.Equal(l.Signature, f.Signature) || l.Printed != "verified successfully" || len(l.Warnings) > 0 {
				t.Fatalf("list %d, %s: signature of %d bytes, %q, warnings %q", i, how, len(l.Signature), l.Printed, l.Warnings)
			}
			texts++
		}
	}
	t.Logf("%d lists in %d texts", len(files), texts)
	if len(files) < 50 {
		t.Errorf("only %d lists", len(files))
	}
}

// The note prints a name that is three characters too long, in two places of its first list
// and four of its second: each is named, and nothing else but a line that is missing.
func TestNote(t *testing.T) {
	data, err := os.ReadFile("testdata/note.txt")
	if err != nil {
		t.Fatal(err)
	}
	lists, err := showtext.Read(data)
	if err != nil || len(lists) != 2 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	lines := strings.Split(string(data), "\n")
	for i, want := range []struct {
		length, header, warnings, signature int
		signer, sha1                        string
	}{
		{5302, 324, 2, 128, "CN=test10pub.joemar2.lab;OU=tac;O=cisco;L=rtp;ST=nc;C=US", "9d7da73d16c1501b4d27dc1ed79211f390659982"},
		{5322, 344, 5, 0, "CN=ITLRECOVERY_test10pub.joemar2.lab;OU=tac;O=cisco;L=rtp;ST=nc;C=US", "3440f94f9252e243c99506b4bd33ea28ec654dab"},
	} {
		l := lists[i]
		if l.Length != want.length || l.HeaderLength != want.header || l.Signer.Name != want.signer || l.SHA1 != want.sha1 || len(l.Signature) != want.signature || len(l.Records) != 6 {
			t.Errorf("list %d: length %d, header %d, signer %s, %s, signature of %d, %d records", i, l.Length, l.HeaderLength, l.Signer.Name, l.SHA1, len(l.Signature), len(l.Records))
		}
		if len(l.Warnings) != want.warnings {
			t.Errorf("list %d: %d warnings, want %d: %q", i, len(l.Warnings), want.warnings, l.Warnings)
		}
		for _, w := range l.Warnings {
			if i == 1 && strings.Contains(w, "SIGNATURE of 128 bytes is printed with 120") {
				continue // the note lacks one of its lines
			}
			var n int
			fmt.Sscanf(w, "line %d:", &n)
			if n < 1 || n > len(lines) || !strings.Contains(strings.ReplaceAll(lines[n-1], `\_`, "_"), "66 CN=ITLRECOVERY_test10pub.joemar2.lab") || !strings.Contains(w, "68 characters, and its length of 66 allows 65") {
				t.Errorf("list %d: %q", i, w)
			}
		}
		signed := 0
		for j, r := range l.Records {
			if r.SignedThisFile {
				signed++
				if (i == 0) != (j == 0) || r.Serial != l.Signer.Serial {
					t.Errorf("list %d: record %d signed it", i, j+1)
				}
			}
		}
		if signed != 1 || l.Verified != nil || l.Printed != "verified successfully" {
			t.Errorf("list %d: signed by %d records, verified %v, %q", i, signed, l.Verified, l.Printed)
		}
		if h := l.Records[5].CertHash; h != "af288916f994e662a365c2883b94081c667c49c9" {
			t.Errorf("list %d: hash %s", i, h)
		}
	}
}

// A length that does not fit is named with its line, and the rest is used.
func TestLengths(t *testing.T) {
	f := samples(t)[0]
	var b bytes.Buffer
	listing.Write(&b, f, nil)
	text := b.String()
	for _, row := range []struct{ name, old, new, want string }{
		{"total", "Length of ITL file: 5302", "Length of ITL file: 5303", "line 5: the file says 5303 bytes, and header and records have 5302"},
		{"record", "1 RECORDLENGTH 2 439", "1 RECORDLENGTH 2 440", "record 3 says 440 bytes, and its elements have 439"},
		{"key", "7 PUBLICKEY 270", "7 PUBLICKEY 271", "record 6 says 713 bytes, and its elements have 714"},
		{"signer", "3 SIGNERID 2 139", "3 SIGNERID 2 138", "SIGNERID says 138 bytes, and what is in it has 139"},
		{"header", "HeaderLength: 324", "HeaderLength: 330", "the header says 330 bytes, and its elements have 323"},
		{"role", "4 FUNCTION 2 CAPF", "4 FUNCTION 2 CAFP", `no role "CAFP" is known`},
		{"number", "ITL Record #:4", "ITL Record #:5", "record 5 stands where record 4 was expected"},
	} {
		changed := strings.Replace(text, row.old, row.new, 1)
		if changed == text {
			t.Fatalf("%s: %q is not in the text", row.name, row.old)
		}
		lists, err := showtext.Read([]byte(changed))
		if err != nil || len(lists) != 1 {
			t.Fatalf("%s: %v", row.name, err)
		}
		if got := strings.Join(lists[0].Warnings, "\n"); !strings.Contains(got, row.want) || len(lists[0].Records) != len(f.Records) {
			t.Errorf("%s: %d records, warnings %q, want %q", row.name, len(lists[0].Records), got, row.want)
		}
	}
}

func TestNoList(t *testing.T) {
	for _, text := range []string{"", "admin:show itl\nLength of ITL file: 0\nITL File not found.\n", "nothing of the kind"} {
		if lists, err := showtext.Read([]byte(text)); err != showtext.ErrNone {
			t.Errorf("%q: %d lists, %v", text, len(lists), err)
		}
	}
	if _, err := showtext.Read(make([]byte, showtext.MaxSize+1)); err == nil || err == showtext.ErrNone {
		t.Errorf("a text that is too large: %v", err)
	}
}

// Whatever is read, what is written of it is bounded and reads as the same list.
func FuzzRead(f *testing.F) {
	note, err := os.ReadFile("testdata/note.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(note)
	f.Add([]byte("ITL Record #:1\n4 FUNCTION 2 TVS\n3 SUBJECTNAME 90 CN=a\nb\n9 CERTIFICATE 20 AA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := showtext.Read(data)
		if err != nil {
			return
		}
		for _, l := range lists {
			var b bytes.Buffer
			l.Write(&b)
			if b.Len() > 3*len(data)+2000+200*len(l.Records) {
				t.Fatalf("%d bytes from %d", b.Len(), len(data))
			}
			if strings.ContainsAny(b.String(), "\x1b\u202e") {
				t.Fatalf("raw text: %q", b.String())
			}
			if l.Verified != nil {
				t.Fatal("a text is no proof")
			}
		}
	})
}

// difference shows in which records or lines two descriptions differ.
func difference(got, want listing.File) string {
	for i := range want.Records {
		if i >= len(got.Records) || !reflect.DeepEqual(got.Records[i], want.Records[i]) {
			return fmt.Sprintf("record %d:\ngot  %+v\nwant %+v", i+1, got.Records[min(i, len(got.Records)-1)], want.Records[i])
		}
	}
	got.Records, want.Records = nil, nil
	return fmt.Sprintf("header:\ngot  %+v\nwant %+v", got, want)
}
