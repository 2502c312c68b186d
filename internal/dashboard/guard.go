package dashboard

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
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

// admit lets a request in, or has answered it. It comes before anything else, so that a stranger learns nothing, not
// even which paths there are.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (user string, ok bool) {
	if h.cfg.Login == nil {
		if !isLoopback(r.Host) { // a page of elsewhere, whose name was made to resolve to this machine
			http.Error(w, "use http://127.0.0.1 or http://localhost", http.StatusForbidden)
			return "", false
		}
		return "nobody", true
	}
	user, e := h.cfg.Login.check(r)
	switch e {
	case right:
		return user, true
	case tooMany:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many logins: try again in a second", http.StatusTooManyRequests)
		return "", false
	case wrong:
		h.cfg.Log.Warn().Str("from", r.RemoteAddr).Msg("a login was refused")
	case missing:
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="kycq", charset="UTF-8"`)
	http.Error(w, "login needed", http.StatusUnauthorized)
	return "", false
}

var crossOrigin = http.NewCrossOriginProtection()

// allowed refuses orders that were not asked for: all of them on a read-only dashboard, and those that a page of
// elsewhere makes a browser send, with the login that it remembers.
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
		http.Error(w, "an order from another site was refused", http.StatusForbidden)
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxOrder)
	h.cfg.Log.Info().Str("user", user).Str("method", r.Method).Str("path", r.URL.Path).Msg("an order on the dashboard")
	return true
}

// maxOrder is far above a list of the tasks of one page.
const maxOrder = 1 << 20

// isLoopback reads host:port or a host alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
