package cashfree

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // the vendor's scheme
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

func TestNewNamesTheProblemWithoutSecrets(t *testing.T) {
	t.Parallel()
	good := Config{URL: "https://sandbox.cashfree.com/verification", ClientID: "id", ClientSecret: redact.NewSecret("s")}
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no url":         {func(c *Config) { c.URL = "" }, "cashfree url"},
		"scheme":         {func(c *Config) { c.URL = "ftp://x" }, "https://"},
		"no host":        {func(c *Config) { c.URL = "https:///x" }, "no host"},
		"user":           {func(c *Config) { c.URL = "https://u:hunter2@x" }, "user name"},
		"query":          {func(c *Config) { c.URL = "https://x?a=hunter2" }, "query"},
		"bad url":        {func(c *Config) { c.URL = "https://x\x7fhunter2" }, "not a URL"},
		"no id":          {func(c *Config) { c.ClientID = "" }, "client id: is empty"},
		"no secret":      {func(c *Config) { c.ClientSecret = redact.Secret{} }, "client secret: is empty"},
		"line end":       {func(c *Config) { c.ClientSecret = redact.NewSecret("hunter2\n") }, "white space"},
		"line inside":    {func(c *Config) { c.ClientSecret = redact.NewSecret("hunter2\nx: y") }, "character"},
		"user agent":     {func(c *Config) { c.UserAgent = "a\r\nb" }, "user agent"},
		"timeout":        {func(c *Config) { c.Timeout = -1 }, "timeout"},
		"image timeout":  {func(c *Config) { c.ImageTimeout = -1 }, "timeout"},
		"key":            {func(c *Config) { c.PublicKeyPEM = "hunter2" }, "public key: is not PEM"},
		"image host url": {func(c *Config) { c.ImageHosts = []string{"http://x"} }, "image hosts"},
		"image port":     {func(c *Config) { c.ImageHosts = []string{"x:99999"} }, "port"},
		"image wildcard": {func(c *Config) { c.ImageHosts = []string{"*"} }, "image hosts"},
		"empty host":     {func(c *Config) { c.ImageHosts = []string{""} }, "image hosts"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tt.change(&cfg)
			_, err := New(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want one about %q", err, tt.want)
			}
		})
	}
	c, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.cfg.Timeout != 30*time.Second || c.images.timeout != 60*time.Second || c.cfg.UserAgent != "kycq" {
		t.Errorf("defaults: %s %s %q", c.cfg.Timeout, c.images.timeout, c.cfg.UserAgent)
	}
}

func TestEveryCallHasItsOwnSignature(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{
		"PUBLIC KEY": pkix, "RSA PUBLIC KEY": x509.MarshalPKCS1PublicKey(&key.PublicKey), "CERTIFICATE": cert,
	}
	for form, der := range forms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			c := vendor(t, func(w http.ResponseWriter, r *http.Request) {
				header := r.Header.Get("X-Cf-Signature")
				if seen[header] {
					t.Error("a signature was used twice")
				}
				seen[header] = true
				sealed, err := base64.StdEncoding.DecodeString(header)
				if err != nil {
					t.Error(err)
				}
				plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, sealed, nil) // the vendor's scheme
				if err != nil {
					t.Error(err)
				}
				id, seconds, _ := strings.Cut(string(plain), ".")
				at, err := strconv.ParseInt(seconds, 10, 64)
				if id != "CF_SPECIMEN" || err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
					t.Errorf("signed %q", plain)
				}
				w.WriteHeader(http.StatusBadGateway)
			}, func(cfg *Config) {
				cfg.PublicKeyPEM = string(pem.EncodeToMemory(&pem.Block{Type: form, Bytes: der}))
			})
			verify(t.Context(), c)
			mask(t.Context(), c, []byte("image"))
			if len(seen) != 2 {
				t.Errorf("%d signatures for 2 calls", len(seen))
			}
		})
	}
}

func TestAKeyThatCannotSignIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 1024) // too short on purpose
	if err != nil {
		t.Fatal(err)
	}
	short := block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey))
	tests := map[string]struct{ id, text, want string }{
		"private":   {"id", block("PRIVATE KEY", []byte("hunter2")), "private key"},
		"damaged":   {"id", block("PUBLIC KEY", []byte("hunter2")), "damaged"},
		"cert":      {"id", block("CERTIFICATE", []byte("hunter2")), "damaged"},
		"other pem": {"id", block("X509 CRL", []byte("hunter2")), "another type"},
		"curve":     {"id", block("PUBLIC KEY", der), "not an RSA key"},
		"too short": {strings.Repeat("i", 100), short, "cannot sign"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := newSigner(tt.id, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want one about %q", err, tt.want)
			}
		})
	}
}
