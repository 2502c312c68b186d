package batch

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kycq/kycq/tasks"
)

// State says what is to become of a batch.
type State string

// The states of a batch.
const (
	Running          State = "running"
	CallLimitReached State = "call_limit_reached" // its cap of calls is reached: Reason says so
	Cancelled        State = "cancelled"
	Ended            State = "ended"
)

// batchVersion is the version of batch.json.
const batchVersion = 1

// Batch is batch.json. Nothing in it is personal.
type Batch struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Kind    tasks.Kind `json:"kind"`
	State   State      `json:"state"`
	// Reason says why a batch is paused.
	Reason string `json:"reason,omitempty"`
	// Content is the SHA-256 of the manifest file, Plan a hash of all that decides which rows were accepted; the parts
	// stand under it.
	Content string `json:"content_sha256"`
	Plan    string `json:"plan"`
	// Mapping names the headings that stood for the columns, where they were called otherwise.
	Mapping map[string]string `json:"mapping,omitempty"`
	// Rows counts the accepted rows, Rejected those that were left out by --allow-rejects.
	Rows     int `json:"rows"`
	Rejected int `json:"rejected"`
	// SealedColumns are the headings of the file.
	SealedColumns string `json:"sealed_columns"`
	// Uploads says that images were put into the inbox, which forgets them after its lifecycle.
	Uploads bool `json:"uploads,omitempty"`
	// MaxCalls is the most calls that the batch may make, 0 for no cap.
	MaxCalls int `json:"max_calls,omitempty"`
	// Fed is, for a cancelled batch that is done, the last row that was ever fed: none after it was called.
	Fed  int   `json:"fed,omitempty"`
	Runs []Run `json:"passes"`

	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	CancelledAt time.Time `json:"cancelled_at,omitzero"`
	// EndedAt is when no row was open any more, also of a cancelled batch.
	EndedAt time.Time `json:"ended_at,omitzero"`

	ending bool // Fed is known although the batch is not done yet
}

// RunKind says which rows a pass feeds.
type RunKind string

// The kinds of passes.
const (
	AllRows  RunKind = "all"   // every row, as run 1
	SomeRows RunKind = "rows"  // the listed rows, as the listed runs
	Amend    RunKind = "amend" // every row; those that a cancel ended go on with the next run
)

// Run is one way through the rows.
type Run struct {
	Kind RunKind   `json:"kind"`
	Rows int       `json:"rows"`           // how many it feeds
	List string    `json:"list,omitempty"` // names the objects with the rows of SomeRows
	Why  string    `json:"why"`            // submitted, or what was asked for: "code=provider_error"
	At   time.Time `json:"at"`
}

// Done tells whether no row is open any more.
func (b *Batch) Done() bool { return !b.EndedAt.IsZero() }

// pass returns a pass by its number, from 1.
func (b *Batch) run(n int) Run { return b.Runs[n-1] }

var (
	// ErrNotFound says that there is no batch of this id.
	ErrNotFound = errors.New("there is no such batch (`kycq batch list`)")
	// ErrOtherManifest says that the id is taken by a batch that was made of something else.
	ErrOtherManifest = errors.New("a batch of this name was submitted with other rows or settings: choose another --name")
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

// ParseName checks a name that a user chose.
func ParseName(name string) (string, error) {
	if len(name) > maxNameLength || !nameForm.MatchString(name) {
		return "", fmt.Errorf("batch name: want 1 to %d of A-Z a-z 0-9 . _ -, with a letter or digit", maxNameLength)
	}
	return name, nil
}

// NameOf makes a name of a file's base name, without its extension.
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

// NewID is a batch's id: its name and the beginning of the manifest's SHA-256 in hex.
func NewID(name, content string) string { return name + "-" + content[:hashDigits] }

// CheckID accepts what NewID makes, before it becomes part of a key.
func CheckID(id string) error {
	if len(id) > maxNameLength+1+hashDigits || !idForm.MatchString(id) {
		return fmt.Errorf("%q is not a batch id, which ends in a hyphen and 8 hex digits (`kycq batch list`)", id)
	}
	return nil
}
