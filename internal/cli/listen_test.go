package cli

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
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

// Bodies that wait fill the connection that they share, but for the room that is left for another one.
func TestABodyIsReadWhileOthersOfItsConnectionWait(t *testing.T) {
	t.Parallel()
	pair := httptest.NewTLSServer(nil)
	defer pair.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	waiting, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/waits" {
			waiting <- struct{}{}
			<-release
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Proto)
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, &tls.Config{Certificates: pair.TLS.Certificates}, handler, time.Minute, nil)
	}()
	transport := pair.Client().Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = true
	client := &http.Client{Transport: transport}
	const size = 2 << 20
	send := func(path string) string {
		resp, err := client.Post("https://"+l.Addr().String()+path, "", io.LimitReader(zeros{}, size))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	send("/") // one connection from now on
	answers := make(chan string)
	for range maxStreams - 1 {
		go func() { answers <- send("/waits") }()
		<-waiting
	}
	if proto := send("/"); proto != "HTTP/2.0" {
		t.Errorf("answer %s", proto)
	}
	close(release)
	for range maxStreams - 1 {
		if proto := <-answers; proto != "HTTP/2.0" {
			t.Errorf("answer %s", proto)
		}
	}
	transport.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAFailedHandshakeIsNotLogged(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	logged := log.New(serverLog{&text}, "", 0)
	logged.Printf("http: TLS handshake error from 127.0.0.1:1: EOF")
	logged.Printf("http: panic serving")
	if text.String() != "http: panic serving\n" {
		t.Errorf("%q", text.String())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

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
