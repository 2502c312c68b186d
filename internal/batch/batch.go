package batch

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kycq/kycq/tasks"
)

// State is the state of a batch.
type State string

// The states of a batch.
const (
	Running          State = "running"
	CallLimitReached State = "call_limit_reached" // MaxCalls calls were made; raising the limit continues the batch
	Paused           State = "paused"             // by an operator: no row is fed or called until the batch is resumed
	Cancelled        State = "cancelled"
	Ended            State = "ended"
)

// OpenStates are those of batches that are not done.
var OpenStates = []State{Running, CallLimitReached, Paused, Cancelled}

// batchVersion is the version of batch.json.
const batchVersion = 1

// Batch is batch.json. It holds no personal data.
type Batch struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Kind    tasks.Kind `json:"kind"`
	State   State      `json:"state"`
	// Reason explains CallLimitReached.
	Reason string `json:"reason,omitempty"`
	// Pause explains Paused.
	Pause *Pause `json:"pause,omitempty"`
	// Content is the SHA-256 of the manifest file. Plan hashes everything that decides which rows are accepted; it is part
	// of the keys of the sealed parts.
	Content string `json:"content_sha256"`
	Plan    string `json:"plan"`
	// Mapping maps kycq's columns to the file's headings, where these differ.
	Mapping map[string]string `json:"mapping,omitempty"`
	// DateFormat is --date-format, IDsFor --ids-for.
	DateFormat string `json:"date_format,omitempty"`
	IDsFor     string `json:"ids_for,omitempty"`
	// Rows counts the accepted rows, Rejected those left out by --allow-rejects.
	Rows     int `json:"rows"`
	Rejected int `json:"rejected"`
	// SealedColumns are the headings of the file.
	SealedColumns string `json:"sealed_columns"`
	// Uploads is true if images were uploaded to the inbox, which deletes them after its lifecycle.
	Uploads bool `json:"uploads,omitempty"`
	// SubmittedBy names the API key that submitted the batch: its unfinished rows count towards the key's limit.
	SubmittedBy string `json:"submitted_by,omitempty"`
	// MaxCalls limits the calls of the batch; 0 means no limit.
	MaxCalls int `json:"max_calls,omitempty"`
	// Fed is the last row that may have been fed; set when a cancelled batch is done.
	Fed  int   `json:"fed,omitempty"`
	Runs []Run `json:"passes"`
	// Decisions counts the decided reviews: each makes the counts out of date.
	Decisions int `json:"decisions,omitempty"`

	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	CancelledAt time.Time `json:"cancelled_at,omitzero"`
	// EndedAt is when the last open row ended; also set for a cancelled batch.
	EndedAt time.Time `json:"ended_at,omitzero"`

	ending bool // Fed is set although the batch is not done yet
}

// Pause is who paused a batch, and why.
type Pause struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// RunKind says which rows a run feeds.
type RunKind string

// The kinds of runs.
const (
	AllRows  RunKind = "all"   // every row, as run 1 of its job
	SomeRows RunKind = "rows"  // the listed rows, as the listed runs
	Amend    RunKind = "amend" // every row; cancelled rows get the next run of their job
)

// Run is one run over the rows of a batch.
type Run struct {
	Kind RunKind   `json:"kind"`
	Rows int       `json:"rows"`           // number of rows it feeds
	List string    `json:"list,omitempty"` // names the objects with the rows of SomeRows
	Why  string    `json:"why"`            // "submitted", or the selection: "code=provider_error"
	At   time.Time `json:"at"`
}

// Done reports whether no row is open.
func (b *Batch) Done() bool { return !b.EndedAt.IsZero() }

// run returns run number n, counting from 1.
func (b *Batch) run(n int) Run { return b.Runs[n-1] }

// Errors about batches.
var (
	ErrNotFound      = errors.New("there is no such batch (kycq batch list --all)")
	ErrOtherManifest = errors.New("a batch of this name was submitted with other rows or settings: choose another --name")
	ErrCancelled     = errors.New("the batch is cancelled: to continue it, run: kycq batch amend FILE")
	ErrStillOpen     = errors.New("the batch is cancelled, and some of its rows are still being closed: try again in a minute")
	ErrDone          = errors.New("the batch has ended: no rows are left to stop")
	ErrOtherRun      = errors.New("the batch is at another run")
	ErrNotPaused     = errors.New("the batch is not paused")
)

const (
	// maxNameLength leaves room for the hash: a batch's id is part of S3 keys, Redis keys and task ids.
	maxNameLength = 60
	hashDigits    = 8
)

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*$`)
	idForm   = regexp.MustCompile(`^[A-Za-z0-9._-]+-[0-9a-f]{8}$`)
	notName  = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
)

// CheckLabel validates the label of --ids-for.
func CheckLabel(label string) error {
	if label != "" && (len(label) > maxNameLength || !nameForm.MatchString(label)) {
		return fmt.Errorf("want 1 to %d of A-Z a-z 0-9 . _ -, for example 2027", maxNameLength)
	}
	return nil
}

// CheckName validates a name chosen by the user.
func CheckName(name string) error {
	if len(name) > maxNameLength || !nameForm.MatchString(name) {
		return fmt.Errorf("batch name: want 1 to %d of A-Z a-z 0-9 . _ -, with a letter or digit", maxNameLength)
	}
	return nil
}

// NameOf derives a name from a file's base name, without its extension.
func NameOf(base string) string {
	if dot := strings.LastIndexByte(base, '.'); dot > 0 {
		base = base[:dot]
	}
	name := strings.Trim(notName.ReplaceAllString(base, "-"), "-.")
	name = name[:min(len(name), maxNameLength)]
	if !nameForm.MatchString(name) {
		return "batch"
	}
	return name
}

// NewID returns a batch's id: its name and the first 8 hex digits of the manifest's SHA-256.
func NewID(name, content string) string { return name + "-" + content[:hashDigits] }

// CheckPrefix validates the beginning of an id.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxNameLength+1+hashDigits || !nameForm.MatchString(prefix) {
		return fmt.Errorf("%q does not begin a batch id (kycq batch list)", prefix)
	}
	return nil
}

// CheckID validates an id before it becomes part of a key.
func CheckID(id string) error {
	if len(id) > maxNameLength+1+hashDigits || !idForm.MatchString(id) {
		return fmt.Errorf("%q is not a batch id, which ends in a hyphen and 8 hex digits (kycq batch list)", id)
	}
	return nil
}
