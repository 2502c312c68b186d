package storage_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenRecord has every field set.
func goldenRecord() *storage.Record {
	at := func(second int) time.Time {
		return time.Date(2026, 1, 2, 3, 4, second, 120_000_000, time.UTC)
	}
	return &storage.Record{
		Version: 4,
		JobSpec: tasks.JobSpec{
			Kind: tasks.Aadhaar, VerificationID: "ABC00123", Lane: tasks.Bulk, Batch: "backfill-2026-1f00c3aa", Row: 17, Line: 18, Run: 2,
			SealedInput: "kq1.1.aW5wdXQ", Fingerprint: "f1",
		},
		WriteID: "0f0e0d0c0b0a09080706050403020100",
		State:   storage.StateValid, ReferenceID: 354768,
		MaskedImage: &storage.MaskedImage{
			Bucket: "kycq-masked", Key: "masked/ABC00123/2.jpg", SHA256: "00ff", VendorSHA256: "ff00", Bytes: 183220,
			ContentType: "image/jpeg", Width: 1012, Height: 638,
		},
		Review: "finder patterns without a readable code",
		Passport: &storage.PassportView{
			Name: "J*** D**", FileNumber: "***********4215", ApplicationType: "NORMAL",
			ApplicationReceivedDate: "2003-12-31", Matches: storage.Matches{Name: storage.MatchYes, DOB: storage.MatchNo, FileNumber: storage.MatchYes},
		},
		Sealed: "kq1.1.YW5zd2Vy",
		Earlier: []storage.EarlierRun{{
			Run: 1, State: storage.StateFailed, Code: "unsafe_mask", ReferenceID: 354767, Sealed: "kq1.1.ZWFybGllcg",
			MaskedImage: &storage.MaskedImage{Bucket: "kycq-masked", Key: "masked/ABC00123.jpg"},
			Passport: &storage.PassportView{
				Name: "J*** D**", Matches: storage.Matches{Name: storage.NotTold, DOB: storage.NotTold, FileNumber: storage.NotTold},
			},
		}},
		Attempts: []storage.Attempt{
			{Run: 1, ProviderID: "ABC00123", SentAt: at(1), TimeoutMS: 30000, EndedAt: at(2), HTTPStatus: 502, Code: "verification_failed", Result: "retry", Counted: true},
			{Run: 2, ProviderID: "ABC00123.k1.ABCDEFGH", SentAt: at(3), TimeoutMS: 30000, SendWithinMS: 12000, LinkGone: 2, LinkWaitMS: 150000, EndedAt: at(4), HTTPStatus: 200, Result: "answered", Counted: true, Reissue: true, Probe: true},
		},
		NotBefore: at(5), Reason: "retry", UploadDeletedAt: at(6),
		Erased:    &storage.Erasure{At: at(7), By: "officer", Reason: "request"},
		CreatedAt: at(0), UpdatedAt: at(8), CompletedAt: at(9),
	}
}

func TestTheRecordsFormIsAContract(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*storage.Record{
		"full": goldenRecord(),
		"queued": {
			Version: 1, WriteID: "00", State: storage.StateQueued,
			JobSpec: tasks.JobSpec{
				Kind: tasks.Passport, VerificationID: "P-1", Lane: tasks.Live, Run: 1, SealedInput: "kq1.1.aW5wdXQ", Fingerprint: "f1",
			},
			CreatedAt: time.Date(2026, 1, 2, 8, 34, 5, 999_999, time.FixedZone("IST", 19800)),
			UpdatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.MarshalIndent(r, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			path := "testdata/record_" + name + ".json"
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-golden +got):\n%s", diff)
			}
		})
	}
}

// Records up to version 3 have booleans.
func TestComparisonsOfEarlierVersionsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]storage.Match{
		"true": storage.MatchYes, "false": storage.MatchNo, `"yes"`: storage.MatchYes, `"no"`: storage.MatchNo,
		`"not_told"`: storage.NotTold, `""`: storage.NotTold, `"maybe"`: storage.NotTold, "null": storage.NotTold,
	} {
		var m storage.Matches
		if err := json.Unmarshal([]byte(`{"dob":`+text+`}`), &m); err != nil || m.DOB != want && text != "null" {
			t.Errorf("%s: %q, %v", text, m.DOB, err)
		}
	}
}

