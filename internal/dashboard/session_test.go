package dashboard_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/dashboard"
)

// browser has no credentials of its own.
func browser(r *http.Request) {
	anonymous(r)
	r.Header.Set("Accept", "text/html,*/*")
}

func withCookie(c *http.Cookie) func(*http.Request) {
	return func(r *http.Request) { browser(r); r.AddCookie(c) }
}

// post sends a form as a browser on the page does.
func (s *site) post(path string, form url.Values, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://kycq.example"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Origin", "https://kycq.example")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func (s *site) logIn(t *testing.T, change ...func(*http.Request)) *http.Cookie {
	t.Helper()
	w := s.post("/asynqmon/login", url.Values{"name": {user}, "password": {password}}, change...)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("status %d, %d cookies", w.Code, len(cookies))
	}
	return cookies[0]
}

func TestABrowserLogsInWithAFormAndOut(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := open(t, func(c *dashboard.Config) { c.Log = zerolog.New(&log) })
	w := s.ask(http.MethodGet, "/asynqmon/", browser)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `action="/asynqmon/login"`) || w.Header().Get("WWW-Authenticate") != "" {
		t.Fatalf("the form: status %d, %v", w.Code, w.Header())
	}
	if w := s.post("/asynqmon/login", url.Values{"name": {user}, "password": {"wrong"}}); w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) > 0 {
		t.Errorf("a wrong password: status %d", w.Code)
	}
	cookie := s.logIn(t)
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/asynqmon" {
		t.Errorf("the cookie: %+v", cookie)
	}
	if w := s.ask(http.MethodGet, "/asynqmon/api/queues", withCookie(cookie)); w.Code != http.StatusOK {
		t.Errorf("with a session: status %d", w.Code)
	}
	if w := s.ask(http.MethodGet, "/asynqmon/kycq.js", withCookie(cookie)); !strings.Contains(w.Body.String(), "Log out") {
		t.Error("the page has no button to log out")
	}
	if w := s.post("/asynqmon/logout", nil, withCookie(cookie), header("Origin", "https://evil.example")); w.Code != http.StatusForbidden {
		t.Errorf("a logout by another site: status %d", w.Code)
	}
	if w := s.post("/asynqmon/logout", nil, withCookie(cookie)); w.Code != http.StatusSeeOther || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: status %d", w.Code)
	}
	w = s.ask(http.MethodGet, "/asynqmon/api/queues", withCookie(cookie), header("Accept", "application/json"))
	if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "" { // the browser would ask for a password by itself
		t.Errorf("after the logout: status %d", w.Code)
	}
	for _, want := range []string{`"user":"operator","from":"192.0.2.1","message":"login failed"`, `"from":"192.0.2.1","message":"login"`, `"message":"logout"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), password) || strings.Contains(log.String(), cookie.Value) {
		t.Error("the log has a secret")
	}
}

func TestALoginByAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t).post("/asynqmon/login", url.Values{"name": {user}, "password": {password}}, header("Origin", "https://evil.example"))
	if w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
		t.Errorf("status %d", w.Code)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step  time.Duration
		steps int
		want  int
	}{
		"in use": {29 * time.Minute, 16, http.StatusOK}, "idle": {30 * time.Minute, 1, http.StatusUnauthorized}, "old": {29 * time.Minute, 17, http.StatusUnauthorized},
	} {
		login := newLogin(t)
		forward := login.Freeze()
		s := open(t, func(c *dashboard.Config) { c.Login = login })
		cookie := s.logIn(t)
		last := 0
		for range c.steps {
			forward(c.step)
			last = s.ask(http.MethodGet, "/asynqmon/api/queues", withCookie(cookie)).Code
		}
		if last != c.want {
			t.Errorf("%s: status %d, want %d", name, last, c.want)
		}
	}
}

// A client that guesses behind a proxy does not lock out the others there, and cannot choose another address for each guess.
func TestTheForwardedAddressCountsFromListedProxiesOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from      string
		forwarded func(i string) string
		want      int // for a guess from another address, after many
		logged    string
	}{
		"a listed proxy":        {"10.0.0.7:999", func(string) string { return "198.51.100.1" }, http.StatusUnauthorized, "198.51.100.1"},
		"two listed proxies":    {"10.0.0.7:999", func(string) string { return "198.51.100.1, 10.0.0.8" }, http.StatusUnauthorized, "198.51.100.1"},
		"an address of its own": {"10.0.0.7:999", func(i string) string { return "203.0.113." + i + ", 198.51.100.1" }, http.StatusUnauthorized, "198.51.100.1"},
		"not listed":            {"192.0.2.9:999", func(i string) string { return "203.0.113." + i }, http.StatusTooManyRequests, "192.0.2.9"},
	} {
		login := newLogin(t)
		login.Freeze()
		var log bytes.Buffer
		s := open(t, func(c *dashboard.Config) {
			c.Login, c.Log, c.Proxies = login, zerolog.New(&log), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
		})
		try := func(forwarded string) int {
			return s.ask(http.MethodGet, "/asynqmon/", header("X-Forwarded-For", forwarded), header("Authorization", "Bearer guess"), func(r *http.Request) { r.RemoteAddr = c.from }).Code
		}
		var last int
		for i := range 11 {
			last = try(c.forwarded(string(rune('0' + i%10))))
		}
		if last != http.StatusTooManyRequests {
			t.Errorf("%s: the last guess: status %d", name, last)
		}
		if got := try("198.51.100.2"); got != c.want {
			t.Errorf("%s: another client: status %d, want %d", name, got, c.want)
		}
		if !strings.Contains(log.String(), `"from":"`+c.logged+`"`) {
			t.Errorf("%s: %s", name, &log)
		}
	}
}

func TestGuessesOfTheTokenAreLimited(t *testing.T) {
	t.Parallel()
	login := newLogin(t)
	login.Freeze()
	s := open(t, func(c *dashboard.Config) { c.Login = login })
	var last int
	for range 11 {
		last = s.ask(http.MethodGet, "/asynqmon/", header("Authorization", "Bearer guess")).Code
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("status %d", last)
	}
	if w := s.ask(http.MethodGet, "/asynqmon/"); w.Code != http.StatusOK {
		t.Errorf("the token: status %d", w.Code)
	}
}

func TestPrometheusIsAskedWhatThePageNeedsOnly(t *testing.T) {
	t.Parallel()
	asked := 0
	prometheus := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer prometheus.Close()
	s := open(t, func(c *dashboard.Config) { c.PrometheusURL = prometheus.URL })
	for _, query := range []string{
		"queues=" + url.QueryEscape(`x"} or up{job=~".*`), "queues=a|b", "queues=.*", "duration=99999999", "duration=-1", "duration=1h", "endtime=99999999999", "query=up",
		"queues=a&queues=b", "duration=60;queues=.*&queues=%22",
	} {
		for _, path := range []string{"/asynqmon/api/metrics?", "/asynqmon/api/%6Detrics?", "/asynqmon/api//metrics?", "/asynqmon/api/x/../metrics?"} {
			if w := s.ask(http.MethodGet, path+query); w.Code < 300 || asked > 0 {
				t.Fatalf("%s%s: status %d", path, query, w.Code)
			}
		}
	}
}
