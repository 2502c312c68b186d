package wire

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/sleep"
	"github.com/kycq/kycq/storage"
)

// LogStart logs what this worker works with.
func (w *Worker) LogStart(cfg *config.Config) {
	vendor, environment := cfg.CashfreeURL, "other"
	if u, err := url.Parse(cfg.CashfreeURL); err == nil {
		vendor = u.Host
	}
	switch vendor {
	case "api.cashfree.com":
		environment = "live"
	case "sandbox.cashfree.com":
		environment = "sandbox"
	}
	const shown = 4
	account := cfg.CashfreeClientID
	account = "..." + account[max(0, len(account)-shown):]
	w.log.Info().Str("version", w.self.Version).Str("vendor", vendor).Str("environment", environment).Str("account", account).
		Str("inbox_bucket", cfg.S3InboxBucket).Str("masked_bucket", cfg.S3MaskedBucket).Str("records_bucket", cfg.S3RecordsBucket).
		Stringer("aadhaar_rate", cfg.AadhaarRate).Stringer("passport_rate", cfg.PassportRate).Interface("concurrency", w.self.Concurrency).
		Str("digit_check", w.DigitCheck).Str("qr_check", cfg.QRCheck).Msg("worker started")
}

const (
	eventsEvery = 2 * time.Second
	storeEvery  = 5 // rounds
)

// events logs changes of the fleet, apart from those that this process has caused and logged.
type events struct {
	log   zerolog.Logger
	self  func(hold.Hold) bool           // whether this process has raised a hold, and thus logged it
	owe   func(name string, h hold.Hold) // for the webhook endpoints
	holds []hold.Hold
	kinds map[string]gate.KindStatus
	lost  map[string]time.Time // since when a server does not answer
}

// watchEvents logs holds, resumptions, rates, 429s, and servers that are lost and found again, until ctx ends.
func (w *Worker) watchEvents(ctx context.Context) {
	e := &events{log: w.log, owe: func(name string, h hold.Hold) { w.oweFleet(ctx, name, h) }, kinds: map[string]gate.KindStatus{}, lost: map[string]time.Time{}, self: func(h hold.Hold) bool {
		return h.By == "worker" && h.Host == w.self.Host && h.Worker == strconv.Itoa(w.self.PID)
	}}
	for round := 0; ; round++ {
		kinds, holds, err := w.gate.Status(ctx)
		var storeErr error
		if round%storeEvery == 0 {
			_, storeErr = w.store.Buckets().Clock(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if e.answers("Redis", err) {
			e.compare(kinds, holds)
		}
		if round%storeEvery == 0 {
			e.answers("S3", storeErr)
		}
		if sleep.For(ctx, eventsEvery) != nil {
			return
		}
	}
}

// answers logs that a server is lost or found again, and reports whether it answers.
func (e *events) answers(server string, err error) bool {
	since, lost := e.lost[server]
	switch {
	case err != nil && !lost:
		e.lost[server] = time.Now()
		e.log.Warn().Err(err).Msg(server + " does not answer: jobs wait until it does; if that lasts, run `kycq doctor`")
	case err == nil && lost:
		delete(e.lost, server)
		e.log.Info().Dur("after_ms", time.Since(since)).Msg(server + " answers again")
	}
	return err == nil
}

func (e *events) compare(kinds []gate.KindStatus, holds []hold.Hold) {
	for _, h := range holds {
		i := slices.IndexFunc(e.holds, h.Same)
		if i < 0 {
			e.owe(storage.EventFleetHeld, h)
		}
		switch {
		case i < 0 && !e.self(h):
			about(e.log.Warn(), h).Str("reason", h.Reason).Str("next_action", h.NextAction).Str("by", h.By).Str("host", h.Host).Msg("calls are on hold")
		case h.Probing && (i < 0 || !e.holds[i].Probing):
			about(e.log.Info(), h).Msg("a hold is resumed: the next call is a test")
		}
	}
	for _, h := range e.holds {
		if !slices.ContainsFunc(holds, h.Same) {
			about(e.log.Info(), h).Msg("a hold has ended")
			e.owe(storage.EventFleetResumed, h)
		}
	}
	e.holds = holds
	for _, k := range kinds {
		before, known := e.kinds[k.Kind]
		e.kinds[k.Kind] = k
		if !known {
			continue
		}
		if before.Configured != k.Configured {
			e.log.Info().Str("kind", k.Kind).Stringer("before", before.Configured).Stringer("now", k.Configured).Msg("the rate was changed")
		}
		if k.LastLimited.After(before.LastLimited) {
			e.log.Warn().Str("kind", k.Kind).Int("count", k.Limited-before.Limited).Dur("silent_ms", k.StoppedFor).
				Msg("Cashfree answered 429: no calls of this kind for a while")
		}
	}
}

// fleetEvent is the data of fleet.held and fleet.resumed. What an operator has written is not in it.
type fleetEvent struct {
	Kind       string    `json:"kind"`
	Cause      string    `json:"cause"`
	Code       string    `json:"code"`
	NextAction string    `json:"next_action,omitempty"`
	Since      time.Time `json:"since"`
	ResumedAt  time.Time `json:"resumed_at,omitzero"`
}

// oweFleet owes an event of a hold to the webhook endpoints. Each worker does; the objects are the same.
func (w *Worker) oweFleet(ctx context.Context, name string, h hold.Hold) {
	e := storage.Event{Name: name, Kind: cmp.Or(h.Kind, storage.AllKinds), ID: h.Cause, Run: 1, At: h.Since.Truncate(time.Millisecond)}
	data := fleetEvent{Kind: e.Kind, Cause: h.Cause, Code: advice.Listed(h.Code), Since: e.At}
	if name == storage.EventFleetResumed {
		data.ResumedAt = time.Now().UTC().Truncate(time.Millisecond)
	} else if h.Cause != hold.Operator {
		data.NextAction = h.NextAction
	}
	body, err := json.Marshal(data)
	if err == nil {
		err = w.store.Owe(ctx, e, body)
	}
	if err != nil && ctx.Err() == nil {
		w.log.Warn().Err(err).Str("event", name).Msg("the event of a hold is not owed to the webhook endpoints")
	}
}

// about adds what identifies a hold.
func about(e *zerolog.Event, h hold.Hold) *zerolog.Event {
	if h.Kind != "" {
		e = e.Str("kind", h.Kind)
	}
	return e.Str("cause", h.Cause).Str("code", advice.Listed(h.Code))
}
