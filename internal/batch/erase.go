package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// eraseParallel is how many parts are in memory at once.
const eraseParallel = 4

// EraseRows removes the cells and inputs of the rows with the ids from the manifests of all batches of a kind: it seals each
// part with such a row anew. erased are the keys of these parts. It may be repeated. If versions of parts remain, the error is a
// storage.RemainsError.
func EraseRows(ctx context.Context, store *storage.Store, keyset *tasks.Keyset, kind tasks.Kind, ids map[string]bool) (erased []string, err error) {
	all, err := NewStore(store).All(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var remains storage.RemainsError
	var group errgroup.Group // without a common context: an unreadable part stops no other
	group.SetLimit(eraseParallel)
	for _, b := range all {
		if b.Kind != kind {
			continue
		}
		parts := PartsOf(store, keyset, b)
		for n := range manifest.Parts(b.Rows) {
			group.Go(func() error {
				changed, err := parts.erase(ctx, n, ids)
				mu.Lock()
				defer mu.Unlock()
				if changed {
					erased = append(erased, partKey(b.ID, b.Plan, n))
				}
				return remains.Take(err)
			})
		}
	}
	if err := group.Wait(); err != nil {
		return erased, fmt.Errorf("erase the rows of manifests: %w", err)
	}
	return erased, remains.Result()
}

// erase seals a part anew without what its rows with the ids hold.
func (p *Parts) erase(ctx context.Context, number int, ids map[string]bool) (changed bool, err error) {
	key := partKey(p.batch.ID, p.batch.Plan, number)
	for {
		found, err := p.objects.Get(ctx, key)
		if err != nil {
			return false, fmt.Errorf("part %d of batch %s: %w", number, p.batch.ID, err)
		}
		part, err := manifest.OpenPart(found.Body, p.keyset, p.batch.Kind, p.batch.ID, number)
		if err != nil {
			return false, fmt.Errorf("batch %s: %w", p.batch.ID, err)
		}
		matches, left := part.Erase(ids)
		switch {
		case matches == 0:
			return false, nil
		case left == 0: // by an earlier erasure, which may have left versions
			return true, p.objects.PurgeOld(ctx, key)
		}
		body, err := part.Seal(p.keyset, p.batch.Kind, p.batch.ID)
		if err != nil {
			return false, err
		}
		_, err = p.objects.Swap(ctx, key, body, found.ETag)
		if errors.Is(err, objects.ErrConflict) {
			continue
		}
		if err != nil {
			return false, err
		}
		return true, p.objects.PurgeOld(ctx, key)
	}
}
