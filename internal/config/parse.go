package config

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redact"
)

// A parser's error completes "SETTING: ..." and ends with what to write instead. That of a secret does not quote the value.

// to stores what parse returns in field.
func to[T any](field *T, parse func(text string) (T, error)) func(string) error {
	return func(text string) error {
		value, err := parse(text)
		if err == nil {
			*field = value
		}
		return err
	}
}

func word(text string) (string, error) {
	if strings.ContainsAny(text, " \t\r\n") {
		return "", fmt.Errorf("%q holds a space or a line break: write it without", text)
	}
	return text, nil
}

// operator accepts login names and addresses. It is part of audit events, which are never changed.
func operator(text string) (string, error) {
	if !operatorForm.MatchString(text) {
		return "", fmt.Errorf("%q is not a name: write 1 to 64 of A-Z a-z 0-9 . _ @ + -", text)
	}
	return text, nil
}

var operatorForm = regexp.MustCompile(`^[A-Za-z0-9._@+-]{1,64}$`)

func secret(text string) (redact.Secret, error) { return redact.NewSecret(text), nil }

func boolean(text string) (bool, error) {
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false: write one of them", text)
	}
	return value, nil
}

func integer(least, most int) func(string) (int, error) {
	return func(text string) (int, error) {
		value, err := strconv.Atoi(text)
		if err != nil || value < least || value > most {
			return 0, fmt.Errorf("%q is out of range: write a whole number from %d to %d", text, least, most)
		}
		return value, nil
	}
}

func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		value, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is not a duration: write a number with its unit, for example 500ms, 30s or 5m", text)
		case value < least || value > most:
			return 0, fmt.Errorf("%s is out of range: write a duration from %s to %s", text, brief(least), brief(most))
		}
		return value, nil
	}
}

// brief formats a duration without zero parts: 5m, not 5m0s.
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func choice(allowed ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !slices.Contains(allowed, text) {
			return "", fmt.Errorf("%q is unknown: write %s", text, strings.Join(allowed, " or "))
		}
		return text, nil
	}
}

func limit(text string) (rate.Rate, error) {
	r, err := rate.Parse(text)
	if err != nil {
		return r, fmt.Errorf("%q is not a rate: write calls per s, m, h or duration, for example 100/m or 50/30s", text)
	}
	return r, nil
}

func bucket(text string) (string, error) {
	if !forms.IsBucket(text) {
		return "", fmt.Errorf("%q is not a bucket name: want %s", text, forms.BucketRule)
	}
	return text, nil
}

// splitList splits at commas and drops empty parts.
func splitList(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func networks(text string) (all []netip.Prefix, err error) {
	for _, part := range splitList(text) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			ip, err := netip.ParseAddr(part)
			if err != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network: write for example 10.0.0.7 or 10.0.0.0/24", part)
			}
			p = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func list(text string) ([]string, error) { return splitList(text), nil }

// statuses returns an empty slice, not nil, for none.
func statuses(text string) ([]int, error) {
	codes := []int{}
	if text == "none" {
		return codes, nil
	}
	for _, part := range splitList(text) {
		code, err := strconv.Atoi(part)
		if err != nil || code < 500 || code > 599 {
			return nil, fmt.Errorf("%q is not a status that can be retried: write codes from 500 to 599 by commas, or none", part)
		}
		codes = append(codes, code)
	}
	return codes, nil
}

func places(text string) ([]string, error) {
	list := splitList(text)
	for _, place := range list {
		if name, _, _ := strings.Cut(place, "/"); !forms.IsBucket(name) {
			return nil, fmt.Errorf("%q is not a place: write bucket or bucket/folder, without s3://", place)
		}
	}
	return list, nil
}

func hosts(text string) ([]string, error) {
	list := splitList(text)
	for _, host := range list {
		if strings.ContainsAny(host, "/@?# ") || host == "*" {
			return nil, fmt.Errorf("%q is not a host: write host or host:port, without scheme and path", host)
		}
	}
	return list, nil
}

func address(text string) (string, error) {
	_, port, err := net.SplitHostPort(text)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return "", fmt.Errorf("%q is not an address: write host:port, for example 127.0.0.1:8080 or :8080", text)
	}
	return text, nil
}

func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// The text is not quoted: it may hold a password.
		return "", errors.New("is not a base URL: write http(s)://host[:port], without a user, a password or a query")
	}
	return strings.TrimRight(text, "/"), nil
}

var pathForm = regexp.MustCompile(`^(/[A-Za-z0-9_-]+)+$`)

func urlPath(text string) (string, error) {
	if !pathForm.MatchString(text) {
		return "", errors.New("is not a path: write /name or /name/name")
	}
	return text, nil
}

// cashfreeURL refuses plain http to the vendor; simulators may use it.
func cashfreeURL(text string) (string, error) {
	base, err := baseURL(text)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(base)
	if host := u.Hostname(); err == nil && u.Scheme == "http" && (host == "cashfree.com" || strings.HasSuffix(host, ".cashfree.com")) {
		return "", errors.New("would send the client secret unencrypted: write https://")
	}
	return base, nil
}

func redisURL(text string) (redact.Secret, error) {
	for _, scheme := range []string{"redis://", "rediss://", "redis-sentinel://"} {
		if strings.HasPrefix(text, scheme) && len(text) > len(scheme) {
			return redact.NewSecret(text), nil
		}
	}
	return redact.Secret{}, errors.New("is not a Redis URL: write redis://host:6379/0, rediss://host:6379/0 or redis-sentinel://host:26379/0?master=NAME")
}

// proxyURL does not quote the text in errors: it may hold a password.
func proxyURL(text string) (redact.Secret, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return redact.Secret{}, errors.New("is not a proxy: write http://host:port or https://host:port, with user:password@ before the host if it needs them")
	}
	return redact.NewSecret(text), nil
}

// mayHoldPassword reports false only if url surely holds no password; a password can contain an @.
func mayHoldPassword(url string) bool {
	return strings.Contains(url, "@") || strings.Contains(url, "password")
}

// hidePassword replaces what may be a password in a URL.
func hidePassword(url string) string {
	if !mayHoldPassword(url) {
		return url
	}
	scheme, rest, _ := strings.Cut(url, "://")
	if strings.Contains(rest, "?") || strings.Count(rest, "@") != 1 {
		return scheme + "://[secret]"
	}
	_, host, _ := strings.Cut(rest, "@")
	return scheme + "://[secret]@" + host
}

func publicKey(text string) (string, error) {
	block, _ := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return "", errors.New("is not PEM: write the text from -----BEGIN PUBLIC KEY----- to -----END PUBLIC KEY-----, or name its file with _FILE")
	case strings.Contains(block.Type, "PRIVATE"):
		return "", errors.New("is a private key: write Cashfree's public key")
	}
	return text, nil
}
