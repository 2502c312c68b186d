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

// page is asynqmon's HTML page.
type page struct {
	raw    []byte // as rendered by asynqmon
	clean  []byte // without links to other hosts
	policy string
}

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	// manifestLink names a file that browsers fetch without credentials.
	manifestLink = regexp.MustCompile(`<link rel="manifest"[^>]*>`)
	foreignLink  = regexp.MustCompile(`<link[^>]*href="(?:https?:)?//[^"]*"[^>]*/?>`)
)

// readPage fetches the page from asynqmon and derives its content security policy from the hashes of the inline scripts.
// The page depends on the version of asynqmon and on our options only, so it is the same for every request.
func readPage(inner http.Handler, path string) (page, error) {
	w := httptest.NewRecorder()
	inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"/", nil))
	raw := w.Body.Bytes()
	scripts := inlineScript.FindAllSubmatch(raw, -1)
	if w.Code != http.StatusOK || len(scripts) == 0 {
		return page{}, errors.New("dashboard: unexpected page of asynqmon: no inline script")
	}
	allowed := "'self'"
	for _, script := range scripts {
		sum := sha256.Sum256(script[1])
		allowed += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	clean := manifestLink.ReplaceAll(foreignLink.ReplaceAll(raw, nil), nil)
	clean = bytes.Replace(clean, []byte("<head>"), []byte(`<head><script src="`+path+scriptPath+`"></script>`), 1)
	return page{raw: raw, clean: clean, policy: strings.Join([]string{
		"default-src 'none'",
		"script-src " + allowed,
		// The scripts of the page create style elements.
		"style-src 'self' 'unsafe-inline'",
		"img-src 'self' data:",
		"font-src 'self'",
		"connect-src 'self'",
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors 'none'",
	}, "; ")}, nil
}

// contentTypes are those of the page's files, by extension. asynqmon detects them from the content and serves SVG as text.
var contentTypes = map[string]string{
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
	kind := contentTypes[path.Ext(r.URL.Path)]
	switch {
	case bytes.Equal(body, h.page.raw): // also served for the routes of the page's script
		kind, body = contentTypes[".html"], h.page.clean
	case kind == "":
		kind = "application/octet-stream"
	case strings.HasPrefix(r.URL.Path, h.cfg.Path+"/static/"):
		w.Header().Set("Cache-Control", "private, max-age=3600") // the file names contain a hash of the content
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}
