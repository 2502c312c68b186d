package cashfree

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// idleTimeout is short on purpose. A request that races with the server closing an idle connection ends as Lost,
	// and a Lost call costs a takeover. Load balancers close after 60 s and more; a backfill sends every 600 ms and keeps
	// its connections anyway.
	idleTimeout = 15 * time.Second

	maxIdleConns   = 32
	maxHeaderBytes = 64 << 10

	// answerGrace is how long a failed write is held back while the peer's early answer is being read.
	answerGrace = 2 * time.Second
)

// newCallTransport returns the transport of the two paid calls.
//
// net/http replays a request by itself on a reused connection (Transport.RoundTrip, shouldRetryRequest; for HTTP/2
// http2shouldRetryRequest). It cannot happen here: the replay needs either an idempotent method or an Idempotency-Key
// (we send POST and never that header), or a body that can be read again (our body has no GetBody). What is left is a
// replay of a request whose body was never touched, and that one has not been sent.
func newCallTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	t := newTransport(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &patientConn{Conn: conn, closed: make(chan struct{})}, nil
	})
	t.Proxy = proxy
	return t
}

// newTransport is what the calls and the image links share. Compression is off so that a cut body shows as one.
// RoundTrip is called directly, never through http.Client: so no redirect is followed, no cookie kept, and a malformed
// Location header cannot turn an answer into an error.
func newTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true, // a custom DialContext would switch HTTP/2 off
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		DisableCompression:     true,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// patientConn holds a write error back until the connection is closed, at most answerGrace.
//
// A server may answer 401, 413 or 429 before it has read the image, and close. The answer and the reset then arrive
// together; net/http would take whichever goroutine wakes first, and a failed write would hide an answer that lies
// in the receive buffer. With the writer waiting, the reader decides: it finds the answer, or it finds the
// connection broken, closes it, and so releases the writer at once.
//
// A write under a deadline is not held back. Neither net/http nor HTTP/2 as set up here use one; tls.Conn.Close does, for
// its goodbye, and that one must not wait for the very Close that it is part of.
type patientConn struct {
	net.Conn
	once    sync.Once
	closed  chan struct{}
	hurried atomic.Bool
}

func (c *patientConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil || c.hurried.Load() {
		return n, err
	}
	grace := time.NewTimer(answerGrace)
	defer grace.Stop()
	select {
	case <-c.closed:
	case <-grace.C:
	}
	return n, err
}

func (c *patientConn) SetWriteDeadline(t time.Time) error {
	c.hurried.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

func (c *patientConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
