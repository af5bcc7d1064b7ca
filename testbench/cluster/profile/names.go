package profile

import (
	"fmt"
	"strings"
)

// Unit is a certificate of a node, in the words of `set cert regen`.
type Unit string

// The units of a node.
const (
	CallManager Unit = "CallManager"
	TVS         Unit = "TVS"
	CAPF        Unit = "CAPF"
	Tomcat      Unit = "tomcat"
	// CallManagerEC is the EC certificate that HTTPS on port 6971 presents.
	CallManagerEC Unit = "CallManager-ECDSA"
	// ITLRecovery of the publisher is the one that counts.
	ITLRecovery Unit = "ITLRecovery"
	// IPsec is of no use to phones: a node has the certificate only once it is
	// regenerated or imported.
	IPsec Unit = "ipsec"
)

// Trust returns the trust store of a unit, where the CAs are that sign for it.
func (u Unit) Trust() Store {
	if u == CallManagerEC {
		u = CallManager
	}
	return Store(string(u) + "-trust")
}

// FindUnit returns the unit among some whose name it is, whatever its case.
func FindUnit(among []Unit, name string) (Unit, bool) {
	for _, u := range among {
		if strings.EqualFold(string(u), name) {
			return u, true
		}
	}
	return "", false
}

// Service is a service of a node, by the name that administrators know.
type Service string

// The services.
const (
	TFTPService        Service = "Cisco Tftp" // TFTP, HTTP and HTTPS
	TVSService         Service = "Cisco Trust Verification Service"
	CallManagerService Service = "Cisco CallManager" // SIP
	TomcatService      Service = "Cisco Tomcat"      // an application server by HTTPS
)

// Services returns the services in the order in which they are listed.
func Services() []Service {
	return []Service{CallManagerService, TFTPService, TomcatService, TVSService}
}

// short are the names of services in files and on command lines.
var short = map[string]Service{"tftp": TFTPService, "tvs": TVSService, "sip": CallManagerService, "tomcat": TomcatService}

// FindService returns the service of a name, short ("tftp") or long.
func FindService(name string) (Service, error) {
	if s, ok := short[strings.ToLower(name)]; ok {
		return s, nil
	}
	for _, s := range Services() {
		if strings.EqualFold(name, string(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("no service %q; there are: tftp, tvs, sip, tomcat", name)
}

// ShortName returns the short name of a service, "tftp".
func ShortName(service Service) string {
	for name, s := range short {
		if s == service {
			return name
		}
	}
	return string(service)
}

// Store is a trust store for certificates from outside.
type Store string

// The trust stores.
const (
	CallManagerTrust Store = "CallManager-trust"
	PhoneSASTTrust   Store = "Phone-SAST-trust"
	TomcatTrust      Store = "tomcat-trust"
)

// Stores returns the trust stores.
func Stores() []Store {
	return []Store{CallManagerTrust, PhoneSASTTrust, TomcatTrust, TVS.Trust(), CAPF.Trust(), IPsec.Trust()}
}
