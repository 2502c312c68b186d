package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
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

// open returns an API with a key for everything.
func open(t *testing.T, log zerolog.Logger) (a *API, token string) {
	t.Helper()
	token = NewToken()
	line, err := KeyLine("app", Scopes(), time.Time{}, token)
	if err != nil {
		t.Fatal(err)
	}
	keys := &Keys{Log: zerolog.Nop()}
	keys.Set(line)
	if a, err = New(Config{Keys: keys, Log: log}); err != nil {
		t.Fatal(err)
	}
	return a, token
}

// serve serves an API on connections in memory.
func serve(a *API) (client *http.Transport, stop func()) {
	l := make(pipes, 1)
	srv := &http.Server{Handler: a, ReadHeaderTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.Serve(l) }()
	client = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		l <- far
		return near, nil
	}}
	return client, func() {
		client.CloseIdleConnections()
		close(l)
		_ = srv.Close()
	}
}

// S3 may take minutes, and so may a client that reads an image.
func TestARequestThatHasArrivedIsNotCutOff(t *testing.T) {
	t.Parallel()
	for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: "{}"} {
		synctest.Test(t, func(t *testing.T) {
			a, token := open(t, zerolog.Nop())
			cut := make(chan error, 1)
			a.mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
				var err error
				if method == http.MethodPost {
					_, err = io.ReadAll(callOf(r.Context()).body(maxJSON))
				}
				time.Sleep(requestTimeout + time.Second)
				cut <- errors.Join(err, context.Cause(r.Context()))
			})
			transport, stop := serve(a)
			defer stop()
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
		})
	}
}

func TestABodyThatArrivesTooSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, token := open(t, zerolog.Nop())
		transport, stop := serve(a)
		defer stop()
		body, never := io.Pipe()
		defer func() { _ = never.Close() }()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://api/v1/aadhaar", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "image/png")
		began := time.Now()
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if took := time.Since(began); resp.StatusCode != http.StatusRequestTimeout || took > 2*slowStart {
			t.Errorf("%d after %s", resp.StatusCode, took)
		}
	})
}

// A manifest that waits for the check of another one is answered 503, and nothing of it is kept.
func TestAManifestWaitsForTheCheckOfAnotherOneForALimitedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := open(t, zerolog.Nop())
		a.checking <- struct{}{}
		began := time.Now()
		_, err := a.submitSource(t.Context(), nil, &BatchParams{}, nil)
		var p *Problem
		if !errors.As(err, &p) || p.Code != "busy" || time.Since(began) != bodyPatience {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// Slow manifests of one key leave places to the others, and are cut off in the end.
func TestSlowManifestsOfAKeyBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := open(t, zerolog.Nop())
		slow, other := &call{key: Key{Name: "slow"}}, &call{key: Key{Name: "other"}}
		for range maxLargeOfKey {
			if _, err := a.takeLarge(t.Context(), slow); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		release, err := a.takeLarge(t.Context(), other)
		if err != nil || time.Since(began) != 0 {
			t.Errorf("another key: %v after %s", err, time.Since(began))
		}
		release()
		var p *Problem
		if _, err := a.takeLarge(t.Context(), slow); !errors.As(err, &p) || p.Code != "busy" || time.Since(began) != bodyPatience {
			t.Errorf("the same key: %v after %s", err, time.Since(began))
		}
		if len(a.large) != maxLargeOfKey {
			t.Errorf("%d places are taken", len(a.large))
		}
	})
	var until time.Time
	b := &pacedBody{body: strings.NewReader("x"), deadline: func(at time.Time) error { until = at; return nil }, read: maxManifest - 1}
	if _, err := b.Read(make([]byte, 1)); err != nil || until != (time.Time{}).Add(bodyTime) {
		t.Errorf("the end of a manifest may arrive %s after its beginning: %v", until.Sub(time.Time{}), err)
	}
}

// The value of a panic may hold input.
func TestAPanicIsAnInternalErrorWithoutItsValue(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	a, token := open(t, zerolog.New(&text))
	a.mux.HandleFunc("/early", func(http.ResponseWriter, *http.Request) { panic("CANARYBIRD") })
	a.mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of")
		panic("CANARYBIRD")
	})
	front := httptest.NewServer(a)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer front.Close()
	get := func(path string) (int, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := front.Client().Do(req)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	if status, body, err := get("/early"); status != http.StatusInternalServerError || err != nil || !strings.Contains(body, "internal_error") {
		t.Errorf("%d %s %v", status, body, err)
	}
	if _, body, err := get("/late"); err == nil {
		t.Errorf("an answer that is cut off looks whole: %s", body)
	}
	front.Close() // the handlers have ended, and the log is complete
	if !strings.Contains(text.String(), "panicked") || strings.Contains(text.String(), "CANARYBIRD") {
		t.Errorf("log: %s", &text)
	}
}

// Patterns lists the patterns of the mux.
func (a *API) Patterns() (all []string) {
	index := reflect.ValueOf(a.mux).Elem().FieldByName("index")
	add := func(list reflect.Value) {
		for i := range list.Len() {
			all = append(all, list.Index(i).Elem().FieldByName("str").String())
		}
	}
	add(index.FieldByName("multis"))
	for segments := index.FieldByName("segments").MapRange(); segments.Next(); {
		add(segments.Value())
	}
	slices.Sort(all)
	return slices.Compact(all)
}
