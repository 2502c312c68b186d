package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

type preparer struct{ keyset *tasks.Keyset }

func (p preparer) Prepare(job tasks.Job) (tasks.JobSpec, error) {
	return tasks.JobSpec{Fingerprint: "f-" + job.VerificationID}, nil
}

// newReport reports a batch of four rows: valid, failed, in conflict, and one that was never called.
func newReport(t *testing.T, state batch.State) *Report {
	t.Helper()
	store, keyset := storagetest.NewFake(t), seal.Insecure()
	columns := []string{"verification_id", "file_number", "name", "code"}
	b := &batch.Batch{ID: "people-00000000", Name: "people", Kind: tasks.Passport, State: state, Plan: "p", Rows: 4}
	part := &manifest.Part{}
	for i := range 4 {
		id := fmt.Sprintf("ID%d", i+1)
		input, err := tasks.EncodeInput(tasks.Input{Passport: &tasks.PassportInput{FileNumber: tasks.NewPersonal("SPEC1"), DOB: tasks.NewPersonal("1990-01-31")}})
		if err != nil {
			t.Fatal(err)
		}
		part.Items = append(part.Items, manifest.Item{Row: i + 1, Line: i + 2, ID: id, Input: input, Fields: []string{id, "SPEC1", "=SPECIMEN()"}})
	}
	parts := batch.PartsOf(store, keyset, b)
	if err := parts.Write(t.Context(), part); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for id, change := range map[string]func(*storage.Record){
		"ID1": func(r *storage.Record) {
			r.State, r.ReferenceID = storage.StateValid, 354768
			r.Passport = &storage.PassportView{Matches: storage.Matches{Name: storage.MatchNo, DOB: storage.NotTold, FileNumber: storage.MatchYes}}
			r.Attempts = []storage.Attempt{{Run: 1, ProviderID: "ID1", SentAt: at}, {Run: 1, ProviderID: "ID1", SentAt: at}}
		},
		"ID2": func(r *storage.Record) {
			r.State, r.Code, r.Message, r.NextAction = storage.StateFailed, "provider_error", "it kept failing", "try again"
			r.Review = "nothing_masked"
		},
		"ID3": func(r *storage.Record) { r.State, r.Fingerprint = storage.StateValid, "another" },
	} {
		r := &storage.Record{
			JobSpec: tasks.JobSpec{
				Kind: tasks.Passport, VerificationID: id, Lane: tasks.Bulk, Batch: b.ID, Row: 1, Run: 1,
				SealedInput: "x", Fingerprint: "f-" + id,
			},
			CompletedAt: at,
		}
		change(r)
		if _, err := store.CreateRecord(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return &Report{Batch: b, Parts: parts, Records: store, Client: preparer{keyset}, Columns: columns, Format: CSV, Visited: func() {}}
}

func TestAReportHasEveryRowWithItsOutcome(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if rows, err := newReport(t, batch.Running).Write(t.Context(), &out); err != nil || rows != 4 {
		t.Fatal(rows, err)
	}
	want := `verification_id,file_number,name,code,line,outcome,already_done,kycq_code,message,next_action,reference_id,name_match,dob_match,file_number_match,masked_image,review,calls,run,first_called_at,completed_at
ID1,SPEC1,'=SPECIMEN(),,2,valid,,,,,354768,no,not_told,yes,,,2,1,2026-01-02T03:04:05.000Z,2026-01-02T03:04:05.000Z
ID2,SPEC1,'=SPECIMEN(),,3,failed,,provider_error,it kept failing,try again,,,,,,nothing_masked,0,1,,2026-01-02T03:04:05.000Z
ID3,SPEC1,'=SPECIMEN(),,4,failed,,different_input,this verification_id belongs to a job with a different input,"submit the row under a new verification_id (batch failures --new-ids; for derived ids, --ids-for)",,,,,,,0,0,,
ID4,SPEC1,'=SPECIMEN(),,5,queued,,,,,,,,,,,0,0,,
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestAReportCanBeLimited(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		only     Filter
		failures bool
		want     string
	}{
		"reviews":              {Filter{Review: true}, false, "ID2"},
		"failures with review": {Filter{Review: true, Outcome: Any}, true, "ID2"},
		"code":                 {Filter{Code: "different_input"}, true, "ID3"},
		"outcome":              {Filter{Outcome: "failed"}, false, "ID2 ID3"},
		"code and outcome":     {Filter{Outcome: "valid", Code: "different_input"}, false, ""},
		"mismatch":             {Filter{Mismatch: true}, false, "ID1"},
		"failures of mismatch": {Filter{Mismatch: true}, true, "ID1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			report := newReport(t, batch.Running)
			report.Only, report.FailuresOnly = tt.only, tt.failures
			if _, err := report.Write(t.Context(), &out); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for line := range strings.Lines(out.String()) {
				if id, _, _ := strings.Cut(line, ","); id != "verification_id" {
					ids = append(ids, id)
				}
			}
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("rows %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRowsOfACancelledBatchThatWereNeverCalledAreCancelled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := newReport(t, batch.Cancelled)
	j.Format = JSONL
	if _, err := j.Write(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last struct {
		Input          map[string]string
		Outcome, Code  string
		VerificationID string `json:"verification_id"`
	}
	if err := json.Unmarshal([]byte(lines[3]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Outcome != "cancelled" || last.Code != "cancelled" || last.VerificationID != "ID4" || last.Input["name"] != "=SPECIMEN()" {
		t.Errorf("%+v", last)
	}
}

func TestFailuresWithNewIDsCanBeSubmittedAgainAndAgain(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{CSV, JSONL} {
		j := newReport(t, batch.Running)
		j.FailuresOnly, j.NewIDs, j.Format = true, true, format
		rec := &storage.Record{State: storage.StateValid, JobSpec: tasks.JobSpec{
			Kind: tasks.Passport, VerificationID: "ID2.r2", Lane: tasks.Bulk, Run: 1, SealedInput: "x", Fingerprint: "y",
		}}
		if _, err := j.Records.(*storage.Store).CreateRecord(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		want := []string{"ID2.r3", "ID3.r2"}
		for range 3 {
			var out bytes.Buffer
			if _, err := j.Write(t.Context(), &out); err != nil {
				t.Fatal(err)
			}
			r, err := manifest.NewReader(&out, tasks.Passport, map[string]string{"dob": "name"}) // newReport has no column dob
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			var row manifest.Row
			for r.Next(&row) == nil {
				if row.Problem != nil {
					t.Fatal(row.Problem)
				}
				got = append(got, row.Get(manifest.ColumnID))
			}
			if strings.Join(got, " ") != strings.Join(want, " ") || j.FixedBefore != 1 {
				t.Errorf("%s: %v, %d fixed before", format, got, j.FixedBefore)
			}
			j.FixedBefore, j.Columns = 0, r.Columns() // the file was submitted and failed again
		}
	}
}

func TestFailuresCanBeReadAsAManifestAgain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := newReport(t, batch.Running)
	j.FailuresOnly = true
	if rows, err := j.Write(t.Context(), &out); err != nil || rows != 2 {
		t.Fatal(rows, err)
	}
	lines, err := csv.NewReader(bytes.NewReader(out.Bytes())).ReadAll()
	if err != nil || strings.Join(lines[0], ",") != "verification_id,file_number,name,code,kycq_code,message" {
		t.Fatal(lines, err)
	}
	text := strings.Replace(out.String(), "kycq_code", "dob", 1)
	r, err := manifest.NewReader(strings.NewReader(text), tasks.Passport, nil)
	if err != nil {
		t.Fatal(err)
	}
	var row manifest.Row
	if err := r.Next(&row); err != nil || row.Problem != nil || row.Get(manifest.ColumnName) != "=SPECIMEN()" {
		t.Errorf("%+v, %v", row, err)
	}
}
