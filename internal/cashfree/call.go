package cashfree

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/sleep"
)

const (
	// maxBody limits an answer. The vendor's answers are below 1 KiB; larger ones come from gateways.
	maxBody = 1 << 20
	// maxErrorBody limits what is kept of an answer that is not a 200.
	maxErrorBody = 64 << 10

	// stuckGrace is how long a call waits after its deadline for net/http to return.
	stuckGrace = time.Second
)

var errStuck = errors.New("timed out while reading the image source")

// call sends one request and reads the answer. It never returns nil.
func (c *Client) call(ctx context.Context, e endpoint, id, contentType string, up *upload) *Reply {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	defer up.over.Store(true)
	up.sent.late = func() bool { return sleep.Elapsed(began) >= c.cfg.Timeout }

	reply := c.exchange(ctx, e, id, contentType, up)
	if reply.Err != nil {
		reply.Err = fmt.Errorf("%s: %w", e.name, reply.Err)
	}
	reply.Duration = time.Since(began)
	return reply
}

func (c *Client) exchange(ctx context.Context, e endpoint, id, contentType string, up *upload) *Reply {
	req, err := c.request(ctx, e, contentType, up)
	if err != nil {
		return unanswered(NotSent, err)
	}
	resp, err := c.roundTrip(ctx, req)
	if err != nil {
		return withoutAnswer(ctx, up, err)
	}
	defer func() { _ = resp.Body.Close() }()

	rate := readRate(resp.Header, time.Now())
	body, err := readBody(resp)
	if err != nil {
		return &Reply{Class: Lost, HTTPStatus: resp.StatusCode, Rate: rate, Err: fmt.Errorf("answer interrupted: %w", cause(err))}
	}
	reply := classify(e, id, resp.StatusCode, body)
	if resp.StatusCode != http.StatusOK {
		body = slices.Clip(body[:min(len(body), maxErrorBody)])
	}
	reply.HTTPStatus, reply.Rate, reply.Body = resp.StatusCode, rate, body
	return reply
}

// readBody reads at most maxBody. An oversized body is an answer too: calling again would only pay for the same answer.
func readBody(resp *http.Response) ([]byte, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // another protocol follows instead of a body
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) <= maxBody && isCut(resp, body) {
		err = io.ErrUnexpectedEOF
	}
	body = plain(body, maxBody)
	return body[:min(len(body), maxBody)], err
}

// plain undoes what servers and proxies do to a body unasked: gzip, of at most limit+1 bytes, and a byte order mark.
func plain(body []byte, limit int64) []byte {
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) {
		if unzipped, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			if text, err := io.ReadAll(io.LimitReader(unzipped, limit+1)); err == nil {
				body = text
			}
		}
	}
	return bytes.TrimPrefix(body, []byte("\ufeff"))
}

func (c *Client) request(ctx context.Context, e endpoint, contentType string, up *upload) (*http.Request, error) {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { up.sent.start() }}
	u := c.base.JoinPath(e.path)
	req := (&http.Request{
		Method:        http.MethodPost,
		URL:           u,
		Host:          u.Host,
		Header:        make(http.Header, 8),
		Body:          up,
		ContentLength: up.length(),
	}).WithContext(httptrace.WithClientTrace(ctx, trace))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("x-client-id", c.cfg.ClientID)
	req.Header.Set("x-client-secret", c.cfg.ClientSecret.Reveal())
	if c.signer != nil {
		signature, err := c.signer.sign(time.Now())
		if err != nil {
			return nil, fmt.Errorf("sign request: %w", err)
		}
		req.Header.Set("x-cf-signature", signature)
	}
	return req, nil
}

// roundTrip returns soon after the deadline of ctx, even if the image source hangs: with HTTP/1, net/http does not return
// before a running Read of the body does.
func (c *Client) roundTrip(ctx context.Context, req *http.Request) (*http.Response, error) {
	type result struct {
		resp *http.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		resp, err := c.transport.RoundTrip(req) //nolint:bodyclose // the receiver closes it
		done <- result{resp, err}
	}()
	select {
	case r := <-done:
		return r.resp, r.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(stuckGrace)
	defer grace.Stop()
	select {
	case r := <-done:
		return r.resp, r.err
	case <-grace.C:
	}
	go func() {
		if r := <-done; r.resp != nil {
			_ = r.resp.Body.Close()
		}
	}()
	return nil, errStuck
}

// withoutAnswer returns NotSent, SourceBroken or Lost.
func withoutAnswer(ctx context.Context, up *upload, err error) *Reply {
	if up.sent.abandon() {
		return unanswered(NotSent, cause(err))
	}
	// If ctx has ended, the source failed because of the call, not the other way round.
	if broken := up.sourceErr(); broken != nil && ctx.Err() == nil {
		return unanswered(SourceBroken, fmt.Errorf("image source: %w", broken))
	}
	return unanswered(Lost, fmt.Errorf("no answer: %w", cause(err)))
}

func unanswered(class Class, err error) *Reply {
	return &Reply{Class: class, Rate: Rate{Limit: unknown, Remaining: unknown}, Err: err}
}

// isCut detects an incomplete answer that HTTP cannot detect: a body that ends with the connection, and is truncated JSON.
func isCut(resp *http.Response, body []byte) bool {
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor > 1
	return !framed && resp.StatusCode == http.StatusOK && isTruncated(body)
}
