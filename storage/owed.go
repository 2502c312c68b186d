package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/tasks"
)

// The names of events.
const (
	EventJobFinished   = "job.finished"
	EventBatchFinished = "batch.finished"
	EventReviewNeeded  = "review.needed"
	EventFleetHeld     = "fleet.held"
	EventFleetResumed  = "fleet.resumed"
)

// Events lists the names of events.
func Events() []string {
	return []string{EventJobFinished, EventBatchFinished, EventReviewNeeded, EventFleetHeld, EventFleetResumed}
}

// Event is something that webhook endpoints receive. Its delivery to an endpoint is owed by an object in S3, which is put
// before the write that makes the event true, and deleted after the delivery. So no event is lost, whatever happens to a
// process or to Redis; an event whose write did not happen is recognised by At.
type Event struct {
	Name string // one of Events
	Kind string // of the job, the batch or the hold; AllKinds for a hold of all
	ID   string // of the job or the batch; the cause of a hold
	Run  int    // of the job or the batch; 1 for a hold
	// At is when the run was completed, or the hold began, in milliseconds. It tells a run that ends twice, for example by a
	// late answer, from one that ended once.
	At time.Time
	// Age is how long ago the object was put, by the store's clock; set by Owed only.
	Age time.Duration
}

// AllKinds is the kind of events that concern every kind.
const AllKinds = "all"

const (
	owedPrefix     = "owed/"
	subscribersKey = "webhooks.json"
	// everyEndpoint stands for all endpoints while webhooks.json is damaged. It is not the name of one.
	everyEndpoint = "_every"
	// subscribersAge is how old the list of subscribers may be that decides what is owed.
	subscribersAge = 10 * time.Second
)

// Key returns the key of the delivery of the event to an endpoint, which also identifies the message.
func (e Event) Key(endpoint string) string {
	return fmt.Sprintf("%s%s/%s/%s/%s/%d.%d", owedPrefix, endpoint, e.Name, e.Kind, e.ID, e.Run, e.At.UnixMilli())
}

// parseOwed is the reverse of Event.Key.
func parseOwed(key string) (endpoint string, e Event, ok bool) {
	parts := strings.Split(strings.TrimPrefix(key, owedPrefix), "/")
	if len(parts) != 5 {
		return "", e, false
	}
	runText, atText, _ := strings.Cut(parts[4], ".")
	run, runErr := strconv.Atoi(runText)
	at, atErr := strconv.ParseInt(atText, 10, 64)
	e = Event{Name: parts[1], Kind: parts[2], ID: parts[3], Run: run, At: time.UnixMilli(at).UTC()}
	return parts[0], e, errors.Join(runErr, atErr) == nil && e.Key(parts[0]) == key
}

// Subscriber is an endpoint in webhooks.json. It holds neither addresses nor secrets. Empty lists mean all.
type Subscriber struct {
	Name   string   `json:"name"`
	Events []string `json:"events,omitempty"`
	Kinds  []string `json:"kinds,omitempty"`
}

// Wants reports whether the endpoint receives the event.
func (s Subscriber) Wants(e Event) bool {
	kind := len(s.Kinds) == 0 || e.Kind == AllKinds || slices.Contains(s.Kinds, e.Kind)
	return kind && (len(s.Events) == 0 || slices.Contains(s.Events, e.Name))
}

// ErrDamagedSubscribers means that webhooks.json cannot be parsed. Jobs go on, and their events are owed to every endpoint.
var ErrDamagedSubscribers = errors.New(subscribersKey + " is damaged: webhooks of new events wait until kycq serve writes it again")

// Subscribers reads webhooks.json, which `kycq serve` writes. A missing one is empty.
func (s *Store) Subscribers(ctx context.Context) ([]Subscriber, error) {
	found, err := s.buckets.Records.Get(ctx, subscribersKey)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", subscribersKey, err)
	}
	var subscribers []Subscriber
	if err := json.Unmarshal(found.Body, &subscribers); err != nil {
		return nil, ErrDamagedSubscribers
	}
	return subscribers, nil
}

// SetSubscribers writes webhooks.json. Processes obey it within 10 seconds.
func (s *Store) SetSubscribers(ctx context.Context, subscribers []Subscriber) error {
	body, err := json.Marshal(subscribers)
	if err == nil {
		err = s.buckets.Records.Put(ctx, subscribersKey, body, "application/json")
	}
	if err != nil {
		return fmt.Errorf("publish the webhook endpoints: %w", err)
	}
	return nil
}

