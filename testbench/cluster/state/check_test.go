package state_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"itlagent/agent/tvs"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// full returns a state in which everything that a state may have is there.
func full(t *testing.T) *state.State {
	t.Helper()
	p, err := profile.Builtin("11.5")
	if err != nil {
		t.Fatal(err)
	}
	p.Bits = map[profile.Unit]int{profile.CallManager: 1024, profile.TVS: 1024, profile.CAPF: 1024, profile.Tomcat: 1024, profile.ITLRecovery: 1024}
	s, err := operation.Install(p, true)
	if err != nil {
		t.Fatal(err)
	}
	s.Record(nil)
	stranger := pkitest.Identity(t, "elsewhere", pki.Service).Certificate
	for _, op := range []operation.Operation{
		operation.SetMixedMode(true), operation.RestartTFTP("test10pub"), operation.Import(profile.PhoneSASTTrust, stranger),
		operation.RestartTVS("test10pub"), operation.Encrypt(p.Phones[0].MAC, stranger), operation.RememberHost("192.0.2.1:22", []byte("key")),
		operation.Set(p.Phones[0].MAC, "webAccess", "0"), operation.SetFault("test10sub", profile.TFTPService, "busy"), operation.SetPort(0, "http", 6970),
		operation.Regenerate("test10sub", profile.CAPF), operation.Service("test10sub", profile.TomcatService, operation.Stop),
	} {
		next := s.Clone()
		if err := op(next); err != nil {
			t.Fatal(err)
		}
		next.Record(s)
		s = next
	}
	return s
}

// use does what services and commands do with a state, but for making keys.
func use(s *state.State) {
	s.Now()
	s.Trusted()
	s.Foreign()
	s.Lists()
	for _, n := range s.Nodes {
		n.Certificates()
		n.RecoveryP12()
		for _, name := range append(n.TFTPFiles(), "CTLFile.tlv", "SEP64A0E71502CC.cnf.xml.enc.sgn") {
			n.File(name, false)
			n.TFTPFile(name)
		}
		n.AnswerTVS(&tvs.Message{Type: tvs.CertVerificationReq, Device: "SEP64A0E71502CC", Certificate: []byte{1}})
		for _, service := range profile.Services() {
			n.Fault(service)
		}
		n.Signer.SigningKey()
		n.App.TLS()
		n.Vouching.TLS()
	}
	for _, op := range []operation.Operation{
		operation.RestartTFTP(s.Nodes[0].Name), operation.RestartTVS(s.Nodes[1].Name), operation.ResetITL(nil), operation.ResetCTL(), operation.UpdateCTL(),
		operation.SetFault(s.Nodes[0].Name, profile.TVSService, "close"), operation.SetPort(1, "sip", 5060), operation.Advance(48 * 3600e9),
		operation.Set("64A0E71502CC", "webAccess", "1"), operation.RememberHost("192.0.2.2:22", nil), operation.Unbind(),
	} {
		op(s.Clone())
	}
}

// sealed puts the right hash over a state.
func sealed(t *testing.T, body any) []byte {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return fmt.Appendf(nil, `{"format":1,"sha256":%q,"state":%s}`, hex.EncodeToString(sum[:]), b)
}

// A file with a right hash and any one part missing or empty is refused with the path
// of the part, or is one that can be worked with: nothing panics.
func TestMissingParts(t *testing.T) {
	whole, err := full(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ State any }
	if err := json.Unmarshal(whole, &file); err != nil {
		t.Fatal(err)
	}
	refused := make(map[string]string)
	parts := 0
	try := func(path string) {
		parts++
		s, err := state.Decode(sealed(t, file.State))
		if err == nil {
			use(s)
			return
		}
		if !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%s: %v, want %v", path, err, state.ErrDamaged)
		}
		refused[path] = err.Error()
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		for _, other := range []any{nil, map[string]any{}} {
			set(other)
			try(fmt.Sprintf("%s=%v", path, other))
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(path+"."+k, inner, func(x any) { v[k] = x })
			}
		case []any:
			for i, inner := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), inner, func(x any) { v[i] = x })
			}
		}
	}
	root := file.State
	walk("", root, func(x any) { file.State = x })
	t.Logf("%d parts, %d refused", parts, len(refused))
	if parts < 200 {
		t.Errorf("only %d parts", parts)
	}
	for path, want := range map[string]string{
		".Nodes=<nil>":                       "Nodes: 0, the profile has 2",
		".Nodes[1]=<nil>":                    "Nodes[1]: it is missing",
		".Nodes[0].Units.TVS=<nil>":          "Nodes[0]: Units[TVS]: it is missing",
		".Nodes[0].Signer=<nil>":             "Nodes[0]: Signer: it is missing",
		".Nodes[0].Web=<nil>":                "Nodes[0]: Web: it is missing",
		".Nodes[0].Stores[0].Identity=<nil>": "Nodes[0]: Stores: [0].Identity: it is missing",
		".Nodes[0].Ports=<nil>":              "Nodes[0]: Ports: it is missing",
		".Nodes[0].ITL=<nil>":                "Nodes[0]: ITL: ",
		".Nodes[1].HostKey=<nil>":            "Nodes[1]: HostKey: ",
		".Imported[0].Identity=<nil>":        "Imported: [0].Identity: it is missing",
		".Imported[0].Store=<nil>":           `Imported: [0].Store: no store ""`,
		".Phones[0].Settings=<nil>":          "Phones: [0].Settings: it is missing",
		".History[0].Kind=<nil>":             "History[0].Kind: ",
		".AdminPassword=<nil>":               "AdminPassword: it is missing",
		".SecurityPassword=<nil>":            "SecurityPassword: it is missing",
		".RecoveryP12=<nil>":                 "RecoveryP12: it is missing",
	} {
		if !strings.Contains(refused[path], want) {
			t.Errorf("%s: %q, want %q", path, refused[path], want)
		}
	}
}
