package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error { return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// S3 may take minutes, and so may a client that reads an image.
func TestARequestThatHasArrivedIsNotCutOff(t *testing.T) {
	t.Parallel()
	for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: "{}"} {
		synctest.Test(t, func(t *testing.T) {
			token := NewToken()
			line, err := KeyLine("app", Scopes(), time.Time{}, token)
			if err != nil {
				t.Fatal(err)
			}
			keys := &Keys{Log: zerolog.Nop()}
			keys.Set(line)
			a, err := New(Config{Keys: keys, Log: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			cut := make(chan error, 1)
			a.mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
				var err error
				if method == http.MethodPost {
					_, err = io.ReadAll(callOf(r.Context()).body(maxJSON))
				}
				time.Sleep(requestTimeout + time.Second)
				cut <- errors.Join(err, context.Cause(r.Context()))
			})
			l := make(pipes, 1)
			srv := &http.Server{Handler: a, ReadHeaderTimeout: time.Second}
			go func() { _ = srv.Serve(l) }()
			transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				l <- far
				return near, nil
			}}
			req, err := http.NewRequestWithContext(t.Context(), method, "http://api/slow", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			if resp, err := transport.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
			if err := <-cut; err != nil {
				t.Errorf("%s: %v", method, err)
			}
			transport.CloseIdleConnections()
			close(l)
			_ = srv.Close()
		})
	}
}
