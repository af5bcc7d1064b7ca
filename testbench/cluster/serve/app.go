package serve

import (
	"crypto/tls"
	"io"
	"net/http"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// startTomcat starts an application server: what a phone's directory or services
// button would reach.
func (n *Node) startTomcat(r *running) error {
	l, err := n.listen(r, "tomcat")
	if err != nil {
		return err
	}
	n.web(r, l, func(w http.ResponseWriter, req *http.Request) {
		if n.Node().Fault(profile.TomcatService).Kind == "pause" {
			r.wait(req.Context().Done(), held)
			panic(http.ErrAbortHandler)
		}
		if refuse(w, req) {
			return
		}
		if req.URL.Path != state.DirectoryPath {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, "<CiscoIPPhoneMenu>\n<Title>Directories</Title>\n</CiscoIPPhoneMenu>\n")
	}, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := n.appCertificate()
		return &cert, err
	}})
	return nil
}

// appCertificate returns what the application server presents.
func (n *Node) appCertificate() (tls.Certificate, error) {
	if n.Node().Fault(profile.TomcatService).Kind != "foreign" {
		return n.Node().App.TLS(), nil
	}
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: n.Node().FQDN()}, EC: true, From: n.Node().State().Now()})
	if err != nil {
		return tls.Certificate{}, err
	}
	return id.TLS(), nil
}
