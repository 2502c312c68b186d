package main

import (
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func TestAProofDoesNotSayThatWhatRemainsWasRemoved(t *testing.T) {
	t.Parallel()
	rec := &storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Aadhaar, VerificationID: "A1", Run: 1}}
	for name, remains := range map[string]*storage.RemainsError{
		"nothing":  {},
		"versions": {Remnants: []storage.Remnant{{Bucket: "masked", Key: "masked/A1/1.png", VersionID: "v1"}}},
	} {
		for _, line := range proofOf(storage.Config{}, rec, audit.Event{}, []string{"batches/b/manifest/1/000000"}, remains).Removed {
			if versions := strings.Contains(line, "version"); versions && strings.Contains(line, "but those that remain") != (name == "versions") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}
