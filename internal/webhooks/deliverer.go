package webhooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

const (
	// lookEvery is how often endpoints and owed events are looked for; the end of a job is seen at once.
	lookEvery = 5 * time.Second
	// settle collects events that occur together.
	settle = 200 * time.Millisecond
	// roundTime is how long a round begins deliveries. With a request it is shorter than leadFor, for which one server delivers
	// to an endpoint.
	roundTime = 15 * time.Second
	leadFor   = roundTime + requestTimeout + 5*time.Second
	// parallel is how many requests an endpoint gets at once.
	parallel = 8
	// maxDue limits the events that a round lists and delivers. A round has no time for more.
	maxDue = 5000
	// idleLook is how often the events of an endpoint are counted while none is tried.
	idleLook = time.Minute

	firstBackoff = 5 * time.Second
	// maxBackoff is the longest pause between two tries of an event, maxEndpointBackoff between two tries of any event.
	maxBackoff, maxEndpointBackoff = 6 * time.Hour, 5 * time.Minute
	// giveUpAfter is how long an event is tried that only it fails, and an endpoint that fails for every event.
	giveUpAfter = 3 * 24 * time.Hour
)

// Deliverer delivers the owed events. Several servers may run one each.
type Deliverer struct {
	Store *storage.Store
	Redis redis.UniversalClient
	// Load reads the endpoints.
	Load func() ([]Endpoint, error)
	// Job returns the data of an event of a job.
	Job    func(*storage.Record) any
	Client Client
	Log    zerolog.Logger

	metrics   *metrics
	endpoints []Endpoint
	published time.Time // when the list in S3 was last checked
	loadErr   string
	lanes     map[string]*lane
}

// lane is the delivery to one endpoint by this server.
type lane struct {
	*Deliverer
	Endpoint
	leader *redisx.Leader
	mu     sync.Mutex // held by a round
	tries  map[string]try
	failed bool // at the last look
	listed time.Time
}

// try is the backoff of an event that was not delivered.
type try struct {
	first, next time.Time
	n           int
	recoveries  int // how often the endpoint has worked again since, for other events
}

// backoff returns the pause after n failures.
func backoff(n int, most time.Duration) time.Duration {
	return min(firstBackoff<<min(n-1, 20), most)
}

