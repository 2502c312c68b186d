package tasks_test

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// delivered returns the payload of a task in Redis.
func (b *bench) delivered(t *testing.T, queue, id string) []byte {
	t.Helper()
	info, err := b.inspector.GetTaskInfo(queue, id)
	if err != nil {
		t.Fatal(err)
	}
	return info.Payload
}

func keyset(t *testing.T) *seal.Keyset {
	t.Helper()
	k, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Write access to Redis is not enough: no field can be changed, added or removed, and no payload moved.
func TestAPayloadIsAuthenticatedWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ledger.installation = "one"
	job, err := b.client.Prepare(tasks.Job{
		Kind: tasks.Passport, VerificationID: "A", Lane: tasks.Bulk, Batch: "b-1", Row: 3, Input: passportJob("A", "SPECIMEN1").Input,
	})
	if err != nil {
		t.Fatal(err)
	}
	job.Base = tasks.Base{ETag: `"e"`, CreatedAt: time.UnixMilli(1000)}
	if _, err := b.client.Push(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	raw := b.delivered(t, "passport-bulk", "A")
	if _, err := b.client.OpenPayload(t.Context(), "passport-bulk", "A", raw); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	changes := map[string]any{
		"version": 1, "kind": "aadhaar", "verification_id": "B", "lane": "live", "run": 2, "batch": "b-2", "row": 4, "sealed_input": "kq1.1.eA",
		"fingerprint": "", "base": map[string]any{"none": true}, "seal": "kq1.insecure.",
	}
	for field := range fields {
		if _, tried := changes[field]; !tried {
			t.Errorf("no change of field %s is tried", field)
		}
	}
	refused := func(name, queue, id string, payload []byte) {
		t.Helper()
		_, err := b.client.OpenPayload(t.Context(), queue, id, payload)
		if !errors.Is(err, tasks.ErrPayloadForged) && !errors.Is(err, tasks.ErrPayloadUnsealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for field, value := range changes {
		was := fields[field]
		for name, set := range map[string]func(){"changed": func() { fields[field] = value }, "removed": func() { delete(fields, field) }} {
			set()
			forged, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			queue, id := "passport-bulk", "A" // those that the payload names
			switch {
			case field == "kind" && name == "changed":
				queue = "aadhaar-bulk"
			case field == "lane" && name == "changed":
				queue = "passport-live"
			case field == "verification_id" && name == "changed":
				id = "B"
			case field == "run" && name == "changed":
				id = "A#2"
			}
			refused(field+" "+name, queue, id, forged)
			fields[field] = was
		}
	}
	for part, value := range map[string]any{"none": true, "etag": `"f"`, "created_at": time.UnixMilli(2000)} {
		base, _ := fields["base"].(map[string]any)
		was, had := base[part]
		base[part] = value
		forged, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		refused("base: "+part+" changed", "passport-bulk", "A", forged)
		if base[part] = was; !had {
			delete(base, part)
		}
	}
	refused("another queue", "passport-live", "A", raw)
	refused("another id", "passport-bulk", "evil", raw)
	refused("not JSON", "passport-bulk", "A", []byte("x"))

	other := setup(t)
	if other.client, err = tasks.NewClient(tasks.ClientConfig{Redis: other.rdb, Keyset: b.keyset, Ledger: other.ledger}); err != nil {
		t.Fatal(err)
	}
	other.ledger.installation = "two"
	if _, err := other.client.OpenPayload(t.Context(), "passport-bulk", "A", raw); !errors.Is(err, tasks.ErrPayloadForged) {
		t.Errorf("a payload of another installation with the same keyset: %v", err)
	}
}

func TestWhatIsNotForgedIsNotCalledForged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.client.Enqueue(t.Context(), passportJob("A", "SPECIMEN1")); err != nil {
		t.Fatal(err)
	}
	raw := b.delivered(t, "passport-live", "A")
	newer := []byte(`{"version":3,"kind":"unknown"}`)
	if _, err := b.client.OpenPayload(t.Context(), "passport-live", "A", newer); !errors.Is(err, tasks.ErrPayloadVersion) {
		t.Errorf("a newer version: %v", err)
	}
	stranger, err := tasks.NewClient(tasks.ClientConfig{Redis: b.rdb, Keyset: keyset(t), Ledger: b.ledger})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.OpenPayload(t.Context(), "passport-live", "A", raw); !errors.Is(err, seal.ErrKeyMissing) {
		t.Errorf("a key that this worker lacks: %v", err)
	}
	b.ledger.nameless = errors.New("the ledger is down")
	if stranger, err = tasks.NewClient(tasks.ClientConfig{Redis: b.rdb, Keyset: b.keyset, Ledger: b.ledger}); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.OpenPayload(t.Context(), "passport-live", "A", raw); !errors.Is(err, b.ledger.nameless) {
		t.Errorf("the ledger is down: %v", err)
	}
}

// Once a process with a keyset has used the ledger, nothing unencrypted gets in, whatever the settings of a process say.
func TestSealedStaysSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.client.Enqueue(t.Context(), passportJob("A", "SPECIMEN1")); err != nil {
		t.Fatal(err)
	}
	open, err := tasks.NewClient(tasks.ClientConfig{Redis: b.rdb, Keyset: seal.Insecure(), Ledger: b.ledger})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.Enqueue(t.Context(), passportJob("B", "SPECIMEN2")); !errors.Is(err, tasks.ErrSealed) {
		t.Errorf("enqueue without a keyset: %v", err)
	}
	if len(b.ledger.entries) != 1 {
		t.Errorf("%d jobs in the ledger", len(b.ledger.entries))
	}
	if _, err := open.OpenPayload(t.Context(), "passport-live", "A", b.delivered(t, "passport-live", "A")); !errors.Is(err, tasks.ErrSealed) {
		t.Errorf("a worker without a keyset: %v", err)
	}
	forged, err := tasks.NewTask(seal.Insecure(), b.ledger.installation, tasks.JobSpec{
		Kind: tasks.Passport, VerificationID: "C", Lane: tasks.Live, Run: 1, SealedInput: "kq1.insecure.e30",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.OpenPayload(t.Context(), "passport-live", "C", forged.Payload()); !errors.Is(err, tasks.ErrPayloadForged) {
		t.Errorf("a payload without encryption, at a worker with a keyset: %v", err)
	}
}

// Another process may begin to encrypt while this one, without a keyset, runs.
func TestAClientWithoutAKeysetNoticesThatTheDataIsEncryptedNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, err := tasks.NewClient(tasks.ClientConfig{Redis: b.rdb, Keyset: seal.Insecure(), Ledger: b.ledger})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := open.CheckSealing(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.ledger.sealed = true
		time.Sleep(10 * time.Second)
		if err := open.CheckSealing(t.Context()); !errors.Is(err, tasks.ErrSealed) {
			t.Errorf("got %v", err)
		}
	})
}
