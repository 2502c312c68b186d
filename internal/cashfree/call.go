package cashfree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"
)

const (
	// maxBody is the largest answer that is read. The vendor's answers are below 1 KiB; a bigger one is a gateway's page.
	maxBody = 1 << 20

	// stuckGrace is how long a call waits, after its own deadline, for net/http to let go.
	stuckGrace = time.Second
)

var errStuck = errors.New("timed out while the image source did not answer")

// call sends one request and reads its answer. It always returns a Reply.
func (c *Client) call(ctx context.Context, e endpoint, id, contentType string, up *upload) *Reply {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer up.over.Store(true)

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

	reply := &Reply{HTTPStatus: resp.StatusCode, Rate: readRate(resp.Header, time.Now())}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// What follows is another protocol without an end, not a body.
		reply.settle(classify(e, id, resp.StatusCode, nil))
		return reply
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) <= maxBody && brokeOff(resp, body) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		reply.Class, reply.Err = Lost, fmt.Errorf("answer broke off: %w", cause(err))
		return reply
	}
	// An oversized body is an answer all the same: to call again would buy the same one.
	reply.Body = body[:min(len(body), maxBody)]
	reply.settle(classify(e, id, resp.StatusCode, reply.Body))
	return reply
}

func (c *Client) request(ctx context.Context, e endpoint, contentType string, up *upload) (*http.Request, error) {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { up.flight.leave() }}
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
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("x-client-id", c.id)
	req.Header.Set("x-client-secret", c.secret.Reveal())
	if c.signer != nil {
		signature, err := c.signer.sign(time.Now())
		if err != nil {
			return nil, fmt.Errorf("sign request: %w", err)
		}
		req.Header.Set("x-cf-signature", signature)
	}
	return req, nil
}

// roundTrip is the transport's, with the deadline kept even where an image source hangs: on HTTP/1 net/http waits for
// the goroutine that reads the body before it returns, whatever ctx says.
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

// withoutAnswer tells apart what never left, what we broke off ourselves, and what got lost.
func withoutAnswer(ctx context.Context, up *upload, err error) *Reply {
	if up.flight.abandon() {
		return unanswered(NotSent, cause(err))
	}
	// A source that hangs on the same context fails because the call was cut, not the other way round.
	if broken := up.sourceErr(); broken != nil && ctx.Err() == nil {
		return unanswered(SourceBroken, fmt.Errorf("image source: %w", broken))
	}
	return unanswered(Lost, fmt.Errorf("no answer: %w", cause(err)))
}

func unanswered(class Class, err error) *Reply {
	return &Reply{Class: class, Rate: Rate{Limit: unknown, Remaining: unknown}, Err: err}
}

// brokeOff finds a cut answer where HTTP cannot: a body that is framed by nothing but the end of the connection, and
// that is JSON which stops in the middle.
func brokeOff(resp *http.Response, body []byte) bool {
	framed := resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0 || resp.ProtoMajor > 1
	return !framed && resp.StatusCode == http.StatusOK && stopsInTheMiddle(body)
}
