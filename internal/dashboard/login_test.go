package dashboard_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/kycq/kycq/internal/dashboard"
	"github.com/kycq/kycq/internal/redact"
)

var everyKindOfPath = append([]string{
	"/", "/asynqmon", "/asynqmon/", "/asynqmon/queues/passport-bulk", "/asynqmon/static/js/main.5adda2da.chunk.js",
	"/asynqmon/favicon.ico", "/asynqmon/manifest.json", "/asynqmon/api/nothing", "/readyz", "/metrics", "/asynqmon/../etc/passwd", "//asynqmon",
}, apiPaths("passport-bulk", "A")...)

func TestEveryPathRequiresALogin(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, path := range everyKindOfPath {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
			w := s.ask(method, path, anonymous)
			if w.Code != http.StatusUnauthorized || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic") {
				t.Errorf("%s %s: status %d", method, path, w.Code)
			}
		}
	}
}

func TestOnlyCorrectCredentialsAreAccepted(t *testing.T) {
	t.Parallel()
	s := open(t)
	basic := func(name, word string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(name, word) }
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"user":                      {basic(user, password), http.StatusOK},
		"token":                     {header("Authorization", "Bearer "+token), http.StatusOK},
		"wrong password":            {basic(user, password+"x"), http.StatusUnauthorized},
		"empty password":            {basic(user, ""), http.StatusUnauthorized},
		"unknown user":              {basic("unknown", password), http.StatusUnauthorized},
		"the token as a password":   {basic(user, token), http.StatusUnauthorized},
		"wrong token":               {header("Authorization", "Bearer "+token+"x"), http.StatusUnauthorized},
		"empty token":               {header("Authorization", "Bearer "), http.StatusUnauthorized},
		"the password as the token": {header("Authorization", "Bearer "+password), http.StatusUnauthorized},
		"another scheme":            {header("Authorization", "Digest username=operator"), http.StatusUnauthorized},
	} {
		if w := s.ask(http.MethodGet, "/asynqmon/", c.change); w.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
	}
}

func TestATokenlessDashboardRefusesTheEmptyToken(t *testing.T) {
	t.Parallel()
	login, err := dashboard.NewCheapLogin(redact.NewSecret(userLine), redact.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(c *dashboard.Config) { c.Login = login })
	if w := s.ask(http.MethodGet, "/asynqmon/", header("Authorization", "Bearer ")); w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
}

// Guesses from one address do not keep a user at another address out.
func TestTriesAreLimitedByNameAndAddress(t *testing.T) {
	t.Parallel()
	login, err := dashboard.NewCheapLogin(redact.NewSecret(userLine), redact.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	login.Freeze()
	s := open(t, func(c *dashboard.Config) { c.Login = login })
	try := func(from, secret string) int {
		return s.ask(http.MethodGet, "/asynqmon/", func(r *http.Request) { r.RemoteAddr = from; r.SetBasicAuth(user, secret) }).Code
	}
	for range 11 {
		try("192.0.2.1:999", "guess")
	}
	if got := try("192.0.2.1:1000", password); got != http.StatusTooManyRequests {
		t.Errorf("after many guesses: status %d", got)
	}
	if got := try("192.0.2.2:999", password); got != http.StatusOK {
		t.Errorf("from another address: status %d", got)
	}
}

func TestGuessingIsRateLimitedWithoutLockingOutUsers(t *testing.T) {
	t.Parallel()
	login := newLogin(t)
	login.Freeze()
	s := open(t, func(c *dashboard.Config) { c.Login = login })
	enter := func() int {
		return s.ask(http.MethodGet, "/asynqmon/", func(r *http.Request) { r.SetBasicAuth(user, password) }).Code
	}
	if got := enter(); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	var got []int
	for range 40 {
		got = append(got, s.ask(http.MethodGet, "/asynqmon/", func(r *http.Request) { r.SetBasicAuth("unknown", "guess") }).Code)
	}
	if !slices.Contains(got, http.StatusTooManyRequests) {
		t.Error("40 guesses, all of them checked")
	}
	if got := enter(); got != http.StatusOK {
		t.Errorf("status %d after the guesses of another client", got)
	}
}

func TestInvalidLoginsAreRefused(t *testing.T) {
	t.Parallel()
	_, hash, _ := strings.Cut(userLine, ":")
	for name, c := range map[string]struct{ users, token, want string }{
		"nothing":          {"", "", "no users and no token"},
		"only a comment":   {"# comment\n", "", "no users and no token"},
		"a plain password": {"operator:specimen", "", "line 1: no bcrypt hash"},
		"no name":          {"\n:" + hash, "", "line 2: the name"},
		"a costly hash":    {"operator:$2a$31$" + strings.Repeat("a", 53), "", "cost 31"},
		"a name twice":     {userLine + "\n" + userLine, "", "line 2: duplicate name"},
		"a short token":    {"", "specimen", "shorter than 16"},
		"a SHA-1 hash":     {"operator:{SHA}specimen", "", "kycq dashboard hash"},
	} {
		_, err := dashboard.NewCheapLogin(redact.NewSecret(c.users), redact.NewSecret(c.token))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), hash) {
			t.Errorf("%s: the error quotes the hash", name)
		}
	}
}

func TestACheapHashIsRefused(t *testing.T) {
	t.Parallel()
	_, err := dashboard.NewLogin(redact.NewSecret("operator:$2y$05$"+strings.Repeat("a", 53)), redact.Secret{})
	if err == nil || !strings.Contains(err.Error(), "cost 5, want 10 to 15") {
		t.Error(err)
	}
}

func TestAHashedUserCanLogIn(t *testing.T) {
	t.Parallel()
	line, err := dashboard.HashCheaply("asha@example.in", password, bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	login, err := dashboard.NewCheapLogin(redact.NewSecret(line), redact.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(c *dashboard.Config) { c.Login = login })
	if w := s.ask(http.MethodGet, "/asynqmon/", func(r *http.Request) { r.SetBasicAuth("asha@example.in", password) }); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
	if cost := dashboard.HashCost; cost < dashboard.MinCost || cost > dashboard.MaxCost {
		t.Errorf("HashUser uses cost %d, which NewLogin refuses", cost)
	}
}

func TestHashUserRefusesWhatBcryptWouldCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ user, password string }{
		"a colon in the name": {"a:b", password},
		"no name":             {"", password},
		"a short password":    {user, "1234567"},
		"a long password":     {user, strings.Repeat("x", 73)},
	} {
		if line, err := dashboard.HashUser(c.user, c.password); err == nil {
			t.Errorf("%s: %s", name, line)
		}
	}
}

func TestWithoutALoginOnlyLoopbackNamesAreServed(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *dashboard.Config) { c.Login = nil })
	for host, want := range map[string]int{
		"127.0.0.1:8081": http.StatusOK, "localhost:8081": http.StatusOK, "[::1]:8081": http.StatusOK,
		"evil.example": http.StatusForbidden, "evil.example:8081": http.StatusForbidden, "10.0.0.7:8081": http.StatusForbidden,
		"127.0.0.1.evil.example": http.StatusForbidden,
	} {
		if w := s.ask(http.MethodGet, "/asynqmon/", anonymous, func(r *http.Request) { r.Host = host }); w.Code != want {
			t.Errorf("%s: status %d, want %d", host, w.Code, want)
		}
	}
}
