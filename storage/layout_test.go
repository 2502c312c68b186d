package storage

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/tasks"
)

func TestTheKeyLayoutIsAContract(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct {
		want string
		key  func() (string, error)
	}{
		{"records/aadhaar/ABC00123.json", func() (string, error) { return recordKey(tasks.Aadhaar, "ABC00123") }},
		{"records/passport/a.b_c-d.json", func() (string, error) { return recordKey(tasks.Passport, "a.b_c-d") }},
		{"single/ABC00123.0123456789ab", func() (string, error) { return inboxKey(SingleGroup, "ABC00123", sum) }},
		{"backfill-1f00c3aa/7.0123456789ab", func() (string, error) { return inboxKey("backfill-1f00c3aa", "7", sum) }},
		{"quarantine/ABC00123", func() (string, error) { return quarantineKey("ABC00123") }},
		{"masked/ABC00123.jpg", func() (string, error) { return maskedKey("ABC00123", 0, "jpg") }},
		{"masked/ABC00123.png", func() (string, error) { return maskedKey("ABC00123", 0, ".png") }},
		{"masked/ABC00123/1.jpg", func() (string, error) { return maskedKey("ABC00123", 1, "jpg") }},
		{"masked/ABC00123/12.png", func() (string, error) { return maskedKey("ABC00123", 12, ".png") }},
	} {
		if got, err := c.key(); err != nil || got != c.want {
			t.Errorf("got %q, %v, want %q", got, err, c.want)
		}
	}
}

func TestNoNameLeavesItsFolder(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0", 64)
	for _, name := range []string{"", ".", "..", "...", "a/b", "../a", "a\\b", "a\x00", "a b", "ä", "a\n", "-", "%2e", strings.Repeat("a", 201)} {
		for part, key := range map[string]func() (string, error){
			"record":     func() (string, error) { return recordKey(tasks.Aadhaar, name) },
			"inbox id":   func() (string, error) { return inboxKey(SingleGroup, name, sum) },
			"group":      func() (string, error) { return inboxKey(name, "A", sum) },
			"quarantine": func() (string, error) { return quarantineKey(name) },
			"masked":     func() (string, error) { return maskedKey(name, 1, "jpg") },
			"extension":  func() (string, error) { return maskedKey("A", 1, name) },
			"kind":       func() (string, error) { return recordKey(tasks.Kind(name), "A") },
		} {
			if got, err := key(); err == nil {
				t.Errorf("%s %q was taken as %q", part, name, got)
			}
		}
	}
	if _, err := inboxKey("quarantine", "A", sum); err == nil {
		t.Error("a batch may not be called quarantine")
	}
}

func TestARecordsKeyGivesItsID(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"records/aadhaar/A.json": "A", "records/aadhaar/A.json.json": "A.json",
		"records/aadhaar/A": "", "records/passport/A.json": "", "records/aadhaar/.json": "", "records/aadhaar/a/b.json": "",
	} {
		got, ok := recordID(tasks.Aadhaar, key)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", key, got, ok)
		}
	}
}