// subscribers caches webhooks.json. All that need it anew share one request, so that a slow store delays each of them once, and
// not one after the other: they may have paid answers to store.
type subscribers struct {
	mu      sync.Mutex
	list    []Subscriber
	began   time.Time // when list was asked for; zero: never
	request singleflight.Group
}

func (c *subscribers) get(ctx context.Context, read func(context.Context) ([]Subscriber, error)) ([]Subscriber, error) {
	c.mu.Lock()
	list, fresh := c.list, !c.began.IsZero() && sleep.Elapsed(c.began) < subscribersAge
	c.mu.Unlock()
	if fresh {
		return list, nil
	}
	shared := c.request.DoChan("", func() (any, error) {
		began := time.Now()
		list, err := read(context.WithoutCancel(ctx)) // the others need it still
		if errors.Is(err, ErrDamagedSubscribers) {
			list, err = []Subscriber{{Name: everyEndpoint}}, nil
		}
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.list, c.began = list, began
		}
		return list, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-shared:
		list, _ := result.Val.([]Subscriber)
		return list, result.Err
	}
}

// Owe puts the event for each endpoint that wants it. data is the body of an event that is stored nowhere else. It does
// nothing without Config.Webhooks.
func (s *Store) Owe(ctx context.Context, e Event, data []byte) error {
	if !s.cfg.Webhooks {
		return nil
	}
	list, err := s.subscribers.get(ctx, s.Subscribers)
	if err != nil {
		return err
	}
	for _, to := range list {
		if to.Wants(e) {
			if err := s.OweTo(ctx, to.Name, e, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// OweTo puts the event for one endpoint.
func (s *Store) OweTo(ctx context.Context, endpoint string, e Event, data []byte) error {
	return s.owed.Put(ctx, e.Key(endpoint), data, "application/json")
}

// Owed yields the events that are owed to an endpoint, in key order. It ends with the first error.
func (s *Store) Owed(ctx context.Context, endpoint string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for info, err := range s.owed.List(ctx, owedPrefix+endpoint+"/") {
			if err != nil {
				yield(Event{}, err)
				return
			}
			_, e, ok := parseOwed(info.Key)
			if e.Age = info.Age; ok && !yield(e, nil) {
				return
			}
		}
	}
}

// Distribute owes to the endpoints in the list what was owed to all while webhooks.json was damaged.
func (s *Store) Distribute(ctx context.Context, list []Subscriber) error {
	for e, err := range s.Owed(ctx, everyEndpoint) {
		if err != nil {
			return err
		}
		data, err := s.OwedData(ctx, everyEndpoint, e)
		if errors.Is(err, objects.ErrNotFound) {
			continue // another server was faster
		} else if err != nil {
			return err
		}
		for _, to := range list {
			if to.Wants(e) {
				if err := s.OweTo(ctx, to.Name, e, data); err != nil {
					return err
				}
			}
		}
		if err := s.Delivered(ctx, everyEndpoint, e); err != nil {
			return err
		}
	}
	return nil
}

// OwedData returns the data that Owe was given.
func (s *Store) OwedData(ctx context.Context, endpoint string, e Event) ([]byte, error) {
	found, err := s.owed.Get(ctx, e.Key(endpoint))
	if err != nil {
		return nil, err
	}
	return found.Body, nil
}

// Delivered deletes what Owe has put.
func (s *Store) Delivered(ctx context.Context, endpoint string, e Event) error {
	return s.owed.Delete(ctx, e.Key(endpoint))
}

// EventsOf returns the events that a final record makes true.
func EventsOf(r *Record) []Event {
	e := Event{Name: EventJobFinished, Kind: string(r.Kind), ID: r.VerificationID, Run: r.Run, At: r.CompletedAt}
	events := []Event{e}
	if r.NeedsReview() {
		e.Name = EventReviewNeeded
		events = append(events, e)
	}
	return events
}

// oweEnd owes what the record makes true, if it ends a run.
func (s *Store) oweEnd(ctx context.Context, r *Record) error {
	if !r.Ending || !s.cfg.Webhooks {
		return nil
	}
	for _, e := range EventsOf(r) {
		if err := s.Owe(ctx, e, nil); err != nil {
			return err
		}
	}
	return nil
}

// RecordsSince yields the ids of the records of a kind that were written in the last while, by the store's clock.
func (s *Store) RecordsSince(ctx context.Context, kind tasks.Kind, while time.Duration) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for info, err := range s.records.List(ctx, recordsOf(kind)) {
			if err != nil {
				yield("", err)
				return
			}
			if id, ok := recordID(kind, info.Key); ok && info.Age <= while && !yield(id, nil) {
				return
			}
		}
	}
}
