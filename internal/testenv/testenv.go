// Package testenv gives a test the servers that it needs, each test a part of its own.
//
// KYCQ_TEST_REDIS (redis://127.0.0.1:PORT/0) and KYCQ_TEST_S3 (http://user:password@127.0.0.1:PORT) name real servers;
// make test starts them. Without them, tests run on miniredis and gofakes3, and those whose promise is about the real
// server are skipped with a reason. KYCQ_TEST_REQUIRE (a list of redis and minio) turns such a skip into a failure, so
// that a broken set-up cannot pass for a green run.
//
// The package is for tests only and must not be imported by production code.
package testenv

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The names that KYCQ_TEST_REQUIRE knows.
const (
	RealRedis = "redis"
	RealMinIO = "minio"
)

// Required tells whether KYCQ_TEST_REQUIRE lists the server.
func Required(server string) bool {
	list := strings.Split(os.Getenv("KYCQ_TEST_REQUIRE"), ",")
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == server })
}

// S3 returns the URL of a real S3-compatible store, with user and password in it; it skips the test where there is none.
func S3(t testing.TB) string {
	t.Helper()
	return realServer(t, RealMinIO, "KYCQ_TEST_S3")
}

// HasS3 tells whether there is a real store, for tests that are content with a fake.
func HasS3() bool { return os.Getenv("KYCQ_TEST_S3") != "" }

func realServer(t testing.TB, server, variable string) string {
	t.Helper()
	url := os.Getenv(variable)
	if url != "" {
		return url
	}
	if Required(server) {
		t.Fatalf("KYCQ_TEST_REQUIRE lists %s, but %s is not set", server, variable)
	}
	t.Skipf("the promise of this test is about a real server: set %s, or run make test", variable)
	return ""
}
