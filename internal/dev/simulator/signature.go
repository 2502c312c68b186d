package simulator

import (
	"crypto/rsa"
	"crypto/sha1" // the vendor's scheme is RSA-OAEP with SHA-1
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// signatureLife is the most that the time of a signature may differ from now (the vendor's five minutes).
const signatureLife = 5 * time.Minute

// checkSignature decrypts base64(RSA-OAEP(SHA-1, "clientId.unixSeconds")).
func checkSignature(key *rsa.PrivateKey, signature, clientID string, now time.Time) *vendorError {
	if signature == "" {
		return errSignatureMissing
	}
	sealed, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return errSignatureInvalid
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, sealed, nil)
	if err != nil {
		return errSignatureInvalid
	}
	// The client id may contain dots, the time does not.
	cut := strings.LastIndexByte(string(plain), '.')
	if cut < 0 || !same(string(plain[:cut]), clientID) {
		return errSignatureInvalid
	}
	seconds, err := strconv.ParseInt(string(plain[cut+1:]), 10, 64)
	if err != nil {
		return errSignatureInvalid
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureLife || age < -signatureLife {
		return errSignatureInvalid
	}
	return nil
}

// ParsePrivateKey parses an RSA private key, PKCS #8 or PKCS #1, from PEM.
func ParsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("private key: no PEM block")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("private key: want RSA, have %T", parsed)
	}
	return key, nil
}