// Run delivers until ctx ends.
func (d *Deliverer) Run(ctx context.Context) {
	d.lanes = map[string]*lane{}
	wake := make(chan struct{}, 1)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		redisx.WatchFinished(ctx, d.Redis, func(string, string) {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
	})
	for ctx.Err() == nil {
		d.refresh(ctx)
		for _, e := range d.endpoints {
			l := d.lane(e)
			if !l.mu.TryLock() {
				continue // its last round is not over
			}
			l.Endpoint = e
			running.Go(func() {
				defer l.mu.Unlock()
				if err := l.round(ctx); err != nil && ctx.Err() == nil {
					d.Log.Warn().Err(err).Str("endpoint", l.Name).Msg("webhooks are not delivered: retrying")
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-wake:
			_ = sleep.For(ctx, settle)
		case <-time.After(lookEvery):
		}
	}
}

func (d *Deliverer) lane(e Endpoint) *lane {
	l := d.lanes[e.Name]
	if l == nil {
		l = &lane{Deliverer: d, leader: redisx.NewLeader(d.Redis, "webhooks:"+e.Name, leadFor), tries: map[string]try{}}
		d.lanes[e.Name] = l
	}
	return l
}

// refresh reads the endpoints again, and publishes changes. If that fails, the last ones stay in force.
func (d *Deliverer) refresh(ctx context.Context) {
	list, err := d.Load()
	if err != nil {
		if d.loadErr != err.Error() {
			d.Log.Error().Err(err).Msg("the webhook endpoints cannot be read: the last ones stay in force; correct the file")
		}
		d.loadErr = err.Error()
		return
	}
	d.loadErr = ""
	changed := d.published.IsZero() || !reflect.DeepEqual(list, d.endpoints)
	if !changed && time.Since(d.published) < idleLook {
		return
	}
	if err := d.publish(ctx, list, changed); err != nil {
		d.Log.Warn().Err(err).Msg("the webhook endpoints could not be compared with those in S3: retrying")
		return
	}
	if d.published = time.Now(); !changed {
		return
	}
	d.Log.Info().Int("endpoints", len(list)).Msg("webhook endpoints read")
	for _, e := range d.endpoints {
		d.metrics.forget(e.Name)
	}
	d.endpoints = list
}

// publish stores the list in S3. A list that has not changed gives way to that of another server, which may have a newer file.
func (d *Deliverer) publish(ctx context.Context, list []Endpoint, changed bool) error {
	want := make([]storage.Subscriber, len(list))
	for i := range list {
		want[i] = list[i].subscriber()
	}
	stored, err := d.Store.Subscribers(ctx)
	if errors.Is(err, storage.ErrDamagedSubscribers) {
		d.Log.Error().Err(err).Msg("the list of webhook endpoints in S3 is written again: find out what has changed it")
	} else if err != nil {
		return err // the list may be that of a newer server
	}
	switch differs := len(stored) != len(want) || len(want) > 0 && !reflect.DeepEqual(stored, want); {
	case err == nil && differs && !changed && len(stored) > 0:
		d.Log.Warn().Msg("another server has other webhook endpoints, and those count: give all servers the same file")
		return nil
	case err != nil || differs:
		if err := d.Store.SetSubscribers(ctx, want); err != nil {
			return err
		}
	}
	return d.Store.Distribute(ctx, want)
}

// round delivers what is due, if this server leads for the endpoint.
func (l *lane) round(ctx context.Context) error {
	if leads, err := l.leader.Lead(ctx); err != nil || !leads {
		l.metrics.forget(l.Name)
		return err
	}
	states, err := redisx.Endpoints(ctx, l.Redis)
	if err != nil {
		return err
	}
	began, state := time.Now(), states[l.Name]
	if l.failed && state.Failures == 0 { // reset by kycq webhooks test
		clear(l.tries)
	}
	l.failed = state.Failures > 0
	idle := state.Stopped != "" || state.Next.After(began)
	if idle && began.Sub(l.listed) < idleLook {
		return nil
	}
	due, err := l.list(ctx, began, maxDue, state.Stopped != "")
	if err != nil || idle {
		return err
	}
	slices.SortFunc(due, func(a, b storage.Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	if state.Failures > 0 {
		slices.SortStableFunc(due, func(a, b storage.Event) int {
			return cmp.Compare(l.tries[a.Key(l.Name)].n, l.tries[b.Key(l.Name)].n)
		})
	}
	return l.deliverAll(ctx, began, due, state)
}

// list returns up to most of the events that are due, the first in key order.
func (l *lane) list(ctx context.Context, began time.Time, most int, stopped bool) (due []storage.Event, err error) {
	oldest, owed, seen := began, 0, map[string]bool{}
	for e, err := range l.Store.Owed(ctx, l.Name) {
		if err != nil {
			return nil, err
		}
		owed++
		if e.At.Before(oldest) {
			oldest = e.At
		}
		t, tried := l.tries[e.Key(l.Name)]
		if tried {
			seen[e.Key(l.Name)] = true
		}
		if !t.next.After(began) {
			due = append(due, e)
		}
		if len(due) == most {
			break
		}
	}
	l.listed = began
	l.metrics.set(l.Name, owed, began.Sub(oldest), stopped)
	if len(due) < most {
		maps.DeleteFunc(l.tries, func(key string, _ try) bool { return !seen[key] })
	}
	return due, nil
}

// deliverAll delivers events until one fails. While the endpoint fails, one is tried alone.
func (l *lane) deliverAll(ctx context.Context, began time.Time, due []storage.Event, state redisx.EndpointState) error {
	for len(due) > 0 && ctx.Err() == nil && time.Since(began) < roundTime {
		n := min(parallel, len(due))
		if state.Failures > 0 {
			n = 1
		}
		results := make([]result, n)
		var group errgroup.Group
		for i, e := range due[:n] {
			group.Go(func() error {
				results[i] = l.deliver(ctx, e)
				return nil
			})
		}
		_ = group.Wait()
		before := state
		for i, r := range results {
			state = l.note(ctx, due[i], r, state)
		}
		if state != before {
			l.failed = state.Failures > 0
			if err := redisx.SetEndpoint(ctx, l.Redis, l.Name, state); err != nil {
				return err
			}
		}
		for _, r := range results {
			if r.failure != "" {
				return nil
			}
			if r.err != nil && !errors.Is(r.err, errNotYet) {
				return r.err // of S3
			}
		}
		due = due[n:]
	}
	return nil
}

// result is that of one delivery.
type result struct {
	failure string // of the endpoint
	gone    bool   // the endpoint answered 410
	sent    bool
	err     error // nothing was sent
}

// deliver sends one event, and deletes what owes it.
func (l *lane) deliver(ctx context.Context, e storage.Event) result {
	body, err := l.body(ctx, l.Name, e)
	switch {
	case errors.Is(err, errVoid):
		return result{err: l.Store.Delivered(ctx, l.Name, e)}
	case err != nil:
		return result{err: err}
	}
	r := l.Client.send(ctx, &l.Endpoint, messageID(e.Key(l.Name)), body)
	if ctx.Err() != nil && r.failure != "" {
		return result{err: ctx.Err()} // the server ends
	}
	l.metrics.delivered(l.Name, r)
	if r.failure == "" {
		r.err = l.Store.Delivered(ctx, l.Name, e)
	}
	return r
}

// recover makes what failed meanwhile due soon. What fails again and again while the endpoint works waits longer each time.
func (l *lane) recover(now time.Time) {
	for key, t := range l.tries {
		t.recoveries++
		if next := now.Add(backoff(t.recoveries, maxBackoff)); next.Before(t.next) {
			t.next = next
		}
		l.tries[key] = t
	}
}

// note counts a result for the event and for the endpoint.
func (l *lane) note(ctx context.Context, e storage.Event, r result, state redisx.EndpointState) redisx.EndpointState {
	key, now := e.Key(l.Name), time.Now().UTC().Truncate(time.Second)
	t := l.tries[key]
	if t.n++; t.n == 1 {
		t.first = now
	}
	t.next = now.Add(backoff(t.n, maxBackoff))
	if r.sent || r.failure != "" {
		tried := redisx.Delivery{
			Endpoint: l.Name, Event: e.Name, Kind: e.Kind, ID: e.ID, Run: e.Run, At: e.At, SentAt: time.Now().UTC(), Try: t.n, Result: cmp.Or(r.failure, "ok"),
		}
		_ = redisx.NoteDelivery(ctx, l.Redis, tried) // only people read it
	}
	switch {
	case r.failure == "" && !r.sent:
		if errors.Is(r.err, errNotYet) {
			l.tries[key] = t
		}
		return state
	case r.failure == "":
		if state.Failures > 0 {
			l.Log.Info().Str("endpoint", l.Name).Msg("the webhook endpoint works again")
			l.recover(now)
		}
		delete(l.tries, key)
		return redisx.EndpointState{}
	}
	l.tries[key] = t
	if state.Failures++; state.Failures == 1 {
		state.Since = now
		l.Log.Warn().Str("endpoint", l.Name).Str("failure", r.failure).Msg("a webhook was not delivered: it is repeated")
	}
	state.Last, state.Next = r.failure, now.Add(backoff(state.Failures, maxEndpointBackoff))
	switch {
	case r.gone:
		state.Stopped = "it answered 410 Gone"
	case now.Sub(state.Since) >= giveUpAfter:
		state.Stopped = fmt.Sprintf("it has failed for %d hours: %s", int(giveUpAfter.Hours()), r.failure)
	case now.Sub(t.first) >= giveUpAfter:
		l.Log.Error().Str("endpoint", l.Name).Str("event", e.Name).Str("kind", e.Kind).Str("id", e.ID).Str("failure", r.failure).
			Msg("a webhook is given up: the endpoint has refused it for 3 days; kycq webhooks resend repeats it")
		l.metrics.givenUp(l.Name)
		if err := l.Store.Delivered(ctx, l.Name, e); err == nil {
			delete(l.tries, key)
		}
	}
	if state.Stopped != "" {
		l.Log.Error().Str("endpoint", l.Name).Str("why", state.Stopped).Str("next_action", "correct it, then run: kycq webhooks test "+l.Name).
			Msg("the webhook endpoint is stopped: its events stay in S3 for 30 days")
	}
	return state
}
