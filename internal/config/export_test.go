package config

import (
	"testing"
	"time"

	"github.com/kycq/kycq/internal/redact"
)

// AllReadOnly has the test take all folders for read-only mounts.
func AllReadOnly(t *testing.T) {
	t.Helper()
	onReadOnlyMount = func(string) bool { return true }
	t.Cleanup(func() { onReadOnlyMount = readOnlyMount })
}

func (c *Config) RunKeysetCommand(timeout time.Duration) (redact.Secret, error) {
	return c.runKeysetCommand(timeout)
}

var OnlyRootWrites = onlyRootWrites
