package portal

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/testbench/evidence"
	"itlagent/testbench/wording"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// view is what a page shows.
type view struct {
	template string // of templates, without its ending
	fragment string // a part of it that is asked for alone; "" for the page
	Title    string
	Nav      string // which entry of the menu it belongs to
	Command  string // that says the same in a terminal
	Body     any
	objects  []any  // as JSON, one a line
	raw      string // of JSON that was written already, in their place
	status   int    // of HTTP; 200 where 0

	// Set by page:
	Actions bool   // whoever looks may change the cluster
	CSRF    string // goes with each form that does
	JSON    string // where the same is as JSON
	Notes   []string
	Live    bool
	Name    string // of the cluster
}

// handler answers a request with a view, or an error that is shown as one.
type handler func(r *http.Request) (*view, error)

// problem is an error with what to do about it.
type problem struct {
	code       int
	what, todo string
}

func (p *problem) Error() string { return p.what }

func notFound(todo, format string, args ...any) error {
	return &problem{http.StatusNotFound, fmt.Sprintf(format, args...), todo}
}

// longest is how much of a text from outside is shown, in bytes.
const longest = 300

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	// Everything that comes from certificates, alarms and configurations goes through
	// text: html/template escapes what steers a browser, this what steers a reader.
	"text": func(v any) string { return printable.Clip(fmt.Sprint(v), longest) },
	"when": func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format("2006-01-02 15:04:05")
	},
	"day":    func(t time.Time) string { return t.UTC().Format("2006-01-02") },
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"dash":   func(s string) string { return orDash(s) },
	"phones": evidence.Count,
	"slice3": func(title, empty string, all []count) any {
		return struct {
			Title, Empty string
			Counts       []count
		}{title, empty, all}
	},
}).ParseFS(templateFiles, "templates/*.html"))

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// page answers with a handler's view: as HTML, or as JSON where it is asked for.
func (s *Server) page(show handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := show(r)
		if err != nil {
			v = s.failed(err)
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		if v.status == 0 {
			v.status = http.StatusOK
		}
		var out bytes.Buffer
		if r.URL.Query().Get("format") == "json" {
			out.WriteString(v.raw)
			for _, o := range v.objects {
				wording.JSON(&out, o)
			}
			h.Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(v.status)
			w.Write(out.Bytes())
			return
		}
		query := r.URL.Query()
		query.Set("format", "json")
		query.Del("fragment")
		v.JSON, v.Notes, v.Live = "?"+query.Encode(), s.o.Notes, s.o.Cluster != nil
		v.Name = s.name()
		if s.o.Gate != nil {
			v.Actions, v.CSRF = true, s.o.Gate.Form(r)
		}
		name := v.template + ".html"
		if v.fragment != "" {
			name = v.fragment
		}
		if err := templates.ExecuteTemplate(&out, name, v); err != nil {
			s.o.Logf("pages: %s: %v", r.URL.Path, err)
			http.Error(w, "the page could not be made", http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(v.status)
		w.Write(out.Bytes())
	}
}

// name says whose pages these are.
func (s *Server) name() string {
	if s.o.Cluster == nil {
		return "a saved audit"
	}
	return s.o.Cluster.State().Profile.Name
}

// errorJSON is what is printed of an error.
type errorJSON struct {
	Error string `json:"error"`
	Todo  string `json:"todo"`
}

// failed is the page that says what is wrong.
func (s *Server) failed(err error) *view {
	p := &problem{http.StatusInternalServerError, err.Error(), "The log of the program that serves these pages may say more."}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p):
	case errors.As(err, &tooLarge):
		p = &problem{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request has more than %d bytes", tooLarge.Limit), "Send less: a certificate has some 2,000."}
	case errors.Is(err, context.DeadlineExceeded):
		p = &problem{http.StatusServiceUnavailable, "it took too long", "Try again, or ask the command line, which waits longer."}
	}
	what := printable.Clip(p.what, longest)
	return &view{template: "failed", Title: http.StatusText(p.code), Body: errorJSON{what, p.todo}, objects: []any{errorJSON{what, p.todo}}, status: p.code}
}

func (s *Server) nothing(r *http.Request) (*view, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, &problem{http.StatusMethodNotAllowed, "these pages are read-only", "Start them with --actions to change the cluster from here."}
	}
	return nil, notFound("The menu leads to what there is.", "there is no page %s", printable.Clip(r.URL.Path, 100))
}

// command writes a command of the command line, for the cluster that is shown.
func (s *Server) command(words ...string) string {
	line := append([]string{"itlbench"}, words...)
	if s.o.Dir != "" && s.o.Cluster != nil {
		line = append(line, "--dir", s.o.Dir)
	}
	for i := range line {
		line[i] = quoted(line[i])
	}
	return strings.Join(line, " ")
}

// quoted quotes a word for a shell, where it needs that.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@+=,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := path.Clean(r.URL.Path)[1:]
	data, err := assetFiles.ReadFile(name)
	if err != nil {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	for ending, kind := range map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"} {
		if strings.HasSuffix(name, ending) {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
		}
	}
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// with returns the address of a page with other values in its query.
func with(query url.Values, pairs ...string) string {
	q := url.Values{}
	for k, v := range query {
		if k != "fragment" && k != "format" {
			q[k] = v
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return "?" + q.Encode()
}
