package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kycq/kycq/internal/cli"
)

func TestTheHealthOfAServerIsCheckedByHTTPAndHTTPS(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(http.Handler) *httptest.Server{"HTTP": httptest.NewServer, "HTTPS": httptest.NewTLSServer} {
		for path, want := range map[string]string{"/readyz": "200 ready\n", "/livez": "503 draining\n"} {
			server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/livez" {
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = io.WriteString(w, "draining\n")
					return
				}
				_, _ = io.WriteString(w, "ready\n")
			}))
			t.Cleanup(server.Close)
			var stdout bytes.Buffer
			a := &app{&cli.App{Out: &stdout, Err: io.Discard}}
			err := a.checkHealth(t.Context(), "http://"+server.Listener.Addr().String()+path)
			if stdout.String() != want || (err == nil) != (path == "/readyz") {
				t.Errorf("%s %s: %q, %v", name, path, stdout.String(), err)
			}
		}
	}
}
