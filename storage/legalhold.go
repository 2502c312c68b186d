package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/tasks"
)

// LegalHold keeps the data of a job: it is neither erased nor removed by retention until the hold is removed.
type LegalHold struct {
	Kind           tasks.Kind `json:"kind"`
	VerificationID string     `json:"verification_id"`
	By             string     `json:"by"`
	Reason         string     `json:"reason"`
	At             time.Time  `json:"at"`
}

// ErrLegalHold means that the data of a job must be kept.
var ErrLegalHold = errors.New("a legal hold keeps the data (kycq legal-hold list); to end it, run: kycq legal-hold remove")

const holdsPrefix = "legal-holds/"

func holdKey(kind tasks.Kind, id string) (string, error) {
	if _, err := tasks.ParseKind(string(kind)); err != nil {
		return "", err
	}
	if err := objects.CheckSegment("verification_id", id); err != nil {
		return "", err
	}
	return holdsPrefix + string(kind) + "/" + id + ".json", nil
}

// AddLegalHold adds a hold. If there is one, it stays and is returned.
func (s *Store) AddLegalHold(ctx context.Context, h LegalHold) (LegalHold, error) {
	key, err := holdKey(h.Kind, h.VerificationID)
	if err != nil {
		return h, fmt.Errorf("add legal hold: %w", err)
	}
	body, err := json.Marshal(h)
	if err == nil {
		_, err = s.holds.Create(ctx, key, body)
	}
	if errors.Is(err, ErrExists) {
		found, err := s.LegalHold(ctx, h.Kind, h.VerificationID)
		if found != nil {
			h = *found
		}
		return h, err
	}
	return h, err
}

// LegalHold returns the hold of a job, nil if there is none.
func (s *Store) LegalHold(ctx context.Context, kind tasks.Kind, id string) (*LegalHold, error) {
	key, err := holdKey(kind, id)
	if err != nil {
		return nil, fmt.Errorf("read legal hold: %w", err)
	}
	return s.readHold(ctx, key)
}

func (s *Store) readHold(ctx context.Context, key string) (*LegalHold, error) {
	found, err := s.holds.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h := new(LegalHold)
	if err := json.Unmarshal(found.Body, h); err != nil {
		return nil, fmt.Errorf("read %s: not written by kycq", key)
	}
	return h, nil
}

// RemoveLegalHold removes the hold of a job. A missing one is not an error.
func (s *Store) RemoveLegalHold(ctx context.Context, kind tasks.Kind, id string) error {
	key, err := holdKey(kind, id)
	if err != nil {
		return fmt.Errorf("remove legal hold: %w", err)
	}
	return s.holds.Delete(ctx, key)
}

// LegalHolds yields all holds. It ends with the first error.
func (s *Store) LegalHolds(ctx context.Context) iter.Seq2[*LegalHold, error] {
	return func(yield func(*LegalHold, error) bool) {
		for info, err := range s.holds.List(ctx, holdsPrefix) {
			var h *LegalHold
			if err == nil {
				h, err = s.readHold(ctx, info.Key)
			}
			if (h != nil || err != nil) && !yield(h, err) || err != nil {
				return
			}
		}
	}
}