func TestARecordThisProgramDoesNotUnderstandIsRefused(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a later version":    `{"version":5,"kind":"aadhaar","verification_id":"X","run":1,"state":"queued"}`,
		"no version":         `{"kind":"aadhaar","verification_id":"X","run":1,"state":"queued"}`,
		"another job's":      `{"version":1,"kind":"aadhaar","verification_id":"Y","run":1,"state":"queued"}`,
		"not JSON":           `<html>SPECIMEN NAME</html>`,
		"of the wrong types": `{"version":1,"kind":"aadhaar","verification_id":"X","run":"SPECIMEN NAME"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := storagetest.StartFake(t)
			store := server.Store(t)
			server.Use(serveBody(body))
			_, _, err := store.Record(t.Context(), tasks.Aadhaar, "X")
			if err == nil {
				t.Fatal("it was read")
			}
			if name == "a later version" && !errors.Is(err, storage.ErrVersion) {
				t.Errorf("got %v, want ErrVersion", err)
			}
			if strings.Contains(err.Error(), "SPECIMEN NAME") {
				t.Errorf("the error quotes the record: %v", err)
			}
		})
	}
}

func TestUnknownFieldsAreTolerated(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	server.Use(serveBody(`{"version":1,"kind":"aadhaar","verification_id":"X","run":1,"state":"queued","later":{"a":1}}`))
	r, _, err := store.Record(t.Context(), tasks.Aadhaar, "X")
	if err != nil || r.State != storage.StateQueued {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestACloneSharesNothing(t *testing.T) {
	t.Parallel()
	r := goldenRecord()
	c := r.Clone()
	if diff := cmp.Diff(r, c); diff != "" {
		t.Fatalf("(-record +clone):\n%s", diff)
	}
	c.MaskedImage.Key, c.Passport.Name, c.Erased.By, c.LastAttempt().Code = "other", "other", "other", "other"
	c.Earlier[0].Code, c.Earlier[0].MaskedImage.Key, c.Earlier[0].Passport.Name = "other", "other", "other"
	if diff := cmp.Diff(goldenRecord(), r); diff != "" {
		t.Errorf("a change of the clone reached the record:\n%s", diff)
	}
}

func TestFinalStates(t *testing.T) {
	t.Parallel()
	for state, want := range map[storage.State]bool{
		storage.StateQueued: false, storage.StateWaiting: false, storage.StateSent: false, storage.StateAnswered: false,
		storage.StateValid: true, storage.StateInvalid: true, storage.StateFailed: true, storage.StateCancelled: true,
	} {
		if state.Final() != want {
			t.Errorf("%s: final %v, want %v", state, state.Final(), want)
		}
	}
}

// serveBody answers every request with the same object.
func serveBody(body string) storagetest.Intercept {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("ETag", `"1"`)
		_, _ = w.Write([]byte(body))
	}
}

func TestWhetherAJobMayHaveBeenChargedIsReadFromItsAttempts(t *testing.T) {
	t.Parallel()
	type at = storage.Attempt
	for name, c := range map[string]struct {
		attempts      []at
		paid, unknown bool
	}{
		"no attempt":        {nil, false, false},
		"in flight":         {[]at{{}}, true, true},
		"no answer":         {[]at{{Result: storage.ResultUnknown}}, true, true},
		"a cut answer":      {[]at{{Result: storage.ResultUnknown, HTTPStatus: 502}}, true, true},
		"504":               {[]at{{Result: "refused", HTTPStatus: 504}}, true, true},
		"200":               {[]at{{Result: "answered", HTTPStatus: 200}}, true, false},
		"an odd 200":        {[]at{{Result: "refused", HTTPStatus: 200}}, true, false},
		"a link gone":       {[]at{{Result: "link_gone", HTTPStatus: 200}}, true, false},
		"not sent":          {[]at{{Result: "not_sent"}}, false, false},
		"500, 429, 401":     {[]at{{Result: "error", HTTPStatus: 500}, {Result: "limited", HTTPStatus: 429}, {Result: "held", HTTPStatus: 401}}, false, false},
		"409":               {[]at{{Result: "duplicate", HTTPStatus: 409}}, false, false},
		"of an earlier run": {[]at{{Run: 1, Result: storage.ResultUnknown}, {Run: 2, Result: "error", HTTPStatus: 502}}, true, true},
	} {
		r := &storage.Record{JobSpec: tasks.JobSpec{Run: 2}, Attempts: c.attempts}
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		field := strings.Contains(string(raw), `"maybe_charged":true`)
		if r.MayHavePaid() != c.paid || r.MaybeCharged() != c.unknown || field != c.unknown {
			t.Errorf("%s: may have paid %v, fate unknown %v, maybe_charged %v", name, r.MayHavePaid(), r.MaybeCharged(), field)
		}
	}
}

func TestARecordHasTheLowestVersionWithAllItsFields(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	job := tasks.JobSpec{Kind: tasks.Passport, VerificationID: "V", Lane: tasks.Live, Run: 1}
	r := storage.NewRecord(job)
	r.State, r.Code = storage.StateFailed, "provider_error"
	v, err := store.CreateRecord(t.Context(), r)
	if err != nil || r.Version != 1 {
		t.Fatalf("version %d, %v", r.Version, err)
	}
	job.Run = 2
	next := r.NextRun(job)
	if _, err := store.SwapRecord(t.Context(), next, v); err != nil || next.Version != 2 {
		t.Fatalf("version %d, %v", next.Version, err)
	}
	got, _, err := store.Record(t.Context(), tasks.Passport, "V")
	if err != nil || got.Version != 2 || len(got.Earlier) != 1 || got.Earlier[0].Code != "provider_error" {
		t.Errorf("%+v, %v", got, err)
	}
	got.MaskedImage = &storage.MaskedImage{VendorSHA256: "00ff"}
	_, v, _ = store.Record(t.Context(), tasks.Passport, "V")
	if _, err := store.SwapRecord(t.Context(), got, v); err != nil || got.Version != 3 {
		t.Fatalf("version %d, %v", got.Version, err)
	}
}
