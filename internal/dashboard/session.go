package dashboard

import (
	"crypto/rand"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A browser logs in with a form and gets a session, which ends when it logs out, when the dashboard restarts, and at the latest
// after sessionLife. An open page asks for news every few seconds, so sessionIdle ends those whose page was closed.
const (
	sessionIdle   = 30 * time.Minute
	sessionLife   = 8 * time.Hour
	sessionCookie = "kycq_session"
	maxForm       = 4 << 10
)

type session struct {
	user        string
	began, used time.Time
}

func (s *session) ended(now time.Time) bool {
	return now.Sub(s.began) >= sessionLife || now.Sub(s.used) >= sessionIdle
}

// start begins a session and returns its secret.
func (l *Login) start(user string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for key, s := range l.sessions {
		if s.ended(now) {
			delete(l.sessions, key)
		}
	}
	secret := rand.Text()
	l.sessions[l.digest(secret)] = &session{user, now, now}
	return secret
}

// session returns the user of the request's session, "" if there is none.
func (l *Login) session(r *http.Request) string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[l.digest(c.Value)]
	now := l.now()
	if s == nil || s.ended(now) {
		return ""
	}
	s.used = now
	return s.user
}

// end ends the request's session and returns its user.
func (l *Login) end(r *http.Request) string {
	user := l.session(r)
	if c, err := r.Cookie(sessionCookie); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sessions, l.digest(c.Value))
	}
	return user
}

// serveSession answers the requests that log in and out; false if the request is another.
func (h *Handler) serveSession(w http.ResponseWriter, r *http.Request) bool {
	in, out := r.URL.Path == h.cfg.Path+"/login", r.URL.Path == h.cfg.Path+"/logout"
	if h.cfg.Login == nil || r.Method != http.MethodPost || !in && !out {
		return false
	}
	if h.origins.Check(r) != nil {
		http.Error(w, "cross-site request refused", http.StatusForbidden)
		return true
	}
	cookie := &http.Cookie{ //nolint:gosec // Secure behind TLS only: else the browser would not send it to plain HTTP on loopback
		Name: sessionCookie, Path: h.cfg.Path, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1,
		Secure: strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	}
	if out {
		if user := h.cfg.Login.end(r); user != "" {
			h.cfg.Log.Info().Str("user", user).Str("from", h.address(r)).Msg("logout")
		}
		http.SetCookie(w, cookie)
		http.Redirect(w, r, h.cfg.Path, http.StatusSeeOther)
		return true
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	user, result := h.cfg.Login.checkPassword(r.PostFormValue("name"), r.PostFormValue("password"), h.address(r))
	if result != accepted && result != loggedIn {
		h.refuse(w, r, user, result)
		return true
	}
	h.cfg.Log.Info().Str("user", user).Str("from", h.address(r)).Msg("login")
	cookie.Value, cookie.MaxAge = h.cfg.Login.start(user), 0
	http.SetCookie(w, cookie)
	http.Redirect(w, r, h.cfg.Path, http.StatusSeeOther)
	return true
}

// refuse answers a request without a valid login. Browsers get the form: they would keep and repeat the credentials of basic
// authentication, without a way to log out.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, user string, result loginResult) {
	status, text := http.StatusUnauthorized, "login required"
	switch result {
	case limited:
		status, text = http.StatusTooManyRequests, "too many login attempts: try again in a second"
		w.Header().Set("Retry-After", "1")
	case rejected:
		text = "wrong name or password"
		h.cfg.Log.Warn().Str("user", user).Str("from", h.address(r)).Msg("login failed")
	case missing, accepted, loggedIn:
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", contentTypes[".html"])
		w.WriteHeader(status)
		_ = loginForm.Execute(w, map[string]string{"Path": h.cfg.Path, "Text": text})
		return
	}
	_, err := r.Cookie(sessionCookie)
	if status == http.StatusUnauthorized && err != nil && r.Header.Get("Sec-Fetch-Site") == "" { // not a script of the page
		w.Header().Set("WWW-Authenticate", `Basic realm="kycq", charset="UTF-8"`)
	}
	http.Error(w, text, status)
}

var loginForm = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>kycq: log in</title>
<body style="font-family: sans-serif; max-width: 20em; margin: 4em auto">
<h1>kycq</h1><p role="status">{{.Text}}</p>
<form method="post" action="{{.Path}}/login">
<p><label>Name<br><input name="name" autocomplete="username" required autofocus></label>
<p><label>Password<br><input name="password" type="password" autocomplete="current-password" required></label>
<p><button>Log in</button>
</form></body></html>
`))

// address returns the address of the client: behind the proxies of the configuration, the last forwarded address that is not
// one of theirs. Other clients cannot choose theirs.
func (h *Handler) address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, next := range slices.Backward(forwarded) {
		ip, err := netip.ParseAddr(host)
		listed := func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) }
		if err != nil || !slices.ContainsFunc(h.cfg.Proxies, listed) {
			break
		}
		if ip, err = netip.ParseAddr(strings.TrimSpace(next)); err != nil {
			break
		}
		host = ip.String()
	}
	return host
}
