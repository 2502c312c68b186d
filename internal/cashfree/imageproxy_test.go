package cashfree

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/kycq/kycq/internal/redact"
)

// connectProxy is a proxy with a password. It connects each host to the target, and refuses those named denied.
type connectProxy struct {
	target string
	mu     sync.Mutex
	asked  []string
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	switch {
	case r.Header.Get("Proxy-Authorization") != "Basic c3BlY2ltZW46cGFzc3dvcmQ=": // specimen:password
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case r.Method != http.MethodConnect || strings.HasPrefix(r.Host, "denied"):
		w.WriteHeader(http.StatusForbidden)
		return
	}
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(to, buffered); _ = to.Close() }()
	_, _ = io.Copy(from, to)
	_ = from.Close()
}

// proxied is a client whose image links go through the proxy, to a host of images.
func proxied(t *testing.T, user string) (*Client, *connectProxy) {
	t.Helper()
	target := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("\x89PNG\r\n\x1a\n"))
	}))
	t.Cleanup(target.Close)
	p := &connectProxy{target: target.Listener.Addr().String()}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	c, err := New(Config{
		URL: "https://vendor.example", ClientID: "specimen", ClientSecret: redact.NewSecret("specimen"),
		ImageHosts: []string{"example.com", "denied.example"},
		ImageProxy: redact.NewSecret(strings.Replace(server.URL, "http://", "http://"+user+"@", 1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.images.transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	c.images.transport.TLSClientConfig.RootCAs.AddCert(target.Certificate())
	return c, p
}

func TestImageLinksUseTheProxyForListedHostsOnly(t *testing.T) {
	t.Parallel()
	c, p := proxied(t, "specimen:password")
	for link, want := range map[string]string{
		"https://example.com/a":           "",
		"https://other.example/a?token=x": "image link: its host other.example is not in KYCQ_IMAGE_HOSTS: add it, and start the workers again",
		"https://127.0.0.1/a":             "image link: its host 127.0.0.1 is not in KYCQ_IMAGE_HOSTS: add it, and start the workers again",
		"https://denied.example/a":        "image link: the proxy refuses the connection: status 403",
		"http://example.com/a":            "image link: refused: the link is not https",
		"https://user@example.com/a":      "image link: refused: the link contains a user name",
	} {
		image, err := c.FetchImage(t.Context(), redact.NewSecret(link))
		if want == "" {
			if err != nil || image.ContentType != "image/png" {
				t.Errorf("%s: %v", link, err)
			}
			continue
		}
		var failed *LinkError
		if !errors.As(err, &failed) || err.Error() != want || failed.Gone || failed.Refused != strings.Contains(want, "refused: ") {
			t.Errorf("%s: %#v, want %s", link, err, want)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, asked := range p.asked {
		if asked != "CONNECT example.com:443" && asked != "CONNECT denied.example:443" {
			t.Errorf("the proxy was asked: %s", asked)
		}
	}
}

func TestTheRouteOfImageLinksIsTried(t *testing.T) {
	t.Parallel()
	c, p := proxied(t, "specimen:password")
	route := c.ImageRoute(t.Context())
	if !route.Proxied || len(route.Hosts) != 2 || route.Hosts[1].Err != nil || route.Hosts[0].Err == nil {
		t.Errorf("%+v", route)
	}
	if len(p.asked) != 2 {
		t.Errorf("the proxy was asked: %v", p.asked)
	}
	c, _ = proxied(t, "specimen:WRONGWORD")
	_, err := c.FetchImage(t.Context(), redact.NewSecret("https://example.com/a"))
	var failed *LinkError
	if !errors.As(err, &failed) || failed.Gone || failed.Refused || err.Error() != "image link: the proxy refuses the connection: status 407" {
		t.Errorf("a wrong password: %#v", err)
	}
	if err := c.ImageRoute(t.Context()).Hosts[1].Err; err == nil || strings.Contains(err.Error(), "WORD") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestAnImageProxyNeedsAListOfHosts(t *testing.T) {
	t.Parallel()
	cfg := Config{URL: "https://vendor.example", ClientID: "specimen", ClientSecret: redact.NewSecret("specimen")}
	for _, proxy := range []string{"http://user:HIDDEN@proxy.example:3128", "socks5://user:HIDDEN@proxy.example", "http://user:HIDDEN@[proxy"} {
		cfg.ImageProxy = redact.NewSecret(proxy)
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "HIDDEN") || !strings.Contains(err.Error(), "KYCQ_IMAGE_PROXY") {
			t.Errorf("%v", err)
		}
	}
	cfg.ImageProxy, cfg.Proxy = redact.Secret{}, http.ProxyFromEnvironment
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if c.images.transport.Proxy != nil {
		t.Error("image links use a proxy that was set for calls")
	}
}
