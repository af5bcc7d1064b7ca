package portal

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
	"itlagent/testbench/portal/gate"
)

// said is what came of an action.
type said struct {
	Text string
	Bad  bool
}

// actionRoutes adds the pages that change the cluster.
func (s *Server) actionRoutes() {
	s.mux.HandleFunc("GET /login", s.page(s.loginForm))
	s.mux.HandleFunc("POST /login", s.login)
	s.mux.HandleFunc("GET /services", s.page(s.services))
	s.mux.HandleFunc("GET /regenerate/{node}/{unit}", s.page(s.confirm))
	s.mux.HandleFunc("GET /progress", s.page(s.progress))
	for pattern, do := range map[string]handler{
		"POST /regenerate/{node}/{unit}": s.regenerate, "POST /import": s.importTrust, "POST /services": s.serve, "POST /apply": s.apply,
	} {
		s.mux.HandleFunc(pattern, s.page(s.checked(do)))
	}
}

// checked lets nobody but the owner do something, and from our own pages alone.
func (s *Server) checked(do handler) handler {
	return func(r *http.Request) (*view, error) {
		switch err := s.o.Gate.Check(r, r.FormValue("csrf")); {
		case errors.Is(err, gate.ErrStranger):
			return nil, &problem{http.StatusUnauthorized, err.Error(), "Log in with the token that stands in the file that was named at the start."}
		case err != nil:
			return nil, &problem{http.StatusForbidden, err.Error(), "Load the page again, and use its form."}
		}
		return do(r)
	}
}

func (s *Server) loginForm(*http.Request) (*view, error) {
	return &view{template: "login", Title: "Log in", Body: said{}, objects: []any{struct{}{}}}, nil
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if s.o.Gate.Enter(w, r, r.PostFormValue("token")) {
		http.Redirect(w, r, "/services", http.StatusSeeOther)
		return
	}
	s.page(func(*http.Request) (*view, error) {
		return &view{template: "login", Title: "Log in", Body: said{"That is not the token.", true}, status: http.StatusUnauthorized, objects: []any{errorJSON{"wrong token", ""}}}, nil
	})(w, r)
}

// serviceLine is a service of a node, with its button.
type serviceLine struct {
	Node, Service, State, Fault string
}

type servicesBody struct {
	Said     *said
	Services []serviceLine
	Nodes    []string
	Recovery string // how ITLRecovery is kept
	Now      time.Time
}

func (s *Server) services(*http.Request) (*view, error) { return s.servicesAfter(nil), nil }

// servicesAfter is the page of services, with what came of an action above it.
func (s *Server) servicesAfter(done *said) *view {
	st := s.o.Cluster.State()
	b := servicesBody{Said: done, Now: st.Now()}
	var objects []any
	for _, n := range s.o.Cluster.Status() {
		objects = append(objects, n)
		b.Nodes = append(b.Nodes, n.Name)
		for _, service := range profile.Services() {
			short := profile.ShortName(service)
			if n.Services[short] == "started" || n.Services[short] == "stopped" {
				b.Services = append(b.Services, serviceLine{n.Name, string(service), n.Services[short], n.Faults[short]})
			}
		}
	}
	b.Recovery = reminder(st)
	return &view{template: "services", Title: "Services and resets", Nav: "services", Command: s.command("cluster", "status"), Body: b, objects: objects}
}

// reminder says what is to be backed up, or "".
func reminder(st *state.State) string {
	if st.Recovery() != nil && !st.RecoverySaved {
		return "ITLRecovery was not backed up: file get tftp " + state.P12Name + " on the publisher, or a backup with DRS, keeps it."
	}
	return ""
}

// did says what came of an operation: the words of the cluster, or what went right.
func did(err error, format string, args ...any) *said {
	if err != nil {
		return &said{err.Error(), true}
	}
	return &said{fmt.Sprintf(format, args...), false}
}

