package batch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

func partPrefix(id, plan string) string { return root + id + "/manifest/" + plan + "/" }

func partKey(id, plan string, number int) string {
	return fmt.Sprintf("%s%06d", partPrefix(id, plan), number)
}

func listKey(id, list string, number int) string {
	return fmt.Sprintf("%s%s/passes/%s/%06d", root, id, list, number)
}

// Parts reads and writes the manifest of one batch.
type Parts struct {
	store  *storage.Store
	keyset *tasks.Keyset
	kind   tasks.Kind
	batch  string
	plan   string
	last   *manifest.Part // rows are asked for in their order
}

// NewParts reaches the parts of a batch. It is for one goroutine at a time where parts are read.
func NewParts(store *storage.Store, keyset *tasks.Keyset, kind tasks.Kind, batch, plan string) *Parts {
	return &Parts{store: store, keyset: keyset, kind: kind, batch: batch, plan: plan}
}

// PartsOf reaches the parts of an accepted batch.
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

// Written lists the parts that are there.
func (p *Parts) Written(ctx context.Context) (map[int]bool, error) {
	there := map[int]bool{}
	prefix := partPrefix(p.batch, p.plan)
	for info, err := range p.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the parts of the manifest: %w", err)
		}
		if n, err := strconv.Atoi(info.Key[len(prefix):]); err == nil {
			there[n] = true
		}
	}
	return there, nil
}

// Sources returns what the part of this number was made of, empty where it was not written, or cannot be opened any more.
// It is safe for concurrent use.
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

// Row reads one row.
func (p *Parts) Row(ctx context.Context, row int) (*manifest.Item, error) {
	part, err := p.Part(ctx, manifest.PartOf(row))
	if err != nil {
		return nil, err
	}
	at := (row - 1) % manifest.PartRows
	if at >= len(part.Items) {
		return nil, fmt.Errorf("part %d of the manifest has no row %d", part.Number, row)
	}
	return &part.Items[at], nil
}

// columnsBinding is of the columns, which stand in batch.json.
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

// Columns are the headings of the file.
func (b *Batch) Columns(k *tasks.Keyset) ([]string, error) {
	plain, err := k.Open(b.SealedColumns, columnsBinding(b.Kind, b.ID))
	if err != nil {
		return nil, fmt.Errorf("open the columns of the manifest: %w", err)
	}
	var names []string
	if err := json.Unmarshal(plain, &names); err != nil {
		return nil, errors.New("open the columns of the manifest: not what kycq wrote")
	}
	return names, nil
}

// Rerun is a row of a retry. Nothing in it is personal.
type Rerun struct {
	Row int `json:"row"`
	Run int `json:"run"`
	// Was is how the row had ended, for the counts.
	Was RowState `json:"was"`
}

// listRows is how many rows of a retry stand in one object.
const listRows = 1000

// writeList stores the rows of a pass, before the pass is added to the batch, and returns the list's name.
func (c *Store) writeList(ctx context.Context, id string, rows []Rerun) (list string, err error) {
	list = strings.ToLower(rand.Text()[:12]) // a name of its own: two operators may retry at once
	for n := 0; n*listRows < len(rows); n++ {
		body, err := json.Marshal(rows[n*listRows : min((n+1)*listRows, len(rows))])
		if err != nil {
			return "", fmt.Errorf("write the rows of a retry: %w", err)
		}
		if err := c.objects.PutObject(ctx, listKey(id, list, n), body, jsonType); err != nil {
			return "", fmt.Errorf("write the rows of a retry: %w", err)
		}
	}
	return list, nil
}

func (c *Store) readList(ctx context.Context, id, list string, number int) ([]Rerun, error) {
	body, _, err := c.objects.Object(ctx, listKey(id, list, number))
	if err != nil {
		return nil, fmt.Errorf("read the rows of a retry: %w", err)
	}
	var rows []Rerun
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, errors.New("read the rows of a retry: not what kycq wrote")
	}
	return rows, nil
}
