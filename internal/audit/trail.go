// Package audit keeps the audit trail: an event for each operator action, reveal and erasure (who, when, what, why), in S3
// under audit/.
//
// Invariants: an event is written before the action, and if it cannot be written the action is refused. So there may be an
// event without an action, never an action without an event. Events are created, never overwritten. Each contains the hash
// of the previous one, which makes a chain for each writer (user and host). A head object, moved by compare-and-swap,
// records the end of the chain, and one index all chains. Events and index carry a MAC if the writer has a keyset.
//
// Verify detects changed, inserted and removed events (also at the end), a head that was removed or set back, and a chain that
// was removed. A chain with MACs cannot be rewritten without the keyset. Verify cannot detect that all of audit/ was set back to
// an earlier state, nor that chains without MACs were rewritten. Against that, use object lock or versioning, or keep the output
// of `kycq audit verify` or `kycq audit export` elsewhere and compare.
//
// The package does not authorize anyone, and stores no personal data.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/kycq/kycq/internal/objects"
)

// Bucket is implemented by *objects.Bucket.
type Bucket interface {
	Create(ctx context.Context, key string, body []byte) (etag string, err error)
	Swap(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)
	Get(ctx context.Context, key string) (*objects.Object, error)
	List(ctx context.Context, prefix string) iter.Seq2[objects.Info, error]
}

// BucketOf returns the place of the audit trail.
func BucketOf(b *objects.Buckets) *objects.Bucket { return b.Records.Within(prefix, "object") }

// maxConflicts limits the retries of Append when other processes of the same user and host append too.
const maxConflicts = 50

// Config configures a Trail.
type Config struct {
	Bucket     Bucket
	User, Host string           // the writer; required, see Here
	Now        func() time.Time // nil: time.Now
	MAC        MAC              // nil: events have none
}

// Trail appends one writer's events. It is safe for concurrent use, also by several processes of the same writer.
type Trail struct {
	bucket     Bucket
	user, host string
	writer     string
	now        func() time.Time
	mac        MAC
}

// New returns a Trail. It does not connect.
func New(c Config) (*Trail, error) {
	if c.User == "" || c.Host == "" {
		return nil, errors.New("audit trail: unknown user or host")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Trail{bucket: c.Bucket, user: c.User, host: c.Host, writer: writerName(c.User, c.Host), now: c.Now, mac: c.MAC}, nil
}

// ErrNoName means that the user id of this process has no name, as in containers.
var ErrNoName = errors.New("this user id has no name, and the audit trail needs one: set KYCQ_OPERATOR to the name of the person")

// noPerson are the names of user ids in images of containers.
var noPerson = []string{"nonroot", "nobody"}

// Here returns the user and the host of this process. It ignores $USER, which anybody can set.
func Here() (name, host string, err error) {
	host, err = os.Hostname()
	if err != nil {
		return "", "", fmt.Errorf("hostname: %w", err)
	}
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil || u.Username == "" || slices.Contains(noPerson, u.Username) {
		return "", host, ErrNoName
	}
	return u.Username, host, nil
}

// head records the end of a chain. It lags behind if a process ended between writing an event and moving the head.
type head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
	// Lost says that the head was missing and was created anew. The next event records that.
	Lost bool `json:"lost,omitempty"`

	etag string
}

func (h head) encode() []byte {
	body, _ := json.Marshal(h) // numbers and text: never fails
	return body
}

// Append writes the event for act. If it fails, the caller must not act; the event may have been written nevertheless.
func (t *Trail) Append(ctx context.Context, act Act) (Event, error) {
	if err := act.validate(); err != nil {
		return Event{}, fmt.Errorf("audit entry: %w", err)
	}
	h, err := t.openHead(ctx)
	if err != nil {
		return Event{}, fmt.Errorf("audit entry: %w", err)
	}
	if err := t.enter(ctx, h.Seq+1); err != nil {
		return Event{}, fmt.Errorf("audit entry: %w", err)
	}
	e, line, err := t.create(ctx, h, act)
	if err != nil {
		return Event{}, fmt.Errorf("audit entry: %w", err)
	}
	if err := t.advance(ctx, h, head{Seq: e.Seq, Hash: hash(line)}); err != nil {
		return Event{}, fmt.Errorf("audit entry: move the head: %w", err)
	}
	return e, nil
}

