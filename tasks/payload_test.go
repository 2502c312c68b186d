package tasks_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the wire form changed: old workers and stored records must still be read (-want +got):\n%s", diff)
	}
}

func TestPayloadKeepsItsWireForm(t *testing.T) {
	t.Parallel()
	want := tasks.JobSpec{
		Kind: tasks.Aadhaar, VerificationID: "ABC00123", Lane: tasks.Bulk, Run: 2,
		Batch: "backfill-2026-1f00c3aa", Row: 17, Line: 18, SealedInput: "kq1.1.c2VhbGVk", Fingerprint: "0a0b",
	}
	want.Base = tasks.Base{ETag: `"e"`, CreatedAt: time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)}
	task, err := tasks.NewTask(seal.Insecure(), "installation", want)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, task.Payload(), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "payload.json", append(indented.Bytes(), '\n'))
	got, err := tasks.DecodePayload(task.Payload())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInputKeepsItsWireForm(t *testing.T) {
	t.Parallel()
	inputs := map[string]tasks.Input{
		"input-aadhaar.json": {Image: &tasks.Image{Bucket: "kycq-inbox", Key: "single/ABC00123.0123456789ab", SHA256: "0123456789abcdef", Bytes: 4242, Uploaded: true}},
		"input-passport.json": {Passport: &tasks.PassportInput{
			FileNumber: tasks.NewPersonal("SPECIMEN00001"), DOB: tasks.NewPersonal("1990-01-31"), Name: tasks.NewPersonal("Specimen Person"),
		}},
	}
	for name, in := range inputs {
		raw, err := tasks.EncodeInput(in)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, raw)
		back, err := tasks.DecodeInput(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(in, back); diff != "" {
			t.Error(diff)
		}
	}
}

func TestDecodePayloadRefusesWhatItDoesNotKnowAndNeverQuotesIt(t *testing.T) {
	t.Parallel()
	const canary = "CANARYNAME"
	for name, raw := range map[string]string{
		"not json":      canary,
		"newer version": `{"version":99,"kind":"passport","verification_id":"a","lane":"live","run":1,"sealed_input":"` + canary + `"}`,
		"unknown kind":  `{"version":1,"kind":"` + canary + `","verification_id":"a","lane":"live","run":1,"sealed_input":"x"}`,
		"unknown lane":  `{"version":1,"kind":"passport","verification_id":"a","lane":"` + canary + `","run":1,"sealed_input":"x"}`,
		"bad id":        `{"version":1,"kind":"passport","verification_id":"` + canary + `/../x","lane":"live","run":1,"sealed_input":"x"}`,
		"no run":        `{"version":1,"kind":"passport","verification_id":"a","lane":"live","sealed_input":"` + canary + `"}`,
		"no input":      `{"version":1,"kind":"passport","verification_id":"a","lane":"live","run":1}`,
	} {
		_, err := tasks.DecodePayload([]byte(raw))
		if err == nil {
			t.Errorf("%s: was taken", name)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error quotes the payload: %v", name, err)
		}
	}
}

func TestTaskIDsOfRunsDiffer(t *testing.T) {
	t.Parallel()
	for run, want := range map[int]string{0: "ABC", 1: "ABC", 2: "ABC#2", 11: "ABC#11"} {
		if got := tasks.TaskID("ABC", run); got != want {
			t.Errorf("run %d: got %q, want %q", run, got, want)
		}
	}
}

func TestQueuesAreKindAndLane(t *testing.T) {
	t.Parallel()
	want := []string{"aadhaar-live", "aadhaar-bulk", "passport-live", "passport-bulk"}
	if diff := cmp.Diff(want, tasks.Queues()); diff != "" {
		t.Error(diff)
	}
}
