package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
)

// page is asynqmon's one HTML page as we serve it.
type page struct {
	raw    []byte // as asynqmon renders it
	clean  []byte // without what would be fetched from elsewhere
	policy string
}

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	// manifestLink names a file that browsers fetch without the login.
	manifestLink = regexp.MustCompile(`<link rel="manifest"[^>]*>`)
	foreignLink  = regexp.MustCompile(`<link[^>]*href="(?:https?:)?//[^"]*"[^>]*/?>`)
)

// readPage asks asynqmon for its page and works out the policy under which it runs. The page is a template of the module
// and of our options, so it is the same for every request; the hashes of its inline scripts follow it through updates.
func readPage(inner http.Handler) (page, error) {
	w := httptest.NewRecorder()
	inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Root+"/", nil))
	raw := w.Body.Bytes()
	scripts := inlineScript.FindAllSubmatch(raw, -1)
	if w.Code != http.StatusOK || len(scripts) == 0 {
		return page{}, errors.New("dashboard: asynqmon's page is not as expected: it has no inline script")
	}
	allowed := "'self'"
	for _, script := range scripts {
		sum := sha256.Sum256(script[1])
		allowed += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return page{raw: raw, clean: manifestLink.ReplaceAll(foreignLink.ReplaceAll(raw, nil), nil), policy: strings.Join([]string{
		"default-src 'none'",
		"script-src " + allowed,
		// The page's style sheets are made by its scripts, element by element.
		"style-src 'self' 'unsafe-inline'",
		"img-src 'self' data:",
		"font-src 'self'",
		"connect-src 'self'",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")}, nil
}

// types are the content types of the page's files. asynqmon guesses them from the content, and takes an SVG for text,
// which no browser draws.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon",
	".js": "application/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json",
	".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

func (h *Handler) serveFile(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	h.inner.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if answer.Code != http.StatusOK {
		http.Error(w, http.StatusText(answer.Code), answer.Code)
		return
	}
	kind := types[path.Ext(r.URL.Path)]
	switch {
	case bytes.Equal(body, h.page.raw): // also for the paths that the page's script knows
		kind, body = types[".html"], h.page.clean
	case kind == "":
		kind = "application/octet-stream"
	case strings.HasPrefix(r.URL.Path, Root+"/static/"):
		w.Header().Set("Cache-Control", "private, max-age=3600") // the names hold a hash of the content
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}
