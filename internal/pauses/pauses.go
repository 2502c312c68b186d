// Package pauses keeps the operator's pauses, which end only by an operator's word, whatever happens to Redis. They are in
// holds.json in the records bucket, which is written first; Redis has a copy. Each worker watches both: it reads holds.json
// every 10 s, and within a second after Redis has another copy, was not reachable or is another server: a replica that was
// promoted may lack the last pause. The gate grants no slot without a copy.
package pauses

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

const (
	key             = "holds.json" // in the records bucket
	documentVersion = 1
	readEvery       = 10 * time.Second
	tries           = 10 // of a compare-and-swap
)

// document is holds.json. Its revision rises with each change, also after the object was deleted.
type document struct {
	Version  int         `json:"version"`
	Revision int64       `json:"revision"`
	Holds    []hold.Hold `json:"holds"`
	// Announced are the holds of all causes of which the webhook endpoints are owed that they began, and not yet that they ended.
	Announced []hold.Hold `json:"announced,omitempty"`
}

// Bucket is the records bucket: *objects.Bucket.
type Bucket interface {
	Get(ctx context.Context, key string) (*objects.Object, error)
	Create(ctx context.Context, key string, body []byte) (etag string, err error)
	Swap(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)
}

// Pauses connects holds.json and Redis.
type Pauses struct {
	Bucket Bucket
	Holds  *hold.Set
	// Server identifies the Redis server; nil, or an error, if that is unknown. Only Watch uses it.
	Server func(ctx context.Context) (string, error)
	// Owe owes an event to the webhook endpoints.
	Owe func(ctx context.Context, e storage.Event, data []byte) error
	Log zerolog.Logger

	announced []hold.Hold                 // by this process; nil: not known
	named     atomic.Pointer[[]hold.Hold] // those in the holds.json that was read last
}

// Pause stops all calls, or those of one kind. first is false if they are paused already; then that pause stays as it is.
func (p *Pauses) Pause(ctx context.Context, h hold.Hold) (first bool, err error) {
	h.Cause = hold.Operator
	err = p.change(ctx, func(doc *document) error {
		if first = !slices.ContainsFunc(doc.Holds, h.Same); !first {
			return nil
		}
		doc.Holds = append(doc.Holds, h)
		doc.Announced = append(doc.Announced, hold.Hold{Cause: h.Cause, Kind: h.Kind, Code: h.Code, Since: h.Since})
		return p.owe(ctx, storage.EventFleetHeld, []hold.Hold{h})
	})
	if err != nil {
		return false, fmt.Errorf("pause: %w", err)
	}
	if err := p.Restore(ctx); err != nil {
		return first, fmt.Errorf("the pause is in S3 and will be obeyed, but Redis does not have it yet: %w", err)
	}
	return first, nil
}

