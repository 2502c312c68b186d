package cashfree

import (
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

	// connectTimeout bounds name lookup plus TCP, and once more the TLS handshake. Both lie below any sensible
	// Timeout, so that a dead address ends as NotSent and not as a call that may have been charged.
	connectTimeout = 8 * time.Second
)

// Config is what a Client needs. URL, ClientID and ClientSecret are required.
type Config struct {
	// URL is the base of both calls, for example https://sandbox.cashfree.com/verification, without query.
	URL string
	// ClientID and ClientSecret are sent as x-client-id and x-client-secret (vendor page, "Authorizations").
	ClientID     string
	ClientSecret redact.Secret
	// PublicKeyPEM is the account's RSA key for two-factor authentication by signature: a PKIX or PKCS #1 public key or
	// an X.509 certificate. Empty: x-cf-signature is not sent, and the vendor checks the caller's IP address instead.
	PublicKeyPEM string
	// Timeout bounds a whole call, from the name lookup to the last byte of the answer; zero means 30 s.
	Timeout time.Duration
	// ImageTimeout bounds one FetchImage; zero means 60 s.
	ImageTimeout time.Duration
	// ImageHosts are the hosts ("host" for any port, or "host:port") that an image link may name even if they are
	// private or served over plain http. For development only.
	ImageHosts []string
	// UserAgent is "kycq" where empty.
	UserAgent string
	// Proxy chooses the proxy of the two calls, for example http.ProxyFromEnvironment; nil means none. Image links
	// never pass a proxy: it would resolve their names out of the guard's sight.
	Proxy func(*http.Request) (*url.URL, error)
}

// Client makes the calls. It is safe for concurrent use and keeps connections; Close lets go of the idle ones.
type Client struct {
	base      *url.URL
	id        string
	secret    redact.Secret
	signer    *signer // nil without a public key
	timeout   time.Duration
	userAgent string
	transport *http.Transport
	images    *fetcher
}

// New checks cfg and returns a Client. It opens no connection.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("cashfree url: %w", err)
	}
	if err := checkHeaderValue(cfg.ClientID); err != nil {
		return nil, fmt.Errorf("cashfree client id: %w", err)
	}
	if err := checkHeaderValue(cfg.ClientSecret.Reveal()); err != nil {
		return nil, fmt.Errorf("cashfree client secret: %w", err)
	}
	if cfg.Timeout < 0 || cfg.ImageTimeout < 0 {
		return nil, errors.New("cashfree timeout: must not be negative")
	}
	c := &Client{
		base:      base,
		id:        cfg.ClientID,
		secret:    cfg.ClientSecret,
		timeout:   orDuration(cfg.Timeout, defaultTimeout),
		userAgent: cfg.UserAgent,
		transport: newCallTransport(cfg.Proxy),
	}
	if c.userAgent == "" {
		c.userAgent = defaultUserAgent
	}
	if err := checkHeaderValue(c.userAgent); err != nil {
		return nil, fmt.Errorf("cashfree user agent: %w", err)
	}
	if cfg.PublicKeyPEM != "" {
		if c.signer, err = newSigner(cfg.ClientID, cfg.PublicKeyPEM); err != nil {
			return nil, fmt.Errorf("cashfree public key: %w", err)
		}
	}
	hosts, err := parseImageHosts(cfg.ImageHosts)
	if err != nil {
		return nil, fmt.Errorf("cashfree image hosts: %w", err)
	}
	c.images = newFetcher(hosts, orDuration(cfg.ImageTimeout, defaultImageTimeout), c.userAgent, net.Dialer{})
	return c, nil
}

// Close closes the idle connections. Calls in flight go on.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.images.transport.CloseIdleConnections()
}

// parseBase never repeats the address in its errors: someone may have put a password there.
func parseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https:// (or http:// for a simulator)")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must not hold a query or fragment")
	}
	if u.Path == "" {
		u.Path = "/" // JoinPath would make "passport" of it, which is no request target
	}
	return u, nil
}

// checkHeaderValue refuses what net/http would refuse on every call, at start-up and without showing the value.
func checkHeaderValue(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if strings.TrimSpace(s) != s {
		return errors.New("begins or ends with white space")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return errors.New("holds a character that cannot stand in a header")
		}
	}
	return nil
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
