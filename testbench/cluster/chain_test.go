package cluster_test

import (
	"crypto/tls"
	"testing"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// Servers present what a CA has signed with its chain, once they were restarted, on every
// port that has TLS.
func TestChainPresented(t *testing.T) {
	c := startProfile(t, "11.5")
	pub := c.Publisher()
	units := map[string]profile.Unit{"tvs": profile.TVS, "tomcat": profile.Tomcat, "https": profile.CallManagerEC, "sips": profile.CallManager}
	if err := c.Apply(operation.SetMixedMode(true)); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(operation.Service(pub.Name(), profile.CallManagerService, operation.Restart)); err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		if err := c.Apply(operation.SignByCA(pub.Name(), u, false)); err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(operation.Advance(operation.HoldTime)); err != nil {
			t.Fatal(err)
		}
	}
	shown := func(port string) int {
		t.Helper()
		conn, err := tls.Dial("tcp", pub.Endpoint(port), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		chain := conn.ConnectionState().PeerCertificates
		for i := range chain[1:] {
			if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
				t.Errorf("%s: certificate %d: %v", port, i, err)
			}
		}
		return len(chain)
	}
	for port := range units {
		if n := shown(port); n != 1 {
			t.Errorf("%s presents %d certificates before its service was restarted", port, n)
		}
	}
	for _, service := range []profile.Service{profile.TVSService, profile.TomcatService, profile.TFTPService, profile.CallManagerService} {
		if err := c.Apply(operation.Service(pub.Name(), service, operation.Restart)); err != nil {
			t.Fatal(err)
		}
	}
	for port := range units {
		if n := shown(port); n != 2 {
			t.Errorf("%s presents %d certificates, not the CA's too", port, n)
		}
	}
}
