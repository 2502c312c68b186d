package dashboard

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/loopback"
)

func securityHeaders(policy string) http.Header {
	return http.Header{
		"Content-Security-Policy":      {policy},
		"X-Content-Type-Options":       {"nosniff"},
		"X-Frame-Options":              {"DENY"},
		"Referrer-Policy":              {"same-origin"},
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
	user, result := h.cfg.Login.check(r, h.address(r))
	switch result {
	case loggedIn:
		h.cfg.Log.Info().Str("user", user).Str("from", h.address(r)).Msg("login")
		return user, true
	case accepted:
		return user, true
	case missing, rejected, limited:
	}
	h.refuse(w, r, user, result)
	return "", false
}

// allowed reports whether a request may be served, and answers it otherwise. It refuses changes on a read-only dashboard
// and cross-site requests, which browsers send with the stored login.
func (h *Handler) allowed(w http.ResponseWriter, r *http.Request, user string) bool {
	switch {
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return true
	case !h.cfg.Operate, r.Method != http.MethodPost && r.Method != http.MethodDelete, !strings.HasPrefix(r.URL.Path, h.cfg.Path+"/api/"):
		w.Header().Set("Allow", "GET, HEAD")
		text := "method not allowed"
		if !h.cfg.Operate {
			text = "the dashboard is read-only: start it with --operate"
		}
		http.Error(w, text, http.StatusMethodNotAllowed)
		return false
	case h.origins.Check(r) != nil:
		http.Error(w, "cross-site request refused", http.StatusForbidden)
		return false
	}
	detail, err := order(w, r, h.cfg.Path)
	if err != nil {
		http.Error(w, "the request is too large, or cannot be read", http.StatusBadRequest)
		return false
	}
	if err := h.cfg.Audit(r.Context(), user, detail); err != nil {
		h.cfg.Log.Error().Err(err).Str("user", user).Msg("dashboard: a change was refused: the audit entry cannot be written")
		http.Error(w, "refused: the audit entry cannot be written (see the dashboard's log)", http.StatusServiceUnavailable)
		return false
	}
	h.cfg.Log.Info().Str("user", user).Str("method", r.Method).Str("path", r.URL.Path).Msg("dashboard: change requested")
	return true
}

// notWord matches characters that words of the audit trail must not have.
var notWord = regexp.MustCompile(`[^A-Za-z0-9._:/+-]+`)

// order describes a change in words: method, path, and the number of tasks that the body names. The body can be read again afterwards.
func order(w http.ResponseWriter, r *http.Request, root string) (map[string]string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	path := notWord.ReplaceAllString(strings.TrimPrefix(r.URL.Path, root+"/api/"), "_")
	detail := map[string]string{"method": r.Method, "path": path[:min(len(path), maxPath)]}
	var list struct {
		TaskIDs []string `json:"task_ids"`
	}
	if json.Unmarshal(body, &list) == nil && len(list.TaskIDs) > 0 {
		detail["tasks"] = strconv.Itoa(len(list.TaskIDs))
	}
	return detail, nil
}

// maxPath is the longest word of the audit trail.
const maxPath = 200

// maxBody is far above the size of a list of all tasks of one page.
const maxBody = 1 << 20
