package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// requestTimeout limits a request.
const requestTimeout = 10 * time.Second

// EventTest is the type of the message that Test sends.
const EventTest = "webhook.test"

// Client sends messages.
type Client struct{ public, private *http.Client }

// NewClient returns a Client. control refuses addresses that are not public; it is a hook of net.Dialer.
func NewClient(version string, control func(network, address string, c syscall.RawConn) error) Client {
	guard := func(network, address string, c syscall.RawConn) error {
		if control(network, address, c) != nil {
			return errNotPublic
		}
		return nil
	}
	build := func(control func(string, string, syscall.RawConn) error) *http.Client {
		dialer := &net.Dialer{Timeout: requestTimeout, Control: control}
		return &http.Client{
			Timeout:       requestTimeout,
			Transport:     &agent{version, &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: parallel, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return Client{public: build(guard), private: build(nil)}
}

var errNotPublic = errors.New("not a public address")

// agent adds the name of the program.
type agent struct {
	version string
	next    http.RoundTripper
}

func (a *agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", "kycq/"+a.version)
	return a.next.RoundTrip(r)
}

// send sends a signed message. The failure names neither address nor body.
func (c Client) send(ctx context.Context, e *Endpoint, id string, body []byte) result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return result{failure: "the url is not valid"}
	}
	req.Header.Set("Content-Type", "application/json")
	e.sign(req.Header, id, time.Now(), body)
	client := c.public
	if e.AllowPrivate {
		client = c.private
	}
	resp, err := client.Do(req)
	if err != nil {
		return result{failure: describe(err)}
	}
	const read = 4 << 10 // enough to use the connection again
	_, _ = io.CopyN(io.Discard, resp.Body, read)
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return result{sent: true}
	}
	return result{failure: fmt.Sprintf("it answered %d", resp.StatusCode), gone: resp.StatusCode == http.StatusGone}
}

// describe describes a network error without addresses and names.
func describe(err error) string {
	var name *net.DNSError
	var sys *os.SyscallError
	var network net.Error
	switch {
	case errors.Is(err, errNotPublic):
		return "its address is not public: add allow_private: true if that is meant"
	case errors.As(err, &name):
		return "its name cannot be resolved"
	case errors.As(err, &sys):
		return sys.Err.Error()
	case errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF):
		return "the connection was closed"
	}
	return "the connection failed (TLS, or no HTTP)"
}

// Test sends a message of the type webhook.test, and returns why it failed.
func (c Client) Test(ctx context.Context, e Endpoint, now time.Time) error {
	body, err := json.Marshal(message{Type: EventTest, Timestamp: now.UTC().Truncate(time.Second), Data: struct{}{}})
	if err != nil {
		return err
	}
	if r := c.send(ctx, &e, messageID(fmt.Sprintf("test/%s/%d", e.Name, now.UnixNano())), body); r.failure != "" {
		return errors.New(r.failure)
	}
	return nil
}
