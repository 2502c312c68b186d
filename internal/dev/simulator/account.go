package simulator

import (
	"crypto/rsa"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// account holds credentials, signature key and address list. All can change while calls run.
type account struct {
	mu           sync.RWMutex
	clientID     string
	clientSecret string
	key          *rsa.PrivateKey
	allowed      []netip.Prefix
}

func newAccount(cfg Config) (*account, error) {
	allowed, err := parsePrefixes(cfg.AllowedIPs)
	if err != nil {
		return nil, err
	}
	return &account{clientID: cfg.ClientID, clientSecret: cfg.ClientSecret, key: cfg.PrivateKey, allowed: allowed}, nil
}

func (a *account) setCredentials(id, secret string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clientID, a.clientSecret = id, secret
}

func (a *account) setAllowed(addresses []string) error {
	allowed, err := parsePrefixes(addresses)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.allowed = allowed
	return nil
}

// check runs steps 3 to 7 of the order of precedence.
func (a *account) check(h http.Header, from netip.Addr, now time.Time) *vendorError {
	a.mu.RLock()
	defer a.mu.RUnlock()
	id, secret := h.Get("x-client-id"), h.Get("x-client-secret")
	switch {
	case id == "":
		return errClientIDMissing
	case secret == "":
		return errClientSecretMissing
	}
	anyPair := a.clientID == "" && a.clientSecret == ""
	rightSecret := anyPair || same(secret, a.clientSecret)
	if !rightSecret && ofTestEnvironment(secret) {
		return errTestSecret
	}
	if !rightSecret || !anyPair && !same(id, a.clientID) {
		return errCredentials
	}
	if a.key != nil {
		if e := checkSignature(a.key, h.Get("x-cf-signature"), id, now); e != nil {
			return e
		}
	}
	if !a.allows(from) {
		return errIP(from.String())
	}
	return nil
}

func (a *account) allows(from netip.Addr) bool {
	if len(a.allowed) == 0 {
		return true
	}
	for _, p := range a.allowed {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// ofTestEnvironment recognizes a sandbox secret by its form, "cfsk_ma_test_..." or "TEST...", which is observed and not
// documented.
func ofTestEnvironment(secret string) bool {
	return strings.HasPrefix(secret, "TEST") || strings.Contains(secret, "_test_")
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func parsePrefixes(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		if addr, err := netip.ParseAddr(s); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("allowed address %q: neither an address nor a prefix like 10.0.0.0/8", s)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

// callerOf returns the address of the connection. It ignores forwarding headers, which clients can forge.
func callerOf(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
