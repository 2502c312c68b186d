package config

import "testing"

// AllReadOnly has the test take all folders for read-only mounts.
func AllReadOnly(t *testing.T) {
	t.Helper()
	onReadOnlyMount = func(string) bool { return true }
	t.Cleanup(func() { onReadOnlyMount = readOnlyMount })
}
