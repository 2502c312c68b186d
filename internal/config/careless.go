package config

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/kycq/kycq/internal/loopback"
)

// live is the host of Cashfree's live API.
const live = "api.cashfree.com"

// Careless lists settings that work, but expose secrets or data, one line each with what to do.
func (c *Config) Careless() []string {
	found := c.notes
	redis := c.RedisURL.Reveal()
	if u, err := url.Parse(redis); err == nil && u.User != nil && strings.HasPrefix(redis, "redis://") && !loopback.Is(u.Host) {
		found = append(found, "KYCQ_REDIS_URL sends its password and all data unencrypted to another machine: use rediss://, unless the network is closed")
	}
	if u, err := url.Parse(c.S3Endpoint); err == nil && u.Scheme == "http" && !loopback.Is(u.Host) {
		found = append(found, "KYCQ_S3_ENDPOINT sends images unencrypted to another machine: use https://, unless the network is closed")
	}
	if u, err := url.Parse(c.ImageProxy.Reveal()); err == nil && u.Scheme == "http" && u.User != nil && !loopback.Is(u.Host) {
		found = append(found, "KYCQ_IMAGE_PROXY sends its password unencrypted to another machine: use https://, unless the network is closed")
	}
	return found
}

// checkExposure refuses a file of a secret that all users of this machine can read.
func (l *loader) checkExposure(c *Config, s Setting, g given) {
	if !s.Secret {
		return
	}
	switch exposureOf(g.path) {
	case exposed:
		l.problem("%s: all users of this machine can read %s: chmod 600 it, or the folder to 700", g.spelling, g.path)
	case mounted:
		c.notes = append(c.notes, fmt.Sprintf("%s: other users of this machine or container can read %s: mount it with a mode without rights for others", g.spelling, g.path))
	case private:
	}
}

// checkLive refuses exceptions for development together with the live API.
func (l *loader) checkLive(c *Config) {
	u, err := url.Parse(c.CashfreeURL)
	if err == nil && strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), live) && len(c.ImageHosts) > 0 && c.ImageProxy.Empty() {
		l.problem("%s allows image links to private addresses and plain http, which the live API has none of: remove it (it goes with %s only)",
			l.given["image_hosts"].spelling, l.given["image_proxy"].spelling)
	}
}
