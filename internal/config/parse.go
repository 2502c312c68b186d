package config

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/internal/redact"
)

// Every parser's error completes "SETTING: ..." and ends with what to write instead. Those of secrets say nothing about
// the value.

type secretField = redact.Secret

type field[T any] func(*Config) *T

func word(f field[string]) func(*Config, string) error {
	return func(c *Config, text string) error {
		if strings.ContainsAny(text, " \t\r\n") {
			return fmt.Errorf("%q holds a space or a line break: write it without", text)
		}
		*f(c) = text
		return nil
	}
}

func secret(f field[secretField]) func(*Config, string) error {
	return func(c *Config, text string) error {
		*f(c) = redact.NewSecret(strings.TrimSpace(text))
		return nil
	}
}

func boolean(f field[bool]) func(*Config, string) error {
	return func(c *Config, text string) error {
		value, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false: write one of them", text)
		}
		*f(c) = value
		return nil
	}
}

func integer(f field[int], least, most int) func(*Config, string) error {
	return func(c *Config, text string) error {
		value, err := strconv.Atoi(text)
		if err != nil || value < least || value > most {
			return fmt.Errorf("%q is out of range: write a whole number from %d to %d", text, least, most)
		}
		*f(c) = value
		return nil
	}
}

func duration(f field[time.Duration], least, most time.Duration) func(*Config, string) error {
	return func(c *Config, text string) error {
		value, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return fmt.Errorf("%q is not a duration: write a number with its unit, for example 500ms, 30s or 5m", text)
		case value < least || value > most:
			return fmt.Errorf("%s is out of range: write a duration from %s to %s", text, brief(least), brief(most))
		}
		*f(c) = value
		return nil
	}
}

// brief is a duration without its zero parts: 5m, not 5m0s.
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

func choice(f field[string], allowed ...string) func(*Config, string) error {
	return func(c *Config, text string) error {
		if !slices.Contains(allowed, text) {
			return fmt.Errorf("%q is unknown: write %s", text, strings.Join(allowed, " or "))
		}
		*f(c) = text
		return nil
	}
}

// rate checks what the gate will read: calls, a slash, and a unit or a duration.
func rate(f field[string]) func(*Config, string) error {
	return func(c *Config, text string) error {
		calls, per, _ := strings.Cut(text, "/")
		if per == "s" || per == "m" || per == "h" {
			per = "1" + per
		}
		n, err := strconv.Atoi(calls)
		d, bad := time.ParseDuration(per)
		if err != nil || bad != nil || n < 1 || n > 1_000_000 || d < time.Second || d > 24*time.Hour {
			return fmt.Errorf("%q is not a rate: write calls per s, m, h or duration, for example 100/m or 50/30s", text)
		}
		*f(c) = text
		return nil
	}
}

func bucket(f field[string]) func(*Config, string) error {
	return func(c *Config, text string) error {
		if !forms.IsBucket(text) {
			return fmt.Errorf("%q is not a bucket name: want %s", text, forms.BucketRule)
		}
		*f(c) = text
		return nil
	}
}

// splitList reads "a,b , c". Empty parts do not count.
func splitList(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func statuses(f field[[]int]) func(*Config, string) error {
	return func(c *Config, text string) error {
		codes := []int{} // not nil: nobody may take "none" for "the default"
		if text != "none" {
			for _, part := range splitList(text) {
				code, err := strconv.Atoi(part)
				if err != nil || code < 500 || code > 599 {
					return fmt.Errorf("%q is not a status that can be retried: write codes from 500 to 599 by commas, or none", part)
				}
				codes = append(codes, code)
			}
		}
		*f(c) = codes
		return nil
	}
}

func hosts(f field[[]string]) func(*Config, string) error {
	return func(c *Config, text string) error {
		list := splitList(text)
		for _, host := range list {
			if strings.ContainsAny(host, "/@?# ") || host == "*" {
				return fmt.Errorf("%q is not a host: write host or host:port, without scheme and path", host)
			}
		}
		*f(c) = list
		return nil
	}
}

func address(f field[string]) func(*Config, string) error {
	return func(c *Config, text string) error {
		_, port, err := net.SplitHostPort(text)
		if number, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || number > 65535 {
			return fmt.Errorf("%q is not an address: write host:port, for example 127.0.0.1:8080 or :8080", text)
		}
		*f(c) = text
		return nil
	}
}

func baseURL(f field[string]) func(*Config, string) error {
	return func(c *Config, text string) error {
		u, err := url.Parse(text)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			// The text is not quoted: it may hold a password.
			return errors.New("is not a base URL: write http(s)://host[:port], without a user, a password or a query")
		}
		*f(c) = strings.TrimRight(text, "/")
		return nil
	}
}

// cashfreeURL refuses plain http to the vendor itself; a simulator may be anywhere.
func cashfreeURL(c *Config, text string) error {
	if err := baseURL(func(c *Config) *string { return &c.CashfreeURL })(c, text); err != nil {
		return err
	}
	u, err := url.Parse(text)
	if host := u.Hostname(); err == nil && u.Scheme == "http" && (host == "cashfree.com" || strings.HasSuffix(host, ".cashfree.com")) {
		return errors.New("would send the client secret unencrypted: write https://")
	}
	return nil
}

var redisSchemes = []string{"redis://", "rediss://", "redis-sentinel://"}

func redisURL(c *Config, text string) error {
	if !slices.ContainsFunc(redisSchemes, func(scheme string) bool {
		return strings.HasPrefix(text, scheme) && len(text) > len(scheme)
	}) {
		return errors.New("is not a Redis URL: write redis://host:6379/0, rediss://host:6379/0 or redis-sentinel://host:26379/0?master=NAME")
	}
	c.RedisURL = redact.NewSecret(text)
	return nil
}

// mayHoldPassword errs on the side of caution: an @ can stand in a password too.
func mayHoldPassword(url string) bool {
	return strings.Contains(url, "@") || strings.Contains(url, "password")
}

// hidePassword shows of a URL what can hold no password: all of it, the host, or the scheme.
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

func publicKey(c *Config, text string) error {
	text = strings.TrimSpace(text)
	block, _ := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return errors.New("is not PEM: write the text from -----BEGIN PUBLIC KEY----- to -----END PUBLIC KEY-----, or name its file with _FILE")
	case strings.Contains(block.Type, "PRIVATE"):
		return errors.New("is a private key: write Cashfree's public key")
	}
	c.CashfreePublicKey = text
	return nil
}
