package trustlist_test

import (
	"errors"
	"strings"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// A FILENAME that no phone asks for is not written.
func TestFileNames(t *testing.T) {
	id := pkitest.Identity(t, "pub.example.lab", pki.Service)
	for name, ok := range map[string]bool{
		"ITLFile.tlv": true, "ITL" + strings.Repeat("a", 121) + ".tlv": true, "ITL" + strings.Repeat("a", 122) + ".tlv": false,
		"ITL" + strings.Repeat("a", 300) + ".tlv": false, "ITL\x1b[2J.tlv": false, "ITL\n.tlv": false, "ITL a.tlv": false, "ITL\u202e.tlv": false, "ITL/../x.tlv": false,
	} {
		_, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.ITL, FileName: name, Time: pkitest.Time,
			Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: id.Certificate}}}, id.SigningKey())
		if ok && err != nil || !ok && !errors.Is(err, trustlist.ErrWrongFile) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
