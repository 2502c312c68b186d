package cashfree

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kycq/kycq/internal/redact"
)

// parseImageProxy does not quote the URL in errors: it may contain a password.
func parseImageProxy(raw redact.Secret, hosts imageHosts) (*url.URL, error) {
	if raw.Empty() {
		return nil, nil
	}
	u, err := url.Parse(raw.Reveal())
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("is not a proxy: write http://host:port or https://host:port")
	case len(hosts) == 0:
		return nil, errors.New("needs a list of image hosts, since kycq does not see which addresses the proxy connects to")
	}
	return u, nil
}

// proxyError is the answer of a proxy that does not connect to the host.
type proxyError int

func (e proxyError) Error() string {
	return fmt.Sprintf("the proxy refuses the connection: status %d", int(e))
}

// useProxy makes the transport use the proxy. It connects to the proxy with dial.
func useProxy(t *http.Transport, proxy *url.URL) {
	t.Proxy = http.ProxyURL(proxy)
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return proxyError(resp.StatusCode)
		}
		return nil
	}
}

// unlisted is the error for a link of a host that is not in the list that a proxy needs. It may be added later. The host is
// quoted only if it is a plain name.
func unlisted(host string) error {
	plain := strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
	if !plain || len(host) > 253 {
		host = "with an odd name"
	}
	return fmt.Errorf("its host %s is not in KYCQ_IMAGE_HOSTS: add it, and start the workers again", host)
}

// checkProxied checks a link that is fetched through a proxy. Plain http needs an entry with the port.
func (h imageHosts) checkProxied(u *url.URL, port string) error {
	switch {
	case u.User != nil:
		return refusedUser
	case !h.allow(u.Hostname(), port):
		return unlisted(u.Hostname())
	case u.Scheme == "http" && !h[hostKey(u.Hostname(), port)]:
		return refusedPlainHTTP
	}
	return nil
}

// ImageRoute is how image links are fetched.
type ImageRoute struct {
	Proxied      bool
	CallsProxied bool // whether calls use a proxy of the environment
	// Hosts has the hosts to which the proxy was asked to connect, with the error if it did not.
	Hosts []ImageHost
}

// ImageHost is one of the hosts that image links may have.
type ImageHost struct {
	Host string
	Err  error
}

// errConnected ends a check when the proxy has connected.
var errConnected = errors.New("connected")

// ImageRoute finds out how image links are fetched. It asks the proxy to connect to each host of the list, and sends the
// hosts nothing.
func (c *Client) ImageRoute(ctx context.Context) ImageRoute {
	route := ImageRoute{Proxied: c.images.proxy != nil}
	if c.cfg.Proxy != nil {
		used, err := c.cfg.Proxy(&http.Request{URL: c.base})
		route.CallsProxied = used != nil && err == nil
	}
	if !route.Proxied {
		return route
	}
	for _, host := range slices.Sorted(maps.Keys(c.images.hosts)) {
		route.Hosts = append(route.Hosts, ImageHost{host, c.images.connect(ctx, host)})
	}
	return route
}

// connect has the proxy connect to a host.
func (f *fetcher) connect(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	t := f.transport.Clone()
	defer t.CloseIdleConnections()
	refuse := t.OnProxyConnectResponse
	t.OnProxyConnectResponse = func(ctx context.Context, u *url.URL, req *http.Request, resp *http.Response) error {
		return errors.Join(refuse(ctx, u, req, resp), errConnected)
	}
	if _, _, err := net.SplitHostPort(host); err != nil && strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	req := (&http.Request{Method: http.MethodHead, URL: &url.URL{Scheme: "https", Host: host, Path: "/"}, Header: http.Header{}}).WithContext(ctx)
	resp, err := t.RoundTrip(req)
	switch {
	case is[proxyError](err):
	case errors.Is(err, errConnected):
		return nil
	case err == nil: // not reached: the request is not sent
		return resp.Body.Close()
	}
	return cause(err)
}
