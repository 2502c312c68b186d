package pauses

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage"
)

// Announce owes the webhook endpoints an event of each hold that has begun or ended since the last call of any process, and notes in
// holds.json what is owed: a hold may end while no worker is alive. holds are those that this process has seen in Redis; Announce does
// nothing while they are those that it has announced, unless the holds.json that it read last names one that is not there: a pause
// is announced by the command, and may have ended before any worker saw it.
func (p *Pauses) Announce(ctx context.Context, holds []hold.Hold) error {
	var named []hold.Hold
	if last := p.named.Load(); last != nil {
		named = *last
	}
	if p.announced != nil && slices.EqualFunc(p.announced, holds, sameHold) && len(without(named, holds)) == 0 {
		return nil
	}
	err := objects.ErrConflict
	for i := 0; i < tries && conflict(err); i++ {
		err = p.announce(ctx)
	}
	if err == nil {
		p.announced = append([]hold.Hold{}, holds...)
	}
	return err
}

func (p *Pauses) announce(ctx context.Context) error {
	doc, etag, err := p.read(ctx)
	if err != nil {
		return err
	}
	holds, err := p.Holds.Holds(ctx) // after holds.json: what was announced and is not there has ended
	if err != nil {
		return err
	}
	for _, h := range doc.Holds { // Redis may lack a pause for a while
		if !slices.ContainsFunc(holds, h.Same) {
			holds = append(holds, h)
		}
	}
	if err := p.owe(ctx, storage.EventFleetHeld, without(holds, doc.Announced)); err != nil {
		return err
	}
	if err := p.owe(ctx, storage.EventFleetResumed, without(doc.Announced, holds)); err != nil {
		return err
	}
	if len(without(holds, doc.Announced))+len(without(doc.Announced, holds)) == 0 {
		return nil
	}
	doc.Announced = nil
	for _, h := range holds {
		doc.Announced = append(doc.Announced, hold.Hold{Cause: h.Cause, Kind: h.Kind, Code: advice.Listed(h.Code), Since: h.Since})
	}
	return p.write(ctx, doc, etag)
}

// sameHold reports whether two holds are one, not one of the same cause and kind that was raised later.
func sameHold(a, b hold.Hold) bool { return a.Same(b) && a.Since.Equal(b.Since) }

func without(holds, others []hold.Hold) (rest []hold.Hold) {
	for _, h := range holds {
		if !slices.ContainsFunc(others, func(o hold.Hold) bool { return sameHold(h, o) }) {
			rest = append(rest, h)
		}
	}
	return rest
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

// owe owes an event of each hold. Several processes may; the objects are the same.
func (p *Pauses) owe(ctx context.Context, name string, holds []hold.Hold) error {
	for _, h := range holds {
		e := storage.Event{Name: name, Kind: cmp.Or(h.Kind, storage.AllKinds), ID: h.Cause, Run: 1, At: h.Since.Truncate(time.Millisecond)}
		data := fleetEvent{Kind: e.Kind, Cause: h.Cause, Code: advice.Listed(h.Code), Since: e.At}
		if name == storage.EventFleetResumed {
			data.ResumedAt = time.Now().UTC().Truncate(time.Millisecond)
		} else if h.Cause != hold.Operator {
			data.NextAction = h.NextAction
		}
		body, err := json.Marshal(data)
		if err != nil {
			return err
		}
		if err := p.Owe(ctx, e, body); err != nil {
			return err
		}
	}
	return nil
}
