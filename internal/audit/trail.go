// Package audit keeps the trail of what operators did: one entry for each action, reveal and erasure, with who, when,
// what and why, in S3 under audit/.
//
// Invariants: an entry is written before the deed, and the deed is refused where the entry cannot be written, so there
// may be an entry without a deed but never a deed without an entry. Entries are created only where nothing stands, and
// each carries the hash of the one before: one chain for each writer (user and host), in which a gap or a change shows.
// A head object, moved by compare-and-swap, remembers how far the chain went.
//
// What Verify finds: an entry that was changed, removed from the middle or the end, or put in; a head that was removed
// or set back. What it cannot find: a chain removed as a whole, head included, and one rewritten from some entry on,
// head included, by somebody with the right to write to the bucket. Against those the bucket needs object lock or
// versioning; or keep the line that `kycq audit verify` prints for each chain, and compare.
//
// The package must not decide who may do what, and must not hold personal data.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/user"
	"time"

	"github.com/kycq/kycq/storage"
)

// Objects is what the trail needs of a store; *storage.Store has it.
type Objects interface {
	PutNewObject(ctx context.Context, key string, body []byte, contentType string) (etag string, err error)
	SwapObject(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)
	Object(ctx context.Context, key string) ([]byte, storage.Version, error)
	List(ctx context.Context, prefix string) iter.Seq2[storage.ObjectInfo, error]
}

const contentType = "application/json"

// maxLosses bounds how often an Append begins again because others of the same user and host were faster.
const maxLosses = 50

// Config says who writes.
type Config struct {
	Objects Objects
	// User and Host name the writer, as Here gives them; both are needed.
	User, Host string
	// Now is time.Now where nil.
	Now func() time.Time
}

// Trail writes one writer's entries, and verifies everybody's. It is safe for concurrent use, also by several processes
// of the same user and host.
type Trail struct {
	objects    Objects
	user, host string
	writer     string
	now        func() time.Time
}

// New makes a Trail. No network.
func New(c Config) (*Trail, error) {
	if c.User == "" || c.Host == "" {
		return nil, errors.New("audit trail: the user or the host is not known")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Trail{objects: c.Objects, user: c.User, host: c.Host, writer: writerName(c.User, c.Host), now: c.Now}, nil
}

// Here names the user and the host of this process, from the operating system.
func Here() (name, host string, err error) {
	u, err := user.Current()
	if err != nil {
		return "", "", fmt.Errorf("who acts is not known: %w", err)
	}
	host, err = os.Hostname()
	if err != nil {
		return "", "", fmt.Errorf("on which host is not known: %w", err)
	}
	return u.Username, host, nil
}

// head is the object that remembers how far a chain went. It may lag behind by entries whose author died before moving
// it, and is never ahead.
type head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
	// Lost says that this head was made where entries stood without one. The next entry takes note of it.
	Lost bool `json:"lost,omitempty"`

	etag string
}

// Append writes the entry for what is about to be done. On an error the caller must not do it; the entry may stand all
// the same, where the store did not answer.
func (t *Trail) Append(ctx context.Context, act Act) (Entry, error) {
	if err := act.validate(); err != nil {
		return Entry{}, fmt.Errorf("audit entry: %w", err)
	}
	h, err := t.openHead(ctx)
	if err != nil {
		return Entry{}, fmt.Errorf("audit entry: %w", err)
	}
	e, line, err := t.create(ctx, h, act)
	if err != nil {
		return Entry{}, fmt.Errorf("audit entry: %w", err)
	}
	if err := t.advance(ctx, h, head{Seq: e.Seq, Hash: hash(line)}); err != nil {
		return Entry{}, fmt.Errorf("audit entry: move the head: %w", err)
	}
	return e, nil
}

// create adds the entry behind the head, or behind the entries that are there although the head does not know them yet.
func (t *Trail) create(ctx context.Context, h head, act Act) (Entry, []byte, error) {
	e := Entry{
		Version: entryVersion, Writer: t.writer, Seq: h.Seq, Prev: h.Hash, At: t.now().UTC().Truncate(time.Millisecond),
		User: t.user, Host: t.host, Act: act, HeadLost: h.Lost,
	}
	for range maxLosses {
		e.Seq++
		line, err := e.encode()
		if err != nil {
			return Entry{}, nil, err
		}
		key := entryKey(t.writer, e.Seq)
		_, err = t.objects.PutNewObject(ctx, key, line, contentType)
		if err == nil {
			return e, line, nil
		}
		if !errors.Is(err, storage.ErrExists) {
			return Entry{}, nil, err
		}
		found, _, err := t.objects.Object(ctx, key)
		if err != nil {
			return Entry{}, nil, err
		}
		e.Prev = hash(found)
	}
	return Entry{}, nil, fmt.Errorf("%d others of %s were faster", maxLosses, t.writer)
}

// openHead reads the head, or makes it. It is made before the first entry, so that entries without a head mean that
// somebody removed it.
func (t *Trail) openHead(ctx context.Context) (head, error) {
	h, err := readHead(ctx, t.objects, t.writer)
	if !errors.Is(err, storage.ErrNotFound) {
		return h, err
	}
	h, err = t.lastEntry(ctx)
	if err != nil {
		return head{}, err
	}
	body, err := json.Marshal(h)
	if err != nil {
		return head{}, fmt.Errorf("encode head: %w", err)
	}
	etag, err := t.objects.PutNewObject(ctx, headKey(t.writer), body, contentType)
	if errors.Is(err, storage.ErrExists) { // another process of ours was faster
		return readHead(ctx, t.objects, t.writer)
	}
	h.etag = etag
	return h, err
}

// lastEntry finds the end of a chain without its head.
func (t *Trail) lastEntry(ctx context.Context) (head, error) {
	var h head
	for o, err := range t.objects.List(ctx, prefix+t.writer+"/") {
		if err != nil {
			return head{}, err
		}
		if _, seq, ok := parseKey(o.Key); ok {
			h.Seq = max(h.Seq, seq)
		}
	}
	if h.Seq == 0 {
		return head{}, nil
	}
	line, _, err := t.objects.Object(ctx, entryKey(t.writer, h.Seq))
	if err != nil {
		return head{}, err
	}
	h.Hash, h.Lost = hash(line), true
	return h, nil
}

// advance moves the head to next, unless it is there or further already.
func (t *Trail) advance(ctx context.Context, h, next head) error {
	body, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode head: %w", err)
	}
	for range maxLosses {
		_, err := t.objects.SwapObject(ctx, headKey(t.writer), body, h.etag)
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
		if h, err = readHead(ctx, t.objects, t.writer); err != nil {
			return err
		}
		if h.Seq >= next.Seq {
			return nil
		}
	}
	return fmt.Errorf("%d others of %s were faster", maxLosses, t.writer)
}

func readHead(ctx context.Context, objects Objects, writer string) (head, error) {
	body, v, err := objects.Object(ctx, headKey(writer))
	if err != nil {
		return head{}, err
	}
	var h head
	if err := json.Unmarshal(body, &h); err != nil || h.Seq < 0 {
		return head{}, fmt.Errorf("%s: %w", headKey(writer), errNotHead)
	}
	h.etag = v.ETag
	return h, nil
}

// errNotHead says that somebody has overwritten a head.
var errNotHead = errors.New("not a head of the trail: run `kycq audit verify`, keep the object as evidence, and remove it")
