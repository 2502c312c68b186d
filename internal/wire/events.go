package wire

import (
	"context"
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
	eventsEvery = 5 * time.Second
	storeEvery  = 2 // rounds
)

// events logs changes of the fleet, apart from those that this process has caused and logged.
type events struct {
	log   zerolog.Logger
	self  func(hold.Hold) bool // whether this process has raised a hold, and thus logged it
	holds []hold.Hold
	kinds map[string]gate.KindStatus
	lost  map[string]time.Time // since when a server does not answer
	late  bool                 // events of holds are not owed yet
}

// watchEvents logs holds, resumptions, rates, 429s, and servers that are lost and found again, until ctx ends.
func (w *Worker) watchEvents(ctx context.Context) {
	e := &events{log: w.log, kinds: map[string]gate.KindStatus{}, lost: map[string]time.Time{}, self: func(h hold.Hold) bool {
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
			err := w.pauses.Announce(ctx, holds)
			if err != nil && !e.late && ctx.Err() == nil {
				w.log.Warn().Err(err).Msg("the webhook endpoints are not owed the events of a hold yet: retrying; if that lasts, run `kycq doctor`")
			}
			e.late = err != nil
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

// about adds what identifies a hold.
func about(e *zerolog.Event, h hold.Hold) *zerolog.Event {
	if h.Kind != "" {
		e = e.Str("kind", h.Kind)
	}
	return e.Str("cause", h.Cause).Str("code", advice.Listed(h.Code))
}
