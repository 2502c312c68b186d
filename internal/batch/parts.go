package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func partKey(id, plan string, number int) string {
	return fmt.Sprintf("%s%s/manifest/%s/%06d", root, id, plan, number)
}

// Parts reads and writes the sealed manifest of one batch.
type Parts struct {
	objects *objects.Bucket
	keyset  *tasks.Keyset
	batch   *Batch
	last    *manifest.Part // rows are read in order, so one part is cached
}

// PartsOf returns the parts of a batch. Part is for one goroutine at a time.
func PartsOf(store *storage.Store, keyset *tasks.Keyset, b *Batch) *Parts {
	return &Parts{objects: objectsOf(store), keyset: keyset, batch: b}
}

// Write seals and stores a part. It is safe for concurrent use.
func (p *Parts) Write(ctx context.Context, part *manifest.Part) error {
	body, err := part.Seal(p.keyset, p.batch.Kind, p.batch.ID)
	if err != nil {
		return err
	}
	return p.objects.Put(ctx, partKey(p.batch.ID, p.batch.Plan, part.Number), body, "text/plain")
}

// Sources returns the hash of the input of a stored part; empty if there is no such part or it cannot be opened. It is
// safe for concurrent use.
func (p *Parts) Sources(ctx context.Context, number int) (string, error) {
	part, err := p.read(ctx, number)
	switch {
	case errors.Is(err, objects.ErrNotFound), errors.Is(err, seal.ErrBroken), errors.Is(err, seal.ErrKeyMissing):
		return "", nil
	case err != nil:
		return "", err
	}
	return part.Sources, nil
}

// Part reads a part. Errors: seal.ErrKeyMissing, seal.ErrBroken, storage's.
func (p *Parts) Part(ctx context.Context, number int) (*manifest.Part, error) {
	if p.last != nil && p.last.Number == number {
		return p.last, nil
	}
	part, err := p.read(ctx, number)
	if err != nil {
		return nil, err
	}
	p.last = part
	return part, nil
}

func (p *Parts) read(ctx context.Context, number int) (*manifest.Part, error) {
	found, err := p.objects.Get(ctx, partKey(p.batch.ID, p.batch.Plan, number))
	if err != nil {
		return nil, fmt.Errorf("part %d of the manifest: %w", number, err)
	}
	return manifest.OpenPart(found.Body, p.keyset, p.batch.Kind, p.batch.ID, number)
}

// Find returns the row of a verification_id, nil if there is none. It may read all parts.
func (p *Parts) Find(ctx context.Context, id string) (*manifest.Item, error) {
	var found atomic.Pointer[manifest.Item]
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readParallel)
	for n := range manifest.Parts(p.batch.Rows) {
		group.Go(func() error {
			if found.Load() != nil {
				return nil
			}
			part, err := p.read(ctx, n)
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(part.Items, func(it manifest.Item) bool { return it.ID == id }); i >= 0 {
				found.Store(&part.Items[i])
			}
			return nil
		})
	}
	err := group.Wait()
	return found.Load(), err
}

// rows returns the rows of a list.
func (p *Parts) rows(ctx context.Context, list []Rerun) ([]*Row, error) {
	rows := make([]*Row, len(list))
	for i, r := range list {
		part, err := p.Part(ctx, manifest.PartOf(r.Row))
		if err != nil {
			return nil, err
		}
		at := (r.Row - 1) % manifest.PartRows
		if at >= len(part.Items) {
			return nil, fmt.Errorf("part %d of the manifest has no row %d", part.Number, r.Row)
		}
		rows[i] = &Row{Item: &part.Items[at], batch: p.batch.ID, run: r.Run, was: r.Was, reviewed: r.Review, wasCode: r.Code}
	}
	return rows, nil
}

// columnsBinding binds the sealed headings in batch.json to their batch.
func columnsBinding(kind tasks.Kind, batch string) seal.Binding {
	return seal.Binding{Kind: string(kind), ID: batch + "/columns", Purpose: seal.PurposeManifest}
}

// SealColumns seals the headings of the file.
func SealColumns(k *tasks.Keyset, kind tasks.Kind, batch string, names []string) (string, error) {
	plain, err := json.Marshal(names)
	if err != nil {
		return "", fmt.Errorf("seal the columns: %w", err)
	}
	return k.Seal(plain, columnsBinding(kind, batch))
}

// Columns opens the headings of the file.
func (b *Batch) Columns(k *tasks.Keyset) ([]string, error) {
	plain, err := k.Open(b.SealedColumns, columnsBinding(b.Kind, b.ID))
	if err != nil {
		return nil, fmt.Errorf("open the columns of the manifest: %w", err)
	}
	var names []string
	if err := json.Unmarshal(plain, &names); err != nil {
		return nil, errors.New("open the columns of the manifest: not written by kycq")
	}
	return names, nil
}