// Resume resumes the holds that selected names, and returns them. Pauses end in S3 first. All end by a test call. The error
// is hold.ErrNotHeld if there is none.
func (p *Pauses) Resume(ctx context.Context, selected func(all []hold.Hold) []hold.Hold) ([]hold.Hold, error) {
	all, err := p.Holds.Holds(ctx)
	if err != nil {
		return nil, err
	}
	doc, _, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	resumed := selected(append(doc.Holds, slices.DeleteFunc(all, hold.Hold.Paused)...))
	if len(resumed) == 0 {
		return nil, hold.ErrNotHeld
	}
	if slices.ContainsFunc(resumed, hold.Hold.Paused) {
		err := p.change(ctx, func(doc *document) error {
			doc.Holds = slices.DeleteFunc(doc.Holds, func(h hold.Hold) bool { return slices.ContainsFunc(resumed, h.Same) })
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("resume: %w", err)
		}
	}
	if err := p.Holds.ResumeHolds(ctx, resumed...); err != nil && !errors.Is(err, hold.ErrNotHeld) { // Redis may have lost them
		return nil, err
	}
	return resumed, p.Restore(ctx)
}

// Restore writes the pauses in S3 into Redis.
func (p *Pauses) Restore(ctx context.Context) error {
	var err error = redis.TxFailedErr
	for i := 0; i < tries && errors.Is(err, redis.TxFailedErr); i++ {
		err = p.Holds.Restore(ctx, func(ctx context.Context) (hold.Pauses, error) {
			doc, _, err := p.read(ctx)
			return hold.Pauses{Revision: doc.Revision, Holds: doc.Holds}, err
		})
	}
	switch {
	case errors.Is(err, hold.ErrOlder):
		return fmt.Errorf("%w: %s was deleted or replaced; run `kycq fleet pause`, then `kycq fleet resume`", err, key)
	case err != nil:
		return fmt.Errorf("restore the pauses: %w", err)
	}
	return nil
}

// Watch restores the pauses until ctx ends: every 10 s, and at once if Redis was not reachable, has other ones or is
// another server.
func (p *Pauses) Watch(ctx context.Context) {
	var failed error
	var server string
	for read := time.Now(); sleep.For(ctx, time.Second) == nil; {
		stored, err := p.Holds.Stored(ctx)
		asked := p.server(ctx)
		if err == nil && stored == p.Holds.Revision() && asked == server && failed == nil && time.Since(read) < readEvery {
			continue
		}
		if err == nil {
			err = p.Restore(ctx)
			read, server = time.Now(), asked
		}
		switch {
		case ctx.Err() != nil:
		case err != nil && failed == nil:
			p.Log.Error().Err(err).Str("next_action", "none if it passes; else run `kycq doctor`").
				Msg("cannot restore the operator's pauses from S3: no calls are made while Redis lacks them")
		case err == nil && failed != nil:
			p.Log.Info().Msg("the operator's pauses in Redis are those in S3 again")
		}
		failed = err
	}
}

func (p *Pauses) server(ctx context.Context) string {
	if p.Server == nil {
		return ""
	}
	name, err := p.Server(ctx)
	if err != nil {
		return ""
	}
	return name
}

// read returns holds.json, and an empty document without an ETag if there is none.
func (p *Pauses) read(ctx context.Context) (doc document, etag string, err error) {
	doc.Version = documentVersion
	found, err := p.Bucket.Get(ctx, key)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return doc, "", nil
	case err != nil:
		return doc, "", fmt.Errorf("%s: %w", key, err)
	}
	if err := json.Unmarshal(found.Body, &doc); err != nil {
		return doc, "", fmt.Errorf("%s is damaged: %w", key, err)
	}
	if doc.Version != documentVersion {
		return doc, "", fmt.Errorf("%s was written by a newer kycq: upgrade this one", key)
	}
	named := slices.Clone(doc.Announced)
	p.named.Store(&named)
	return doc, found.ETag, nil
}

// change writes the document with the edited pauses, unless that changes nothing.
func (p *Pauses) change(ctx context.Context, edit func(*document) error) error {
	for range tries {
		doc, etag, err := p.read(ctx)
		if err != nil {
			return err
		}
		before := len(doc.Holds)
		if err := edit(&doc); err != nil || len(doc.Holds) == before {
			return err
		}
		doc.Revision = max(doc.Revision+1, time.Now().UnixMilli())
		if err := p.write(ctx, doc, etag); !conflict(err) {
			return err
		}
	}
	return fmt.Errorf("%s is being changed by others: try again", key)
}

// write replaces the document that was read with this ETag.
func (p *Pauses) write(ctx context.Context, doc document, etag string) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if etag == "" {
		_, err = p.Bucket.Create(ctx, key, body)
	} else {
		_, err = p.Bucket.Swap(ctx, key, body, etag)
	}
	return err
}

func conflict(err error) bool {
	return errors.Is(err, objects.ErrConflict) || errors.Is(err, objects.ErrExists)
}
