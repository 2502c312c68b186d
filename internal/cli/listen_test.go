package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAnHTTPServerLimitsTimesAndHeaders(t *testing.T) {
	t.Parallel()
	s := newServer(http.NotFoundHandler())
	for name, limit := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout} {
		if limit <= 0 || limit > 5*time.Minute {
			t.Errorf("%s: %s", name, limit)
		}
	}
	if s.ReadHeaderTimeout != 10*time.Second || s.MaxHeaderBytes != 64<<10 || maxConnections != 1024 {
		t.Errorf("headers %s and %d bytes, %d connections", s.ReadHeaderTimeout, s.MaxHeaderBytes, maxConnections)
	}
}

// Serve is the only way to serve HTTP, so its limits are those of all listeners. The tools of development are not meant.
func TestNothingElseServesHTTP(t *testing.T) {
	t.Parallel()
	serves := regexp.MustCompile(`http\.(Server\{|Serve\(|ServeTLS\(|ListenAndServe)`)
	for _, top := range []string{"cmd", "internal", "storage", "tasks", "worker"} {
		err := filepath.WalkDir(filepath.Join("..", "..", top), func(path string, d os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, filepath.Join("internal", "dev")) || strings.HasSuffix(path, filepath.Join("cli", "listen.go")) {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil && serves.Match(text) {
				t.Errorf("%s serves HTTP by itself", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
