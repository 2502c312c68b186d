package api

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Certificate is the certificate of a server, which is read again when its files change. It is safe for concurrent use.
type Certificate struct {
	// Read returns certificate and key (PEM).
	Read func() (cert, key []byte, err error)
	Log  zerolog.Logger

	mu       sync.Mutex
	cert     []byte
	loaded   *tls.Certificate
	lookedAt time.Time
}

// lookAgain is the time between two readings of the files.
const lookAgain = 2 * time.Second

// TLS returns the settings of a server. It fails if the certificate cannot be used now.
func (c *Certificate) TLS() (*tls.Config, error) {
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(time.Now()), nil },
	}, nil
}

func (c *Certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.lookedAt) >= lookAgain {
		c.lookedAt = now
		if err := c.load(); err != nil { // the two files may be replaced one after the other
			c.Log.Warn().Err(err).Msg("the new certificate cannot be used: the last one stays in use")
		}
	}
	return c.loaded
}

func (c *Certificate) load() error {
	cert, key, err := c.Read()
	if err != nil || bytes.Equal(cert, c.cert) {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certificate (KYCQ_TLS_CERT, KYCQ_TLS_KEY): %w", err)
	}
	c.cert, c.loaded = cert, &pair
	return nil
}
