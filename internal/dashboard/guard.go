package dashboard

import (
	"net/http"
	"strings"

	"github.com/kycq/kycq/internal/loopback"
)

func securityHeaders(policy string) http.Header {
	return http.Header{
		"Content-Security-Policy":      {policy},
		"X-Content-Type-Options":       {"nosniff"},
		"X-Frame-Options":              {"DENY"},
		"Referrer-Policy":              {"no-referrer"},
		"Cross-Origin-Opener-Policy":   {"same-origin"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Permissions-Policy":           {"camera=(), geolocation=(), microphone=()"},
		"X-Robots-Tag":                 {"noindex"},
		"Cache-Control":                {"no-store"},
	}
}

// authenticate returns the user of a request, or answers the request and returns false. It runs before routing, so an
// unauthenticated client cannot find out which paths exist.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request) (user string, ok bool) {
	if h.cfg.Login == nil {
		if !loopback.Is(r.Host) { // DNS rebinding by a page from elsewhere
			http.Error(w, "use http://127.0.0.1 or http://localhost", http.StatusForbidden)
			return "", false
		}
		return "anonymous", true
	}
	user, result := h.cfg.Login.check(r)
	switch result {
	case accepted:
		return user, true
	case limited:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many login attempts: try again in a second", http.StatusTooManyRequests)
		return "", false
	case rejected:
		h.cfg.Log.Warn().Str("from", r.RemoteAddr).Msg("login failed")
	case missing:
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="kycq", charset="UTF-8"`)
	http.Error(w, "login required", http.StatusUnauthorized)
	return "", false
}

var crossOrigin = http.NewCrossOriginProtection()

// allowed reports whether a request may be served, and answers it otherwise. It refuses changes on a read-only dashboard
// and cross-site requests, which browsers send with the stored login.
func (h *Handler) allowed(w http.ResponseWriter, r *http.Request, user string) bool {
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return true
	case !h.cfg.Operate, r.Method != http.MethodPost && r.Method != http.MethodDelete, !strings.HasPrefix(r.URL.Path, Root+"/api/"):
		w.Header().Set("Allow", "GET, HEAD")
		text := "method not allowed"
		if !h.cfg.Operate {
			text = "the dashboard is read-only: start it with --operate"
		}
		http.Error(w, text, http.StatusMethodNotAllowed)
		return false
	case crossOrigin.Check(r) != nil:
		http.Error(w, "cross-site request refused", http.StatusForbidden)
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	h.cfg.Log.Info().Str("user", user).Str("method", r.Method).Str("path", r.URL.Path).Msg("dashboard: change requested")
	return true
}

// maxBody is far above the size of a list of all tasks of one page.
const maxBody = 1 << 20
