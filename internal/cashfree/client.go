package cashfree

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

const (
	defaultTimeout      = 30 * time.Second
	defaultImageTimeout = 60 * time.Second
	defaultUserAgent    = "kycq"

	// connectTimeout bounds name lookup plus TCP connect, and separately the TLS handshake. It is below any sensible
	// Timeout, so an unreachable address yields NotSent rather than Lost.
	connectTimeout = 8 * time.Second
)

// Config configures a Client. URL, ClientID and ClientSecret are required.
type Config struct {
	// URL is the base of both calls, for example https://sandbox.cashfree.com/verification, without query.
	URL string
	// ClientID and ClientSecret are sent as x-client-id and x-client-secret (vendor page, "Authorizations").
	ClientID     string
	ClientSecret redact.Secret
	// PublicKeyPEM is the account's RSA key for two-factor authentication by signature: a PKIX or PKCS #1 public key or
	// an X.509 certificate. If it is empty, x-cf-signature is not sent and the vendor checks the caller's IP address.
	PublicKeyPEM string
	// Timeout bounds a call from the name lookup to the last byte of the answer; zero means 30 s.
	Timeout time.Duration
	// ImageTimeout bounds one FetchImage; zero means 60 s.
	ImageTimeout time.Duration
	// ImageHosts are hosts ("host" for any port, or "host:port") from which image links are fetched even if they are
	// private or use plain http: for development only; or, with ImageProxy, the only hosts.
	ImageHosts []string
	// ImageProxy is the URL of the http or https proxy of image links; empty means none.
	ImageProxy redact.Secret
	// UserAgent defaults to "kycq".
	UserAgent string
	// Proxy selects the proxy of the two calls, for example http.ProxyFromEnvironment; nil means none. Image links do
	// not use it: it would resolve their names without the checks of guard.go.
	Proxy func(*http.Request) (*url.URL, error)
}

// Client makes the calls. It is safe for concurrent use and keeps idle connections until Close.
type Client struct {
	base      *url.URL
	cfg       Config  // with defaults
	signer    *signer // nil without a public key
	transport *http.Transport
	images    *fetcher
}

// New validates cfg. It opens no connection.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("cashfree url: %w", err)
	}
	cfg.UserAgent = cmp.Or(cfg.UserAgent, defaultUserAgent)
	for _, header := range []struct{ name, value string }{
		{"client id", cfg.ClientID}, {"client secret", cfg.ClientSecret.Reveal()}, {"user agent", cfg.UserAgent},
	} {
		if err := checkHeaderValue(header.value); err != nil {
			return nil, fmt.Errorf("cashfree %s: %w", header.name, err)
		}
	}
	if cfg.Timeout < 0 || cfg.ImageTimeout < 0 {
		return nil, errors.New("cashfree timeout: must not be negative")
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.ImageTimeout = cmp.Or(cfg.ImageTimeout, defaultImageTimeout)
	c := &Client{base: base, cfg: cfg, transport: newCallTransport(cfg.Proxy)}
	if cfg.PublicKeyPEM != "" {
		if c.signer, err = newSigner(cfg.ClientID, cfg.PublicKeyPEM); err != nil {
			return nil, fmt.Errorf("cashfree public key: %w", err)
		}
	}
	hosts, err := parseImageHosts(cfg.ImageHosts)
	if err != nil {
		return nil, fmt.Errorf("cashfree image hosts: %w", err)
	}
	c.images = newFetcher(hosts, cfg.ImageTimeout, cfg.UserAgent, net.Dialer{})
	if c.images.proxy, err = parseImageProxy(cfg.ImageProxy, hosts); err != nil {
		return nil, fmt.Errorf("cashfree image proxy (KYCQ_IMAGE_PROXY): %w", err)
	}
	if c.images.proxy != nil {
		c.images.transport.DialContext = (&net.Dialer{Timeout: connectTimeout}).DialContext // it may be private
		useProxy(c.images.transport, c.images.proxy)
	}
	return c, nil
}

// Close closes idle connections. Calls in flight are not affected.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.images.transport.CloseIdleConnections()
}

// parseBase does not quote the URL in errors: it may contain a password.
func parseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https:// (or http:// for a simulator)")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must not hold a query or fragment")
	}
	if u.Path == "" {
		u.Path = "/" // otherwise JoinPath returns "passport", which is not a valid request target
	}
	return u, nil
}

// checkHeaderValue refuses values that net/http would refuse in each call. Its errors do not quote the value.
func checkHeaderValue(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if strings.TrimSpace(s) != s {
		return errors.New("begins or ends with white space")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return errors.New("contains a character that is not allowed in a header")
		}
	}
	return nil
}
