package simulator_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
)

var sharedKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func testKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := sharedKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, key *rsa.PrivateKey, clientID string, at time.Time) string {
	t.Helper()
	plain := fmt.Sprintf("%s.%d", clientID, at.Unix())
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &key.PublicKey, []byte(plain), nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sealed)
}

func TestASignatureIsValidForFiveMinutesAndItsClient(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		cfg := account
		cfg.ClientID, cfg.PrivateKey = "client.with.dots", key
		sim := newSim(t, cfg)
		now := time.Now()
		for n, tt := range []struct {
			name, signature string
			status          int
		}{
			{"fresh", sign(t, key, "client.with.dots", now), 200},
			{"five minutes old", sign(t, key, "client.with.dots", now.Add(-5*time.Minute)), 200},
			{"five minutes ahead", sign(t, key, "client.with.dots", now.Add(5*time.Minute)), 200},
			{"too old", sign(t, key, "client.with.dots", now.Add(-5*time.Minute-time.Second)), 403},
			{"too far ahead", sign(t, key, "client.with.dots", now.Add(5*time.Minute+time.Second)), 403},
			{"of another client", sign(t, key, "client", now), 403},
			{"of another key", sign(t, other, "client.with.dots", now), 403},
			{"no base64", "!", 403},
			{"nothing", "", 403},
		} {
			got := call(sim, passportRequest("", passportBody(fmt.Sprint("id", n)),
				header("x-client-id", "client.with.dots"), header("x-cf-signature", tt.signature)))
			if got.Status != tt.status {
				t.Errorf("%s: got %d %s", tt.name, got.Status, got.Raw)
			}
		}
	})
}

func TestAPrivateKeyIsReadFromBothFormsOfPEM(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"pkcs1": {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
		"pkcs8": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		got, err := simulator.ParsePrivateKey(pem.EncodeToMemory(block))
		if err != nil || !got.Equal(key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := simulator.ParsePrivateKey([]byte("no key")); err == nil {
		t.Error("text without PEM was taken for a key")
	}
}
