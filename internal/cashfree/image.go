package cashfree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// maxImage is in bytes. Originals have at most 10 MB (vendor page); a masked image can be larger after re-encoding.
const maxImage = 20 << 20

// FetchedImage is a masked image. ContentType is detected from the bytes, not read from the header.
type FetchedImage struct {
	Body        []byte
	ContentType string
}

// ErrTooLarge means that the image has more than 20 MB.
var ErrTooLarge error = refusedTooLarge

// LinkError is the reason why an image was not fetched. Its text does not contain the link or data from the server, nor
// its host, unless the host must be added to those of a proxy. If neither Gone nor Refused is set, the link may work later.
type LinkError struct {
	// Gone: the link has expired. Set for all 4xx except 407, 408, 425 and 429: object stores also answer 400 or 401 to an
	// expired signature.
	Gone bool
	// Refused: the link is not allowed here, which other settings or another network may change, or the error is ErrTooLarge.
	Refused bool
	// HTTPStatus is 0 if no answer began.
	HTTPStatus int
	err        error
}

func (e *LinkError) Error() string { return "image link: " + e.err.Error() }

func (e *LinkError) Unwrap() error { return e.err }

// FetchImage fetches an image_link, at most 20 MB. The link is not trusted: only https and public addresses, or only listed
// hosts through Config.ImageProxy; no redirects, other proxies, cookies or credentials. Errors are of type *LinkError.
func (c *Client) FetchImage(ctx context.Context, link redact.Secret) (*FetchedImage, error) {
	return c.images.fetch(ctx, link)
}

type fetcher struct {
	proxy     *url.URL // nil: none
	hosts     imageHosts
	timeout   time.Duration
	userAgent string
	transport *http.Transport
}

// newFetcher adds the address check to the dialer. Tests pass a base with their own resolver and a second control.
func newFetcher(hosts imageHosts, timeout time.Duration, userAgent string, base net.Dialer) *fetcher {
	base.Timeout = connectTimeout
	open, guarded := base, base
	guarded.ControlContext = func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		if err := control(network, address, conn); err != nil {
			return err
		}
		if base.ControlContext != nil {
			return base.ControlContext(ctx, network, address, conn)
		}
		return nil
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err == nil && hosts.allow(host, port) {
			return open.DialContext(ctx, network, addr)
		}
		return guarded.DialContext(ctx, network, addr)
	}
	return &fetcher{hosts: hosts, timeout: timeout, userAgent: userAgent, transport: newTransport(dial)}
}

func (f *fetcher) fetch(ctx context.Context, link redact.Secret) (*FetchedImage, error) {
	u, err := f.hosts.checkLink(link.Reveal(), f.proxy != nil)
	if err != nil {
		return nil, &LinkError{Refused: is[refusal](err), err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: make(http.Header, 2)}).WithContext(ctx)
	req.Header.Set("User-Agent", f.userAgent)
	req.Header.Set("Accept", "image/*")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := f.transport.RoundTrip(req)
	if err != nil {
		return nil, &LinkError{Refused: is[refusal](err), err: cause(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode)
	}
	return readImage(resp)
}

func statusError(status int) *LinkError {
	e := &LinkError{HTTPStatus: status, err: fmt.Errorf("status %d", status)}
	switch {
	case status >= 300 && status < 400:
		e.Refused, e.err = true, refusedRedirect
	case status == http.StatusProxyAuthRequired, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
	case status >= 400 && status < 500:
		e.Gone = true
	}
	return e
}

func readImage(resp *http.Response) (*FetchedImage, error) {
	if resp.ContentLength > maxImage {
		return nil, &LinkError{Refused: true, HTTPStatus: resp.StatusCode, err: refusedTooLarge}
	}
	body, err := readUpTo(resp.Body, resp.ContentLength, maxImage)
	switch {
	case err != nil:
		return nil, &LinkError{HTTPStatus: resp.StatusCode, err: cause(err)}
	case len(body) > maxImage:
		return nil, &LinkError{Refused: true, HTTPStatus: resp.StatusCode, err: refusedTooLarge}
	}
	if body = plain(body, maxImage); len(body) > maxImage {
		return nil, &LinkError{Refused: true, HTTPStatus: resp.StatusCode, err: refusedTooLarge}
	}
	body = bytes.TrimLeft(body, " \t\r\n")
	contentType := http.DetectContentType(body)
	if isPage(resp.Header.Get("Content-Encoding"), contentType) {
		return nil, &LinkError{HTTPStatus: resp.StatusCode, err: errors.New("the answer is not an image")}
	}
	return &FetchedImage{Body: body, ContentType: contentType}, nil
}

// isPage reports whether a 200 is the answer of a gateway, and not a file: a page or another text, nothing, or a coding that
// was not asked for. A file that is no image goes to the check, and to a person.
func isPage(encoding, contentType string) bool {
	switch strings.ToLower(encoding) {
	case "", "identity", "gzip", "x-gzip":
		return strings.HasPrefix(contentType, "text/") || contentType == "application/x-gzip"
	}
	return true
}

// readUpTo reads all of r, at most limit+1 bytes. announced is the Content-Length, or -1. If it is known, the image is read
// into one slice of that size.
func readUpTo(r io.Reader, announced, limit int64) ([]byte, error) {
	if announced < 0 {
		return io.ReadAll(io.LimitReader(r, limit+1))
	}
	body := make([]byte, announced)
	_, err := io.ReadFull(r, body)
	return body, err
}
