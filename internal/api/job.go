package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/blocked"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Job is a job as the API shows it. It holds no personal data.
type Job struct {
	Kind           string       `json:"kind" enum:"aadhaar,passport"`
	VerificationID string       `json:"verification_id"`
	Lane           string       `json:"lane" enum:"live,bulk"`
	Batch          string       `json:"batch,omitempty"`
	Row            int          `json:"row,omitempty" doc:"counts the accepted rows of the batch"`
	Line           int          `json:"line,omitempty" doc:"of the row in the file that was submitted"`
	Run            int          `json:"run" doc:"1, or higher after a retry"`
	State          string       `json:"state" enum:"queued,waiting,sent,answered,valid,invalid,failed,cancelled" doc:"the last four are final"`
	Code           string       `json:"code" doc:"why the job is not valid; empty for success"`
	Message        string       `json:"message" doc:"explains the code"`
	NextAction     string       `json:"next_action" doc:"what to do about it"`
	Review         string       `json:"review,omitempty" doc:"why a person should look at the masked image, or what one has decided"`
	ReferenceID    int64        `json:"reference_id,omitempty" doc:"Cashfree's id of the verification"`
	Matches        *Matches     `json:"matches,omitempty" doc:"whether Cashfree's data equals the input; of the best run"`
	MaskedImage    *MaskedImage `json:"masked_image,omitempty"`
	Attempts       []Attempt    `json:"attempts" nullable:"false" doc:"the calls of all runs, oldest first"`
	Blocked        *Blocked     `json:"blocked,omitempty" doc:"why the job makes no progress"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`
	CompletedAt    *time.Time   `json:"completed_at,omitempty"`
}

// Matches is the comparison of a passport's fields.
type Matches struct {
	Name       string `json:"name" enum:"yes,no,not_told"`
	DOB        string `json:"dob" enum:"yes,no,not_told"`
	FileNumber string `json:"file_number" enum:"yes,no,not_told"`
}

// MaskedImage describes a masked image.
type MaskedImage struct {
	ContentType string `json:"content_type" enum:"image/jpeg,image/png"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	Bytes       int64  `json:"bytes"`
	SHA256      string `json:"sha256"`
	URL         string `json:"url" doc:"path of the image"`
}

// Attempt is a call of Cashfree.
type Attempt struct {
	SentAt     time.Time `json:"sent_at"`
	HTTPStatus int       `json:"http_status" doc:"0 if no answer came"`
	Result     string    `json:"result"`
}

// Blocked says why a job makes no progress.
type Blocked struct {
	Reason     string     `json:"reason" doc:"a code"`
	Since      *time.Time `json:"since,omitempty"`
	NextAction string     `json:"next_action"`
}

func jobPath(kind tasks.Kind, id string) string { return fmt.Sprintf("/v1/jobs/%s/%s", kind, id) }

// view returns a record as the API shows it, without what blocks the job. Image and comparisons are those of the best result of all runs;
// there is no comparison while a run is unfinished.
func view(rec *storage.Record) *Job {
	best := rec.Best()
	j := &Job{
		Kind: string(rec.Kind), VerificationID: rec.VerificationID, Lane: string(rec.Lane), Batch: rec.Batch, Row: rec.Row, Line: rec.Line, Run: rec.Run,
		State: string(rec.State), Code: rec.Code, Message: rec.Message, NextAction: rec.NextAction, Review: rec.Review,
		ReferenceID: rec.ReferenceID, Attempts: []Attempt{}, CreatedAt: rec.CreatedAt, UpdatedAt: rec.UpdatedAt,
	}
	if !rec.CompletedAt.IsZero() {
		j.CompletedAt = &rec.CompletedAt
	}
	if m := best.MaskedImage; m != nil {
		j.MaskedImage = &MaskedImage{
			ContentType: m.ContentType, Width: m.Width, Height: m.Height, Bytes: m.Bytes, SHA256: m.SHA256,
			URL: jobPath(rec.Kind, rec.VerificationID) + "/image",
		}
	}
	if p := best.Passport; p != nil && rec.State.Final() {
		j.Matches = &Matches{Name: string(p.Matches.Name), DOB: string(p.Matches.DOB), FileNumber: string(p.Matches.FileNumber)}
	}
	for _, at := range rec.Attempts {
		j.Attempts = append(j.Attempts, Attempt{SentAt: at.SentAt, HTTPStatus: at.HTTPStatus, Result: at.Result})
	}
	return j
}

// WebhookData returns a record as webhooks show it: a job without attempts, and of a decided review without who has decided and
// why, which is free text.
func WebhookData(rec *storage.Record) any {
	j := view(rec)
	for _, decided := range []string{storage.ReviewApproved, storage.ReviewRejected} {
		if strings.HasPrefix(j.Review, decided) {
			j.Review = strings.TrimSuffix(decided, " by ")
		}
	}
	return struct {
		*Job
		Attempts []Attempt `json:"attempts,omitempty"` // hides those of the job
		Erased   bool      `json:"erased,omitempty"`
	}{Job: j, Erased: rec.Erased != nil}
}

// causes returns what finds out why the jobs of one answer make no progress.
func (a *API) causes() *blocked.Jobs {
	return &blocked.Jobs{Redis: a.cfg.Redis, Gate: a.cfg.Gate, Store: a.cfg.Store}
}

// show returns a record as the API shows it, with what blocks the job.
func show(ctx context.Context, rec *storage.Record, causes *blocked.Jobs) Job {
	j := view(rec)
	j.Blocked = blockedBy(causes.Of(ctx, rec))
	return *j
}

// jobID are the parameters that name a job.
type jobID struct {
	kind tasks.Kind
	id   string
}

// named checks the parameters that name a job. A name that no job can have is answered like one that no job has.
func named(kind, id string) (jobID, error) {
	k, err := tasks.ParseKind(kind)
	if err != nil || tasks.ValidateID(id) != nil {
		return jobID{}, missing("job", nil)
	}
	return jobID{k, id}, nil
}
