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
	// idleTimeout is short: a request on a connection that the server is closing ends as Lost, which costs a takeover. Load
	// balancers close idle connections after 60 s or more; a backfill sends a request every 600 ms.
	idleTimeout = 15 * time.Second

	maxIdleConns   = 32
	maxHeaderBytes = 64 << 10

	// answerGrace is how long a write error is delayed while an early answer is read.
	answerGrace = 2 * time.Second
)

// newCallTransport returns the transport of the two paid calls.
//
// net/http can replay a request on a reused connection (Transport.RoundTrip, shouldRetryRequest; for HTTP/2
// http2shouldRetryRequest). It does so only with an idempotent method or an Idempotency-Key header (this client sends POST
// without it), with a body that has GetBody (this one has not), or if it has not read the body, so nothing was sent.
func newCallTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	t := newTransport(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &delayedErrorConn{Conn: conn, closed: make(chan struct{})}, nil
	})
	t.Proxy = proxy
	return t
}

// newTransport is used for calls and image links. Compression is off, so that a truncated body is detected. RoundTrip is
// called directly, without http.Client: no redirects, no cookies, and no errors because of a malformed Location header.
func newTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true, // a custom DialContext disables HTTP/2 otherwise
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		DisableCompression:     true,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// delayedErrorConn delays a write error until the connection is closed, at most answerGrace.
//
// A server may answer 401, 413 or 429 before it has read the image, and close the connection. In net/http the failed write
// then races with the read of the answer and may hide it. With the write error delayed, the reader either finds the answer,
// or finds the connection broken and closes it, which ends the delay.
//
// Writes with a deadline are not delayed: only tls.Conn.Close uses one, and must not wait for the Close it belongs to.
type delayedErrorConn struct {
	net.Conn
	once        sync.Once
	closed      chan struct{}
	hasDeadline atomic.Bool
}

func (c *delayedErrorConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil || c.hasDeadline.Load() {
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

func (c *delayedErrorConn) SetWriteDeadline(t time.Time) error {
	c.hasDeadline.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

func (c *delayedErrorConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
