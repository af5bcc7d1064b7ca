package trustlist_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/rand/v2"
	"testing"

	"itlagent/agent/trustlist"
)

// A list prints the six known attributes in one order, whatever theirs is in the
// certificate; others stand behind.
func TestNameOrder(t *testing.T) {
	part := func(id asn1.ObjectIdentifier, value string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: id, Value: value}
	}
	at := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, n} }
	names := []pkix.AttributeTypeAndValue{part(at(6), "PL"), part(at(10), "Cisco"), part(at(11), "TAC"), part(at(3), "pub"), part(at(8), "Malopolska"), part(at(7), "Krakow")}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		if got := trustlist.FormatName(pkix.Name{Names: names}); got != "CN=pub;OU=TAC;O=Cisco;L=Krakow;ST=Malopolska;C=PL" {
			t.Fatalf("%v: %s", names, got)
		}
	}
	more := []pkix.AttributeTypeAndValue{part(at(3), "pub"), part(at(5), "77"), part(at(11), "one"), part(asn1.ObjectIdentifier{1, 2, 3}, "x"), part(at(11), "two"), part(at(6), "PL")}
	if got := trustlist.FormatName(pkix.Name{Names: more}); got != "CN=pub;OU=two;OU=one;C=PL;1.2.3=x;serialNumber=77" {
		t.Errorf("with others: %s", got)
	}
}
