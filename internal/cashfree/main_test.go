package cashfree

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/redact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID   = "ABC00123"
	testLink = "https://images.example/masked.jpg?token=bearer-specimen"
	okMasked = `{"status":"VALID","verification_id":"ABC00123","reference_id":354768,"image_link":"` + testLink + `"}`
)

// testClient returns a client of base with a short timeout; change alters its configuration.
func testClient(tb testing.TB, base string, change ...func(*Config)) *Client {
	tb.Helper()
	cfg := Config{
		URL: base, ClientID: "CF_SPECIMEN", ClientSecret: redact.NewSecret("specimen-secret"), Timeout: 10 * time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// vendor serves h and returns a client of it.
func vendor(tb testing.TB, h http.HandlerFunc, change ...func(*Config)) *Client {
	tb.Helper()
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return testClient(tb, srv.URL+"/verification", change...)
}

// wire serves raw connections: answer is called with each connection and its number, starting at 1.
func wire(tb testing.TB, answer func(n int, conn *net.TCPConn, r *bufio.Reader)) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	tb.Cleanup(func() { _ = ln.Close(); <-done })
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			tcp := conn.(*net.TCPConn)
			answer(n, tcp, bufio.NewReader(tcp))
			_ = tcp.Close()
		}
	}()
	return "http://" + ln.Addr().String()
}

// readRequest reads a whole request off r.
func readRequest(r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err
}

// readHeader reads the header of a request.
func readHeader(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.TrimSpace(line) == "" {
			return err
		}
	}
}

// rootsOf returns the root certificates for srv.
func rootsOf(srv *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return roots
}

func mask(ctx context.Context, c *Client, image []byte) *Reply {
	return c.MaskAadhaar(ctx, MaskRequest{
		ProviderID: testID, Image: bytes.NewReader(image), Size: int64(len(image)), ContentType: "image/jpeg", Ext: "jpg",
	})
}

func verify(ctx context.Context, c *Client) *Reply {
	return c.VerifyPassport(ctx, PassportRequest{
		ProviderID: testID, FileNumber: redact.NewPersonal("ZZ0000SPECIMEN"), DOB: redact.NewPersonal("1990-02-28"),
		Name: redact.NewPersonal("Specimen Person"),
	})
}

// leaky must never appear in a text: the input, the vendor's text, the link.
var leaky = []string{
	"ZZ0000SPECIMEN", "1990-02-28", "Specimen Person", "specimen-secret", "bearer-specimen", "images.example", "106.51.91.104",
}

func mustNotLeak(tb testing.TB, text string) {
	tb.Helper()
	for _, s := range leaky {
		if strings.Contains(text, s) {
			tb.Errorf("%q shows up in %q", s, text)
		}
	}
}
