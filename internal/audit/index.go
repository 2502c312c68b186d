package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kycq/kycq/internal/objects"
)

// indexKey is the object that lists all chains: a chain that was removed with its head is found missing.
const indexKey = prefix + "index.json"

const indexVersion = 1

// index is the content of indexKey. Only writers with a keyset change Signed.
type index struct {
	Version int           `json:"version"`
	Signed  []signedChain `json:"signed"`
	MAC     string        `json:"mac,omitempty"` // of Signed
	// Unsigned are the writers without a keyset, and those of versions without MACs.
	Unsigned []string `json:"unsigned"`

	etag string // empty: the index does not exist
}

// signedChain is a writer whose events carry a MAC from number From on.
type signedChain struct {
	Writer string `json:"writer"`
	From   int64  `json:"from"`
}

var errNotIndex = errors.New("changed, or not an index of the trail: run `kycq audit verify`, keep the object as evidence, and remove it")

// readIndex reads the index; the zero index if there is none.
func readIndex(ctx context.Context, bucket Bucket) (*index, error) {
	found, err := bucket.Get(ctx, indexKey)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return &index{Version: indexVersion}, nil
	case err != nil:
		return nil, err
	}
	ix := &index{}
	if err := json.Unmarshal(found.Body, ix); err != nil || ix.Version != indexVersion {
		return nil, fmt.Errorf("%s: %w", indexKey, errNotIndex)
	}
	ix.etag = found.ETag
	return ix, nil
}

// signedLine is what the index's MAC covers.
func (ix *index) signedLine() []byte {
	line, _ := json.Marshal(ix.Signed) // names and numbers: never fails
	return append([]byte("index\n"), line...)
}

// intact reports whether the MAC is that of Signed. Without mac it is not checked.
func (ix *index) intact(mac MAC) bool {
	return mac == nil || len(ix.Signed) == 0 && ix.MAC == "" || ix.MAC == mac(ix.signedLine())
}

// from returns the number of the first event with a MAC; 0 if the chain has none.
func (ix *index) from(writer string) int64 {
	for _, c := range ix.Signed {
		if c.Writer == writer {
			return c.From
		}
	}
	return 0
}

func (ix *index) has(writer string) bool {
	return ix.from(writer) > 0 || slices.Contains(ix.Unsigned, writer)
}

// add enters a writer; from is 0 for one without a keyset.
func (ix *index) add(writer string, from int64, mac MAC) {
	if from == 0 {
		ix.Unsigned = append(ix.Unsigned, writer)
		return
	}
	ix.Unsigned = slices.DeleteFunc(ix.Unsigned, func(w string) bool { return w == writer })
	ix.Signed = append(ix.Signed, signedChain{writer, from})
	ix.MAC = mac(ix.signedLine())
}

// enter enters this chain into the index before its event number next is written.
func (t *Trail) enter(ctx context.Context, next int64) error {
	for range maxConflicts {
		ix, err := readIndex(ctx, t.bucket)
		if err != nil {
			return err
		}
		if ix.from(t.writer) > 0 || t.mac == nil && ix.has(t.writer) {
			return nil
		}
		if !ix.intact(t.mac) { // a new MAC would hide what was changed
			return fmt.Errorf("%s: %w", indexKey, errNotIndex)
		}
		if ix.etag == "" {
			if ix.Unsigned, err = new(Report).writers(ctx, t.bucket); err != nil {
				return err
			}
		}
		if t.mac == nil {
			next = 0
		}
		if next > 0 || !ix.has(t.writer) {
			ix.add(t.writer, next, t.mac)
		}
		body, _ := json.Marshal(ix)
		if ix.etag == "" {
			_, err = t.bucket.Create(ctx, indexKey, body)
		} else {
			_, err = t.bucket.Swap(ctx, indexKey, body, ix.etag)
		}
		if !errors.Is(err, objects.ErrExists) && !errors.Is(err, objects.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%d conflicts about %s", maxConflicts, indexKey)
}
