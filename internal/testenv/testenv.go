// Package testenv provides the servers that tests need, to each test a separate part.
//
// KYCQ_TEST_REDIS (redis://127.0.0.1:PORT/0) and KYCQ_TEST_S3 (http://user:password@127.0.0.1:PORT) name real servers;
// make test starts them. Without them, tests use miniredis and gofakes3, and tests that need the real server are skipped.
// KYCQ_TEST_REQUIRE (a list of redis and minio) turns such a skip into a failure, so that a broken setup is noticed.
//
// The package is for tests only. Production code must not import it.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Servers that KYCQ_TEST_REQUIRE may list.
const (
	RealRedis = "redis"
	RealMinIO = "minio"
)

// Required reports whether KYCQ_TEST_REQUIRE lists the server.
func Required(server string) bool {
	list := strings.Split(os.Getenv("KYCQ_TEST_REQUIRE"), ",")
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == server })
}

// S3 returns the URL of a real S3-compatible store, with user and password. It skips the test if there is none.
func S3(t testing.TB) string {
	t.Helper()
	return realServer(t, RealMinIO, "KYCQ_TEST_S3")
}

// HasS3 reports whether there is a real store, for tests that can use a fake.
func HasS3() bool { return os.Getenv("KYCQ_TEST_S3") != "" }

// Tool returns the path of a program that scripts/tools.sh has installed into KYCQ_TEST_TOOLS. It skips the test if it is not
// there: make test-all looks for it, make test does not.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(filepath.Join(os.Getenv("KYCQ_TEST_TOOLS"), name))
	if err != nil || os.Getenv("KYCQ_TEST_TOOLS") == "" {
		t.Skipf("SKIPPED for lack of %s: run make test-deploy", name)
	}
	return path
}

func realServer(t testing.TB, server, variable string) string {
	t.Helper()
	url := os.Getenv(variable)
	if url != "" {
		return url
	}
	if Required(server) {
		t.Fatalf("KYCQ_TEST_REQUIRE lists %s, but %s is not set", server, variable)
	}
	t.Skipf("this test needs a real server: set %s, or run make test", variable)
	return ""
}