// create writes the event after the head, or after events that the head does not include yet.
func (t *Trail) create(ctx context.Context, h head, act Act) (Event, []byte, error) {
	e := Event{
		Version: eventVersion, Writer: t.writer, Seq: h.Seq, Prev: h.Hash, At: t.now().UTC().Truncate(time.Millisecond),
		User: t.user, Host: t.host, Act: act, HeadLost: h.Lost,
	}
	for range maxConflicts {
		e.Seq++
		var err error
		if t.mac != nil {
			if e, err = e.signed(t.mac); err != nil {
				return Event{}, nil, err
			}
		}
		line, err := e.Line()
		if err != nil {
			return Event{}, nil, err
		}
		key := eventKey(t.writer, e.Seq)
		_, err = t.bucket.Create(ctx, key, line)
		if err == nil {
			return e, line, nil
		}
		if !errors.Is(err, objects.ErrExists) {
			return Event{}, nil, err
		}
		found, err := t.bucket.Get(ctx, key)
		if err != nil {
			return Event{}, nil, err
		}
		e.Prev = hash(found.Body)
	}
	return Event{}, nil, fmt.Errorf("%d conflicts with other processes of %s", maxConflicts, t.writer)
}

// openHead reads or creates the head. It exists before the first event, so events without a head mean that it was removed.
func (t *Trail) openHead(ctx context.Context) (head, error) {
	h, err := readHead(ctx, t.bucket, t.writer)
	if !errors.Is(err, objects.ErrNotFound) {
		return h, err
	}
	h, err = t.lastEvent(ctx)
	if err != nil {
		return head{}, err
	}
	etag, err := t.bucket.Create(ctx, headKey(t.writer), h.encode())
	if errors.Is(err, objects.ErrExists) { // another process created it
		return readHead(ctx, t.bucket, t.writer)
	}
	h.etag = etag
	return h, err
}

// lastEvent finds the end of a chain that has no head.
func (t *Trail) lastEvent(ctx context.Context) (head, error) {
	seqs, err := listEvents(ctx, t.bucket, t.writer)
	if err != nil || len(seqs) == 0 {
		return head{}, err
	}
	last := seqs[len(seqs)-1]
	line, err := t.bucket.Get(ctx, eventKey(t.writer, last))
	if err != nil {
		return head{}, err
	}
	return head{Seq: last, Hash: hash(line.Body), Lost: true}, nil
}

// listEvents returns the numbers of a writer's events, in order.
func listEvents(ctx context.Context, bucket Bucket, writer string) (seqs []int64, err error) {
	for o, err := range bucket.List(ctx, prefix+writer+"/") {
		if err != nil {
			return nil, err
		}
		if _, seq, ok := parseKey(o.Key); ok && seq > 0 {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// advance moves the head to next, unless it is there or beyond already.
func (t *Trail) advance(ctx context.Context, h, next head) error {
	for range maxConflicts {
		_, err := t.bucket.Swap(ctx, headKey(t.writer), next.encode(), h.etag)
		if !errors.Is(err, objects.ErrConflict) {
			return err
		}
		if h, err = readHead(ctx, t.bucket, t.writer); err != nil {
			return err
		}
		if h.Seq >= next.Seq {
			return nil
		}
	}
	return fmt.Errorf("%d conflicts with other processes of %s", maxConflicts, t.writer)
}

func readHead(ctx context.Context, bucket Bucket, writer string) (head, error) {
	found, err := bucket.Get(ctx, headKey(writer))
	if err != nil {
		return head{}, err
	}
	var h head
	if err := json.Unmarshal(found.Body, &h); err != nil || h.Seq < 0 {
		return head{}, fmt.Errorf("%s: %w", headKey(writer), errNotHead)
	}
	h.etag = found.ETag
	return h, nil
}

var errNotHead = errors.New("not a head of the trail: run `kycq audit verify`, keep the object as evidence, and remove it")
