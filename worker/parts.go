package worker

import (
	"context"
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Records is the ledger: every write is a compare-and-swap.
type Records interface {
	Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error)
	CreateRecord(ctx context.Context, rec *storage.Record) (storage.Version, error)
	SwapRecord(ctx context.Context, rec *storage.Record, was storage.Version) (storage.Version, error)
}

// Images reads what is to be masked.
type Images interface {
	ImageHead(ctx context.Context, img tasks.Image, n int64) (head []byte, size int64, err error)
	OpenImage(ctx context.Context, img tasks.Image) (body io.ReadCloser, size int64, err error)
	DeleteUpload(ctx context.Context, img tasks.Image) error
}

// MaskedImages keeps what the vendor gave back.
type MaskedImages interface {
	PutMasked(ctx context.Context, id, ext, contentType string, body []byte) (bucket, key string, err error)
	PutQuarantine(ctx context.Context, id, contentType string, body []byte) (bucket, key string, err error)
}

// Vendor is Cashfree. A call never retries and never returns nil.
type Vendor interface {
	MaskAadhaar(ctx context.Context, req cashfree.MaskRequest) *cashfree.Reply
	VerifyPassport(ctx context.Context, req cashfree.PassportRequest) *cashfree.Reply
	FetchImage(ctx context.Context, link redact.Secret) (*cashfree.FetchedImage, error)
}

// Gate is what every call passes before it leaves. Every Permit is reported exactly once.
type Gate interface {
	Acquire(ctx context.Context, call gate.Call) (*gate.Permit, error)
	Report(ctx context.Context, permit *gate.Permit, outcome gate.Outcome) error
	RaiseHold(ctx context.Context, h gate.Hold) (first bool, err error)
}

// Keyset seals answers and opens inputs.
type Keyset = tasks.Keyset

// Hints is what Redis remembers beside the queues. Losing it costs time, never a row and never a second charge.
type Hints interface {
	// RaiseCrashCount counts a job in before foreign bytes are handled, ClearCrashCount counts it out.
	CrashCount(ctx context.Context, kind, id string) (int64, error)
	RaiseCrashCount(ctx context.Context, kind, id string) (int64, error)
	ClearCrashCount(ctx context.Context, kind, id string) error
	// KeepAnswer holds a sealed answer that S3 does not take.
	KeepAnswer(ctx context.Context, kind, id, sealed string) error
	KeptAnswer(ctx context.Context, kind, id string) (sealed string, ok bool, err error)
	DropAnswer(ctx context.Context, kind, id string) error
	// TakeReissue spends one of the day's reissues; false says that none is left.
	TakeReissue(ctx context.Context, perDay int) (bool, error)
	// CloseJob takes a job with a final record off the open set.
	CloseJob(ctx context.Context, kind, id string) error
}

// Batches hears of rows and of calls for them. What it is told of rows may be repeated.
type Batches interface {
	// Stopped tells whether a batch is cancelled, so that its untouched rows end without a call.
	Stopped(ctx context.Context, batch string) (bool, error)
	// TakeCall counts a call that is about to be made; false says that the batch's cap is reached.
	TakeCall(ctx context.Context, batch string) (bool, error)
	// RowFinished marks the row of a record that is final.
	RowFinished(ctx context.Context, rec *storage.Record) error
	// AlreadyDone marks a row whose id has its final record from elsewhere: from another batch, or a single job.
	AlreadyDone(ctx context.Context, batch string, row int, rec *storage.Record) error
	// Conflicted marks a row whose id belongs to a job with another input.
	Conflicted(ctx context.Context, batch string, row int) error
}

// Observer counts what happens, for metrics. It must not block.
type Observer interface {
	WaitedAtGate(kind tasks.Kind, lane tasks.Lane, took time.Duration)
	// Sending is told before a request leaves, Called when its answer is there or lost.
	Sending(kind tasks.Kind, a storage.Attempt)
	Called(kind tasks.Kind, class cashfree.Class, took time.Duration)
	// Finished is told once for each run of a job, by the write that made its record final.
	Finished(rec *storage.Record)
	MaskChecked(result string)
	// RecordWritten is told of writes that happened, and of those that another writer's was faster than.
	RecordWritten(kind tasks.Kind, conflict bool)
	Held(code string)
}

// Parts are the things a Processor works with. All are required but Batches (nil where no batches are fed) and Observer.
type Parts struct {
	Records      Records
	Images       Images
	MaskedImages MaskedImages
	Vendor       Vendor
	Gate         Gate
	Keyset       *Keyset
	// CheckMask proves that an image is masked: maskcheck.Check.
	CheckMask func(ctx context.Context, masked []byte, source maskcheck.SourceInfo) (maskcheck.Report, error)
	Hints     Hints
	Batches   Batches
	Observer  Observer
	// OnHold pauses the queues; it runs for every job that meets a refused account, and may be repeated.
	OnHold func(ctx context.Context, h gate.Hold)
	Log    zerolog.Logger
}
