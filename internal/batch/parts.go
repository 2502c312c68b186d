package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func partPrefix(id, plan string) string { return root + id + "/manifest/" + plan + "/" }

func partKey(id, plan string, number int) string {
	return fmt.Sprintf("%s%06d", partPrefix(id, plan), number)
}

// Parts reads and writes the sealed manifest of one batch.
type Parts struct {
	store  *storage.Store
	keyset *tasks.Keyset
	kind   tasks.Kind
	batch  string
	plan   string
	last   *manifest.Part // rows are read in order, so one part is cached
}

// NewParts returns the parts of a batch. Part and Row are for one goroutine at a time.
func NewParts(store *storage.Store, keyset *tasks.Keyset, kind tasks.Kind, batch, plan string) *Parts {
	return &Parts{store: store, keyset: keyset, kind: kind, batch: batch, plan: plan}
}

// PartsOf returns the parts of an accepted batch.
func PartsOf(store *storage.Store, keyset *tasks.Keyset, b *Batch) *Parts {
	return NewParts(store, keyset, b.Kind, b.ID, b.Plan)
}

// Write seals and stores a part. It is safe for concurrent use.
func (p *Parts) Write(ctx context.Context, part *manifest.Part) error {
	body, err := part.Seal(p.keyset, p.kind, p.batch)
	if err != nil {
		return err
	}
	return p.store.PutObject(ctx, partKey(p.batch, p.plan, part.Number), body, "text/plain")
}

// Written lists the numbers of the stored parts.
func (p *Parts) Written(ctx context.Context) (map[int]bool, error) {
	stored := map[int]bool{}
	prefix := partPrefix(p.batch, p.plan)
	for info, err := range p.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the parts of the manifest: %w", err)
		}
		if n, err := strconv.Atoi(info.Key[len(prefix):]); err == nil {
			stored[n] = true
		}
	}
	return stored, nil
}

// Sources returns the hash of the input of a stored part; empty if there is no such part or it cannot be opened. It is
// safe for concurrent use.
func (p *Parts) Sources(ctx context.Context, number int) (string, error) {
	part, err := p.read(ctx, number)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, seal.ErrBroken), errors.Is(err, seal.ErrKeyMissing):
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
	body, _, err := p.store.Object(ctx, partKey(p.batch, p.plan, number))
	if err != nil {
		return nil, fmt.Errorf("part %d of the manifest: %w", number, err)
	}
	return manifest.OpenPart(body, p.keyset, p.kind, p.batch, number)
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
		rows[i] = &Row{Item: &part.Items[at], batch: p.batch, run: r.Run, was: r.Was}
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
