package loopback_test

import (
	"testing"

	"github.com/kycq/kycq/internal/loopback"
)

func TestIs(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8080": true, "127.9.9.9": true, "localhost": true, "LocalHost:80": true,
		"::1": true, "[::1]": true, "[::1]:8080": true, "::ffff:127.0.0.1": true,
		"": false, "10.0.0.1:80": false, "0.0.0.0": false, "localhost.example.com": false, "127.0.0.1.example.com:80": false,
	} {
		if got := loopback.Is(address); got != want {
			t.Errorf("%q: got %t", address, got)
		}
	}
}
