package worker

import (
	"context"
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// RecordStore reads and writes records and the markers of open runs. Every write of a record is a compare-and-swap.
type RecordStore interface {
	Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error)
	CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error)
	SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error)
	MarkOpen(ctx context.Context, run storage.OpenRun) error
	UnmarkOpen(ctx context.Context, run storage.OpenRun) error
}

// Images reads input images and deletes uploads.
type Images interface {
	ImageHead(ctx context.Context, img tasks.Image, n int64) (head []byte, size int64, err error)
	OpenImage(ctx context.Context, img tasks.Image) (body io.ReadCloser, size int64, err error)
	DeleteUpload(ctx context.Context, img tasks.Image) error
}

// MaskedImages stores the images that Cashfree returns.
type MaskedImages interface {
	ErasableImages
	PutMasked(ctx context.Context, id string, run int, ext, contentType string, body []byte) (bucket, key string, err error)
	PutQuarantine(ctx context.Context, id, contentType string, body []byte) (bucket, key string, err error)
	// DeleteImage deletes an image by the key that its put returned.
	DeleteImage(ctx context.Context, key string) error
}

// Vendor calls Cashfree. A call is never retried and never returns nil.
type Vendor interface {
	MaskAadhaar(ctx context.Context, req cashfree.MaskRequest) *cashfree.Reply
	VerifyPassport(ctx context.Context, req cashfree.PassportRequest) *cashfree.Reply
	FetchImage(ctx context.Context, link redact.Secret) (*cashfree.FetchedImage, error)
}

// Gate limits the fleet's calls. Report is called exactly once for each permit.
type Gate interface {
	Acquire(ctx context.Context, call gate.Call) (*gate.Permit, error)
	Report(ctx context.Context, permit *gate.Permit, outcome gate.Outcome) error
	RaiseHold(ctx context.Context, h hold.Hold) (first bool, err error)
	// CountEnd counts an end towards a hold; it may be repeated. It returns how many of the last ends are bad.
	CountEnd(ctx context.Context, h hold.Hold, e hold.End, window int) (bad, of int, err error)
	// AddUnstored and DropUnstored count the paid answers that are not stored: see unstored.go. Unstored lists their jobs.
	AddUnstored(ctx context.Context, h hold.Hold, limit int) (raised bool, err error)
	DropUnstored(ctx context.Context, h hold.Hold, limit int) (lifted bool, err error)
	Unstored(ctx context.Context, kind string) ([]string, error)
	// OddAnswer and GoodAnswer count answers that may not come from Cashfree's API: see odd.go.
	OddAnswer(ctx context.Context, kind, job string) (hold.Streak, error)
	GoodAnswer(ctx context.Context, kind string) error
}

// Keyset seals answers and opens inputs.
type Keyset = tasks.Keyset

// Hints is what Redis holds for jobs, apart from the queues. Its loss costs time, but no job and no second charge.
type Hints interface {
	// RaiseCrashCount is called before untrusted bytes are parsed, ClearCrashCount after it.
	CrashCount(ctx context.Context, kind, id string) (int64, error)
	RaiseCrashCount(ctx context.Context, kind, id string) (int64, error)
	ClearCrashCount(ctx context.Context, kind, id string) error
	// KeepAnswer keeps a sealed answer that cannot be written to S3.
	KeepAnswer(ctx context.Context, kind, id, sealed string) error
	KeptAnswer(ctx context.Context, kind, id string) (sealed string, ok bool, err error)
	DropAnswer(ctx context.Context, kind, id string) error
	// TakeReissue takes one of the day's reissues; it returns false if none is left.
	TakeReissue(ctx context.Context, perDay int) (bool, error)
	// CountEnd announces that a job has ended, and counts its code and its paid calls for the operators' overview.
	CountEnd(ctx context.Context, kind, id, code, batch string, paid int) error
}

// Batches tracks the rows and the calls of batches. The methods that report a row may be repeated.
type Batches interface {
	// Stopped reports whether the batch is cancelled or paused.
	Stopped(ctx context.Context, batch string) (cancelled, paused bool, err error)
	// TakeCall counts a call; it returns false if the batch has reached its limit. ReturnCall takes the count of a call back.
	TakeCall(ctx context.Context, batch string) (bool, error)
	ReturnCall(ctx context.Context, batch string) error
	// RowFinished reports the final record of a row.
	RowFinished(ctx context.Context, rec *storage.Record) error
	// AlreadyDone reports a row whose final record comes from another batch or from a single job.
	AlreadyDone(ctx context.Context, batch string, row int, rec *storage.Record) error
	// RunAsked reports whether batch.json asks for the run of the job that follows the one in the record.
	RunAsked(ctx context.Context, job tasks.JobSpec, rec *storage.Record) (bool, error)
	// Conflicted reports a row whose verification_id belongs to a job with another input.
	Conflicted(ctx context.Context, batch string, row int) error
}

// Observer receives events for metrics. It must not block.
type Observer interface {
	WaitedAtGate(kind tasks.Kind, lane tasks.Lane, took time.Duration)
	// Sending comes before a request, Called after its end, with or without an answer.
	Sending(kind tasks.Kind, a storage.Attempt)
	Called(kind tasks.Kind, class cashfree.Class, took time.Duration)
	// Finished comes once for each run, with its final record.
	Finished(rec *storage.Record)
	MaskChecked(result string)
	// RecordWritten comes for each write, and with conflict for each lost compare-and-swap.
	RecordWritten(kind tasks.Kind, conflict bool)
	// Held comes from the job that raised a hold.
	Held(code string)
}

// Parts are the dependencies of a Processor. All are required except HasNumber, Batches, Observer and OnHold.
type Parts struct {
	Records      RecordStore
	Images       Images
	MaskedImages MaskedImages
	Vendor       Vendor
	Gate         Gate
	Keyset       *Keyset
	// CheckMask checks that an image is masked: maskcheck.Check or maskcheck.CheckReadable.
	CheckMask func(ctx context.Context, masked []byte, source maskcheck.SourceInfo) (maskcheck.Report, error)
	// HasNumber reports whether a number can be read in a masked image: digits.Reader.HasNumber. nil: digits are not checked.
	HasNumber func(ctx context.Context, file []byte) (bool, error)
	Hints     Hints
	Batches   Batches
	Observer  Observer
	// OnHold pauses or resumes the queues. Each job that meets a refused account calls it.
	OnHold func(ctx context.Context)
	Log    zerolog.Logger
}

// nopObserver is the Observer of a Processor without one.
type nopObserver struct{}

func (nopObserver) WaitedAtGate(tasks.Kind, tasks.Lane, time.Duration) {}
func (nopObserver) Sending(tasks.Kind, storage.Attempt)                {}
func (nopObserver) Called(tasks.Kind, cashfree.Class, time.Duration)   {}
func (nopObserver) Finished(*storage.Record)                           {}
func (nopObserver) MaskChecked(string)                                 {}
func (nopObserver) RecordWritten(tasks.Kind, bool)                     {}
func (nopObserver) Held(string)                                        {}
