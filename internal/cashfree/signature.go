package cashfree

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the vendor's scheme, see sign
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// signer creates the x-cf-signature header.
type signer struct {
	clientID string
	key      *rsa.PublicKey
}

func newSigner(clientID, keyPEM string) (*signer, error) {
	key, err := parsePublicKey(keyPEM)
	if err != nil {
		return nil, err
	}
	s := &signer{clientID: clientID, key: key}
	// Fail now, not in each call, if the key is too short for the message.
	if _, err := s.sign(time.Now()); err != nil {
		return nil, fmt.Errorf("the key cannot sign: %w", err)
	}
	return s, nil
}

// sign returns base64(RSA-OAEP(SHA-1, public key, clientID "." unix seconds)), the vendor's definition of x-cf-signature. It
// contains the time, so every call needs a new one. OAEP does not depend on the collision resistance of SHA-1.
func (s *signer) sign(now time.Time) (string, error) {
	message := s.clientID + "." + strconv.FormatInt(now.Unix(), 10)
	sealed, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, s.key, []byte(message), nil) //nolint:gosec // see above
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// parsePublicKey parses the PEM forms that the vendor's dashboard and openssl produce. Errors never quote the input, which
// could be a private key.
func parsePublicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("is not PEM (want -----BEGIN PUBLIC KEY-----)")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("is a private key; use the public key from the vendor's dashboard")
	default:
		return nil, errors.New("is PEM of another type (want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE)")
	}
	if err != nil {
		return nil, errors.New("is damaged: the PEM contains no valid key")
	}
	rsaKey, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("is not an RSA key but %T", key)
	}
	return rsaKey, nil
}
