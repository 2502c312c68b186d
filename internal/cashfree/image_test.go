package cashfree

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// imageServer serves h on a loopback host that the client may fetch from, and returns the client and a link.
func imageServer(t *testing.T, h http.HandlerFunc) (*Client, redact.Secret) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return imageClient(t, srv.URL), redact.NewSecret(srv.URL + "/masked.jpg?token=bearer-specimen")
}

func imageClient(t *testing.T, base string) *Client {
	t.Helper()
	_, host, _ := strings.Cut(base, "://")
	return testClient(t, "https://unused.invalid", func(cfg *Config) {
		cfg.ImageHosts, cfg.ImageTimeout = []string{host}, 5*time.Second
	})
}

func fetchError(t *testing.T, c *Client, link redact.Secret) *LinkError {
	t.Helper()
	image, err := c.FetchImage(t.Context(), link)
	var linkErr *LinkError
	if !errors.As(err, &linkErr) || image != nil {
		t.Fatalf("got %v, %v, want a LinkError", image, err)
	}
	mustNotLeak(t, err.Error())
	if strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "masked.jpg") {
		t.Errorf("the error contains the link: %v", err)
	}
	return linkErr
}

func TestFetchImageReturnsTheBytesAndTheirOwnType(t *testing.T) {
	t.Parallel()
	jpeg := append([]byte{0xff, 0xd8, 0xff, 0xe0}, bytes.Repeat([]byte("SPECIMEN"), 50_000)...)
	for _, framed := range []bool{true, false} {
		c, link := imageServer(t, func(w http.ResponseWriter, r *http.Request) {
			for name := range r.Header {
				if name != "Accept" && name != "Accept-Encoding" && name != "User-Agent" {
					t.Errorf("header %s is sent", name)
				}
			}
			if r.URL.RawQuery != "token=bearer-specimen" {
				t.Errorf("query %q", r.URL.RawQuery)
			}
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Set-Cookie", "a=b")
			if framed {
				w.Header().Set("Content-Length", fmt.Sprint(len(jpeg)))
			}
			_, _ = w.Write(jpeg)
		})
		for range 2 { // the second time a cookie would come back
			image, err := c.FetchImage(t.Context(), link)
			if err != nil || !bytes.Equal(image.Body, jpeg) || image.ContentType != "image/jpeg" {
				t.Fatalf("got %+v (%v)", image, err)
			}
		}
	}
}

func TestGatewaysMayWrapAnImage(t *testing.T) {
	t.Parallel()
	const jpeg = "\xff\xd8\xff\xe0SPECIMEN"
	for name, body := range map[string]string{
		"blanks": " \r\n\t" + jpeg, "bom": "\ufeff" + jpeg, "gzip": zip(jpeg), "gzip and newline": zip("\n" + jpeg), "nothing": jpeg,
	} {
		c, link := imageServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
			}
			_, _ = io.WriteString(w, body)
		})
		if image, err := c.FetchImage(t.Context(), link); err != nil || string(image.Body) != jpeg || image.ContentType != "image/jpeg" {
			t.Errorf("%s: %+v, %v", name, image, err)
		}
	}
}

// The answer is paid for: a gateway's page must not end the job.
func TestAPageInsteadOfAnImageIsRetryable(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"html": "<!doctype html><html>Please wait</html>", "text": "Service unavailable", "json": `{"error":"busy"}`, "empty": "", "blank": "\r\n",
		"xml": "<?xml version=\"1.0\"?><Error/>", "zipped page": zip("<html>"), "half a zip": zip("\xff\xd8\xff")[:20], "br": "\x8b\x05\x80",
	} {
		c, link := imageServer(t, func(w http.ResponseWriter, _ *http.Request) {
			if name == "br" {
				w.Header().Set("Content-Encoding", "br")
			}
			_, _ = io.WriteString(w, body)
		})
		if e := fetchError(t, c, link); e.Gone || e.Refused || e.HTTPStatus != 200 {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestStatusesOfExpiredLinks(t *testing.T) {
	t.Parallel()
	tests := map[int]struct{ gone, refused bool }{
		403: {gone: true}, 404: {gone: true}, 410: {gone: true}, 400: {gone: true}, 401: {gone: true},
		408: {}, 425: {}, 429: {}, 500: {}, 502: {}, 503: {}, 504: {}, 204: {}, 206: {},
		301: {refused: true}, 302: {refused: true}, 303: {refused: true}, 307: {refused: true}, 308: {refused: true},
	}
	var elsewhere atomic.Int32
	for status, want := range tests {
		c, link := imageServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/masked.jpg" {
				elsewhere.Add(1)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		if e := fetchError(t, c, link); e.Gone != want.gone || e.Refused != want.refused || e.HTTPStatus != status {
			t.Errorf("%d: got %+v", status, e)
		}
	}
	if elsewhere.Load() != 0 {
		t.Errorf("%d redirects were followed", elsewhere.Load())
	}
}

func TestAnImageOver20MBIsRefusedAndNotRead(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{true, false} {
		var sent atomic.Int64
		c, link := imageServer(t, func(w http.ResponseWriter, _ *http.Request) {
			if announced {
				w.Header().Set("Content-Length", fmt.Sprint(1<<40))
			}
			n, _ := io.Copy(w, zeros{})
			sent.Store(n)
		})
		if e := fetchError(t, c, link); !e.Refused || !errors.Is(e, refusedTooLarge) {
			t.Errorf("got %+v", e)
		}
		if sent.Load() > 2*maxImage {
			t.Errorf("%d bytes were sent", sent.Load())
		}
	}
	c, link := imageServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, maxImage) })
	if image, err := c.FetchImage(t.Context(), link); err != nil || len(image.Body) != maxImage {
		t.Errorf("20 MB must pass: %v", err)
	}
}

func TestAnInterruptedFetchIsRetryable(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"closed":     "",
		"cut":        "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nhalf",
		"cut chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf",
		"not http":   "bearer-specimen\r\n\r\n",
		"bad header": "HTTP/1.1 200 OK\r\nbearer-specimen\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := wire(t, func(_ int, conn *net.TCPConn, r *bufio.Reader) {
				_ = readRequest(r)
				_, _ = io.WriteString(conn, answer)
			})
			if e := fetchError(t, imageClient(t, base), redact.NewSecret(base+"/masked.jpg")); e.Gone || e.Refused {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestAFetchEndsWithItsContextOrItsTimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-release
	}))
	t.Cleanup(func() { close(release); srv.Close() })
	link := redact.NewSecret(srv.URL + "/masked.jpg")

	c := imageClient(t, srv.URL)
	c.images.timeout = 50 * time.Millisecond
	if e := fetchError(t, c, link); e.Gone || e.Refused || !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("got %+v", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.FetchImage(ctx, link); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLinksDoNotUseTheProxy(t *testing.T) { // not parallel: it sets the environment
	var seen atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	c := testClient(t, "https://unused.invalid", func(cfg *Config) {
		// The proxy's own address is open, so that it is not the guard that keeps it out.
		cfg.ImageHosts, cfg.Proxy = []string{"images.invalid", "127.0.0.1"}, http.ProxyFromEnvironment
	})
	for _, link := range []string{"http://images.invalid/", "https://images.invalid/", "https://other.invalid/"} {
		if e := fetchError(t, c, redact.NewSecret(link)); e.Gone {
			t.Errorf("got %+v", e)
		}
	}
	if seen.Load() != 0 {
		t.Errorf("the proxy saw %d requests", seen.Load())
	}
}
