package api

import (
	"bytes"
	"context"
	_ "embed" // the template of the documentation
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kycq/kycq/internal/redisx"
)

// publicPaths need no key. Their answers hold neither ids nor personal data nor secrets.
var publicPaths = []string{"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}

func isPublic(r *http.Request) bool {
	_, known := problems[strings.TrimPrefix(r.URL.Path, problemsPath)]
	return slices.Contains(publicPaths, r.URL.Path) || known && strings.HasPrefix(r.URL.Path, problemsPath)
}

const (
	unroutedPattern = "/"
	// readyTimeout is less than the default timeout of a Kubernetes probe (1 s).
	readyTimeout = 900 * time.Millisecond
)

// registerPages adds everything but the operations.
func (a *API) registerPages() error {
	// An outage of S3 or Redis must not restart the servers.
	a.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive") })
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.Handle("GET /metrics", a.metrics.handler())
	a.mux.HandleFunc(unroutedPattern, a.unrouted)
	for code, k := range problems {
		text := fmt.Sprintf("%s (%d %s)\n\n%s: %s", code, k.status, http.StatusText(k.status), k.title, k.detail)
		a.mux.HandleFunc("GET "+problemsPath+code, func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, text) })
	}
	described, err := Describe(a)
	if err != nil {
		return err
	}
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { send(w, jsonType, described) })
	page, err := a.documentation()
	if err != nil {
		return err
	}
	a.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
		send(w, "text/html; charset=utf-8", page)
	})
	return nil
}

// Describe returns the OpenAPI description.
func Describe(a *API) ([]byte, error) {
	text, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	return append(text, '\n'), nil
}

func send(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(body)
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	if a.draining() {
		plain(w, http.StatusServiceUnavailable, "draining: the server is shutting down")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if reason := redisx.NotReady(ctx, a.cfg.Redis); reason != "" {
		plain(w, http.StatusServiceUnavailable, reason)
		return
	}
	plain(w, http.StatusOK, "ready")
}

//go:embed docs.html
var docsTemplate string

// documented is an operation on the page of the documentation.
type documented struct {
	*huma.Operation
	Bodies    []content
	Responses []response
}

// content is a body. Its fields are listed beside it unless its schema has a section of its own.
type content struct {
	Type, Schema string
	Fields       map[string]*huma.Schema
	Required     map[string]bool
}

type response struct {
	Status, Text string
	Content      []content
}

// documentation returns the page at /docs. It is made here, so that it needs neither scripts nor a network.
func (a *API) documentation() ([]byte, error) {
	described := a.huma.OpenAPI()
	var operations []documented
	for _, path := range slices.Sorted(maps.Keys(described.Paths)) {
		for _, op := range []*huma.Operation{described.Paths[path].Get, described.Paths[path].Post} {
			if op == nil {
				continue
			}
			d := documented{Operation: op}
			if op.RequestBody != nil {
				d.Bodies = contents(op.RequestBody.Content)
			}
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				r := op.Responses[status]
				d.Responses = append(d.Responses, response{status, r.Description, contents(r.Content)})
			}
			operations = append(operations, d)
		}
	}
	page, err := template.New("docs").Funcs(template.FuncMap{
		"typeOf": typeName, "marked": marked, "problems": func() map[string]kindOfProblem { return problems },
	}).Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("documentation: %w", err)
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{
		"Info": described.Info, "Operations": operations, "Schemas": described.Components.Schemas.Map(),
	})
	if err != nil {
		return nil, fmt.Errorf("documentation: %w", err)
	}
	return out.Bytes(), nil
}

func contents(of map[string]*huma.MediaType) []content {
	var list []content
	for _, name := range slices.Sorted(maps.Keys(of)) {
		c := content{Type: name}
		if s := of[name].Schema; s != nil {
			c.Schema, c.Fields, c.Required = schemaName(s), s.Properties, map[string]bool{}
			for _, field := range s.Required {
				c.Required[field] = true
			}
		}
		list = append(list, c)
	}
	return list
}

var inCode = regexp.MustCompile("`([^`]*)`")

// marked is a text whose words between backticks are code.
func marked(text string) template.HTML {
	return template.HTML(inCode.ReplaceAllString(template.HTMLEscapeString(text), "<code>$1</code>")) //nolint:gosec // the text is escaped
}

// schemaName is the name of a schema with a section of its own, else "".
func schemaName(s *huma.Schema) string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

// typeName describes the type of a value, for people.
func typeName(s *huma.Schema) string {
	name := s.Type
	switch {
	case s.Ref != "":
		return schemaName(s)
	case s.Type == huma.TypeArray && s.Items != nil:
		return "list of " + typeName(s.Items)
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, word := range s.Enum {
			words[i] = fmt.Sprint(word)
		}
		return strings.Join(words, ", ")
	case s.Format != "":
		name += " (" + s.Format + ")"
	}
	return name
}

// Status is the status of the problem.
func (k kindOfProblem) Status() int { return k.status }

// Detail says what to do.
func (k kindOfProblem) Detail() string { return k.detail }