// serve restarts a service, resets phones, resets the ITL or moves the bench clock.
func (s *Server) serve(r *http.Request) (*view, error) {
	c := s.o.Cluster
	var done *said
	switch do := r.FormValue("do"); do {
	case "restart":
		node, name := r.FormValue("node"), r.FormValue("service")
		service, err := profile.FindService(name)
		if err == nil {
			err = c.Apply(operation.Service(node, service, operation.Restart))
		}
		done = did(err, "%s was restarted on %s.", service, node)
	case "reset":
		done = did(c.Apply(operation.ResetPhones("an administrator wanted it")), "All devices were told to reset.")
	case "itl-reset":
		done = did(c.Apply(operation.ResetITL(nil)), "The reset ITL file was generated successfully. Reset the phones, so that they fetch it; then restart Cisco Tftp on every node and reset them again.")
	case "clock":
		done = did(c.Apply(operation.Advance(operation.HoldTime)), "The bench clock was moved ahead by %v.", operation.HoldTime)
	default:
		return nil, &problem{http.StatusBadRequest, "invalid action " + printable.Clip(do, 40), "Use the buttons of the page."}
	}
	s.hub.tell()
	return s.servicesAfter(done), nil
}

type confirmBody struct {
	Node, Unit, Held, Recovery string
	Phones                     int
	Said                       *said
	Done                       bool
}

// confirm asks before a certificate is regenerated.
func (s *Server) confirm(r *http.Request) (*view, error) {
	n, c, err := s.nodeCertificate(r)
	if err != nil {
		return nil, err
	}
	b := confirmBody{Node: n.Name, Unit: string(c.Unit), Recovery: reminder(s.o.Cluster.State())}
	if err := operation.Held(s.o.Cluster.State(), n.Name, c.Unit); err != nil {
		b.Held = err.Error()
	}
	ros, _, err := s.source.now(r.Context())
	if err != nil {
		return nil, err
	}
	for list := range s.carriersOf(ros).lists(c.Certificate) {
		b.Phones += ros.Holding(list)
	}
	return s.confirmView(&b), nil
}

func (s *Server) confirmView(b *confirmBody) *view {
	return &view{template: "regenerate", Title: "Regenerate " + b.Unit + " of " + b.Node, Nav: "certificates", Command: s.command("admin", "--node", b.Node, "set", "cert", "regen", b.Unit), Body: b, objects: []any{b}}
}

func (s *Server) regenerate(r *http.Request) (*view, error) {
	n, c, err := s.nodeCertificate(r)
	if err != nil {
		return nil, err
	}
	if r.FormValue("confirm") != "yes" {
		return nil, &problem{http.StatusBadRequest, "not confirmed", "Tick the box that says so."}
	}
	b := confirmBody{Node: n.Name, Unit: string(c.Unit)}
	err = s.o.Cluster.Apply(operation.Regenerate(n.Name, c.Unit))
	b.Said, b.Done = did(err, "Successfully Regenerated Certificate for %s. You must restart services related to %s for the regenerated certificates to become active.", c.Unit, c.Unit), err == nil
	b.Recovery = reminder(s.o.Cluster.State())
	s.hub.tell()
	return s.confirmView(&b), nil
}

// importTrust puts a certificate into a trust store.
func (s *Server) importTrust(r *http.Request) (*view, error) {
	bad := func(what string) error {
		return &problem{http.StatusBadRequest, what + ". Nothing was changed.", "A certificate in PEM form is wanted, as the page of certificates has them."}
	}
	store := profile.Store(r.FormValue("store"))
	if !slices.Contains(profile.Stores(), store) {
		return nil, bad(printable.Clip(string(store), 60) + " is not a trust store")
	}
	f, _, err := r.FormFile("file")
	if err != nil {
		return nil, bad("no file came with the form")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRequest))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(block.Bytes) > pki.MaxDER {
		return nil, bad("This is not a certificate in PEM form")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, bad("This is not a certificate: " + err.Error())
	}
	err = s.o.Cluster.Apply(operation.Import(store, cert))
	s.hub.tell()
	return s.servicesAfter(did(err, "Import of trust certificate is successful: %s. You must restart Cisco Trust Verification Service on every node for it to become active.", strings.TrimSpace(printable.Clip(cert.Subject.CommonName, 80)))), nil
}
