package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/storage"
)

// Code names what is wrong with a chain.
type Code string

// What Verify finds.
const (
	Missing   Code = "missing"    // entries were removed: from the middle, or from the end, which the head remembers
	Changed   Code = "changed"    // an entry is not the one that the next entry, or the head, was written after
	Malformed Code = "malformed"  // an object is not an entry, or not the one that belongs at its key
	HeadLost  Code = "head_lost"  // the head was removed; entries may have been removed from the end with it
	HeadWrong Code = "head_wrong" // the head was overwritten by something else
	Foreign   Code = "foreign"    // a key that the trail does not write
	ClockBack Code = "clock_back" // an entry is older than the one before: a clock was set back, or somebody wrote it
)

// Finding is one thing that is wrong.
type Finding struct {
	Writer string `json:"writer"`
	Seq    int64  `json:"seq,omitempty"` // the entry; 0 where it is about the chain
	Code   Code   `json:"code"`
	Text   string `json:"text"`
}

// Chain sums up one writer's chain. Kept somewhere else, it proves later that the chain up to Last is still the same.
type Chain struct {
	Writer  string `json:"writer"`
	Entries int    `json:"entries"`
	Last    int64  `json:"last"` // the highest number
	Hash    string `json:"hash"` // of the entry Last
}

// Report is the result of Verify.
type Report struct {
	Chains   []Chain   `json:"chains"`
	Findings []Finding `json:"findings"`
}

// clockSlack is how far an entry may lie before its predecessor: time servers set clocks back by a little.
const clockSlack = time.Minute

// atOnce and window bound the reading of entries: requests at a time, and entries held in memory.
const (
	atOnce = 16
	window = 256
)

// Verify walks all chains, of all writers. It returns an error only where it could not read; what is wrong stands in the
// report. Entries that are added meanwhile do no harm.
func Verify(ctx context.Context, objects Objects) (Report, error) {
	var r Report
	writers, err := r.writers(ctx, objects)
	if err != nil {
		return Report{}, fmt.Errorf("verify audit trail: %w", err)
	}
	for _, writer := range writers {
		if err := r.chain(ctx, objects, writer); err != nil {
			return Report{}, fmt.Errorf("verify audit trail of %s: %w", writer, err)
		}
	}
	return r, nil
}

// Verify is the function Verify over the trail's own store.
func (t *Trail) Verify(ctx context.Context) (Report, error) { return Verify(ctx, t.objects) }

func (r *Report) find(writer string, seq int64, code Code, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Writer: writer, Seq: seq, Code: code, Text: fmt.Sprintf(format, args...)})
}

// writers lists who has a chain.
func (r *Report) writers(ctx context.Context, objects Objects) ([]string, error) {
	var writers []string
	for o, err := range objects.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		writer, _, ok := parseKey(o.Key)
		if !ok {
			r.find(writer, 0, Foreign, "the key %q is none of the trail's", strings.TrimPrefix(o.Key, prefix))
			continue
		}
		if !slices.Contains(writers, writer) {
			writers = append(writers, writer)
		}
	}
	return writers, nil
}

// chain verifies one writer. The head is read before the listing: entries are there before the head knows them.
func (r *Report) chain(ctx context.Context, objects Objects, writer string) error {
	h, err := readHead(ctx, objects, writer)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		r.find(writer, 0, HeadLost, "the head is gone: entries may be missing at the end")
	case errors.Is(err, errNotHead):
		r.find(writer, 0, HeadWrong, "the head was overwritten: entries may be missing at the end")
	case err != nil:
		return err
	case h.Lost:
		r.find(writer, 0, HeadLost, "the head was gone and was made anew: entries may be missing at the end")
	}
	var seqs []int64
	for o, err := range objects.List(ctx, prefix+writer+"/") {
		if err != nil {
			return err
		}
		if _, seq, ok := parseKey(o.Key); ok && seq > 0 {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)

	w := walk{report: r, writer: writer, head: h}
	for part := range slices.Chunk(seqs, window) {
		lines, err := readEntries(ctx, objects, writer, part)
		if err != nil {
			return err
		}
		for i, seq := range part {
			w.step(seq, lines[i])
		}
	}
	w.end()
	return nil
}

// readEntries reads some entries side by side. A line is nil where the entry was removed since it was listed.
func readEntries(ctx context.Context, objects Objects, writer string, seqs []int64) ([][]byte, error) {
	lines := make([][]byte, len(seqs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, seq := range seqs {
		g.Go(func() error {
			line, _, err := objects.Object(ctx, entryKey(writer, seq))
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			lines[i] = line
			return nil
		})
	}
	return lines, g.Wait()
}

// walk goes along a chain, entry by entry.
type walk struct {
	report  *Report
	writer  string
	head    head
	entries int
	last    int64 // the entry before
	hash    string
	at      time.Time
}

func (w *walk) step(seq int64, line []byte) {
	if line == nil {
		return // the next entry, or the end, finds it missing
	}
	w.missing(seq - 1)
	h := hash(line)
	if seq == w.head.Seq && h != w.head.Hash {
		w.report.find(w.writer, seq, Changed, "entry %d is not the one that the head remembers", seq)
	}
	e, err := decodeEntry(line)
	switch {
	case err != nil:
		w.report.find(w.writer, seq, Malformed, "entry %d: %v", seq, err)
	case e.Writer != w.writer || e.Seq != seq:
		w.report.find(w.writer, seq, Malformed, "entry %d belongs elsewhere: it says that it is another writer's or has another number", seq)
	default:
		w.link(e)
	}
	w.entries, w.last, w.hash = w.entries+1, seq, h
}

// link compares an entry with the one before, if that is there.
func (w *walk) link(e Entry) {
	if w.last == e.Seq-1 && e.Prev != w.hash {
		w.report.find(w.writer, e.Seq-1, Changed, "entry %d was written after another entry %d than the one that stands there", e.Seq, e.Seq-1)
	}
	if e.HeadLost {
		w.report.find(w.writer, e.Seq, HeadLost, "when entry %d was added the head was gone: entries may be missing before it", e.Seq)
	}
	if e.At.Before(w.at.Add(-clockSlack)) {
		w.report.find(w.writer, e.Seq, ClockBack, "entry %d is older than the one before", e.Seq)
	}
	w.at = e.At
}

// missing reports the entries between the last one that was seen and upTo.
func (w *walk) missing(upTo int64) {
	switch first := w.last + 1; {
	case upTo == first:
		w.report.find(w.writer, upTo, Missing, "entry %d is missing", upTo)
	case upTo > first:
		w.report.find(w.writer, first, Missing, "entries %d to %d are missing", first, upTo)
	}
}

func (w *walk) end() {
	w.missing(w.head.Seq)
	w.report.Chains = append(w.report.Chains, Chain{Writer: w.writer, Entries: w.entries, Last: w.last, Hash: w.hash})
}
