package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/objects"
)

// Code names what is wrong with a chain.
type Code string

// The findings of Verify.
const (
	Missing   Code = "missing"    // events were removed
	Changed   Code = "changed"    // an event does not match the hash in the next event or in the head
	Malformed Code = "malformed"  // an object is not an event, or has another's key
	HeadLost  Code = "head_lost"  // the head was removed, perhaps with the last events
	HeadWrong Code = "head_wrong" // the head was overwritten
	Foreign   Code = "foreign"    // a key that kycq does not write
	ClockBack Code = "clock_back" // an event is older than the previous one
	MACWrong  Code = "mac_wrong"  // an event was not written with this keyset
	Unsigned  Code = "unsigned"   // an event has no MAC, although earlier ones of the chain have one
	IndexLost Code = "index_lost" // the index of the chains was removed, changed or set back
)

// Finding is one thing that is wrong with a chain.
type Finding struct {
	Writer string `json:"writer"`
	Seq    int64  `json:"seq,omitempty"` // of the event; 0 if the finding is about the chain
	Code   Code   `json:"code"`
	Text   string `json:"text"`
}

// Chain summarizes one writer's chain. A copy kept elsewhere proves later that the chain up to Last is unchanged.
type Chain struct {
	Writer  string `json:"writer"`
	Entries int    `json:"entries"`
	Last    int64  `json:"last"` // the highest number
	Hash    string `json:"hash"` // of the event Last
	MACs    int    `json:"macs"` // how many entries carry a MAC

	firstMAC, lastPlain int64 // numbers of the first event with a MAC and of the last one without; 0: none
}

// Report is the result of Verify.
type Report struct {
	Chains   []Chain   `json:"chains"`
	Findings []Finding `json:"findings"`
	// MACsChecked is false without a keyset.
	MACsChecked bool `json:"macs_checked"`

	mac MAC
}

// clockSlack tolerates small corrections of clocks.
const clockSlack = time.Minute

const (
	atOnce = 16  // requests
	window = 256 // events in memory
)

// Verify checks the chains of all writers. It returns an error only if it cannot read. Events may be appended meanwhile.
// Without mac, MACs are not checked.
func Verify(ctx context.Context, bucket Bucket, mac MAC) (Report, error) {
	r := Report{Chains: []Chain{}, Findings: []Finding{}, MACsChecked: mac != nil, mac: mac}
	before, err := r.index(ctx, bucket)
	if err != nil {
		return Report{}, fmt.Errorf("verify audit trail: %w", err)
	}
	writers, err := r.writers(ctx, bucket)
	if err != nil {
		return Report{}, fmt.Errorf("verify audit trail: %w", err)
	}
	for _, writer := range writers {
		if err := r.chain(ctx, bucket, writer); err != nil {
			return Report{}, fmt.Errorf("verify audit trail of %s: %w", writer, err)
		}
	}
	after, err := readIndex(ctx, bucket)
	if err != nil && !errors.Is(err, errNotIndex) {
		return Report{}, fmt.Errorf("verify audit trail: %w", err)
	}
	r.compareIndex(before, after)
	return r, nil
}

// index reads the index; nil if it was changed.
func (r *Report) index(ctx context.Context, bucket Bucket) (*index, error) {
	ix, err := readIndex(ctx, bucket)
	if errors.Is(err, errNotIndex) || err == nil && !ix.intact(r.mac) {
		r.find("", 0, IndexLost, "the index of the chains was changed: chains may be missing")
		return nil, nil
	}
	return ix, err
}

// compareIndex compares the chains with the index as it was before they were listed, and with that after they were read.
func (r *Report) compareIndex(before, after *index) {
	if before == nil || after == nil {
		return
	}
	exists := map[string]bool{}
	for _, c := range r.Chains {
		exists[c.Writer] = true
		from := after.from(c.Writer)
		switch {
		case c.firstMAC > 0 && (from == 0 || from > c.firstMAC), after.etag != "" && c.Entries > 0 && !after.has(c.Writer):
			r.find(c.Writer, 0, IndexLost, "the index does not have the chain since its first entry: other chains may be missing")
		case from > 0 && c.lastPlain >= from:
			r.find(c.Writer, c.lastPlain, Unsigned, "entry %d has no MAC, although the chain has MACs since entry %d: it was forged, or written without the keyset",
				c.lastPlain, from)
		}
	}
	for _, c := range before.Signed {
		if !exists[c.Writer] {
			r.find(c.Writer, 0, Missing, "the whole chain is missing")
		}
	}
	for _, writer := range before.Unsigned {
		if !exists[writer] {
			r.find(writer, 0, Missing, "the whole chain is missing")
		}
	}
}

func (r *Report) find(writer string, seq int64, code Code, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Writer: writer, Seq: seq, Code: code, Text: fmt.Sprintf(format, args...)})
}

// writers lists the writers that have a chain.
func (r *Report) writers(ctx context.Context, bucket Bucket) ([]string, error) {
	var writers []string
	for o, err := range bucket.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		if o.Key == indexKey {
			continue
		}
		writer, _, ok := parseKey(o.Key)
		if !ok {
			r.find(writer, 0, Foreign, "kycq does not write the key %q", strings.TrimPrefix(o.Key, prefix))
			continue
		}
		if !slices.Contains(writers, writer) {
			writers = append(writers, writer)
		}
	}
	return writers, nil
}

// chain verifies one writer. It reads the head before it lists: events are written before the head moves.
func (r *Report) chain(ctx context.Context, bucket Bucket, writer string) error {
	h, err := readHead(ctx, bucket, writer)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		r.find(writer, 0, HeadLost, "the head is missing: entries may be missing at the end")
	case errors.Is(err, errNotHead):
		r.find(writer, 0, HeadWrong, "the head was overwritten: entries may be missing at the end")
	case err != nil:
		return err
	case h.Lost:
		r.find(writer, 0, HeadLost, "the head was missing and was created anew: entries may be missing at the end")
	}
	seqs, err := listEvents(ctx, bucket, writer)
	if err != nil {
		return err
	}
	w := walk{report: r, head: h, Chain: Chain{Writer: writer}}
	for part := range slices.Chunk(seqs, window) {
		lines, err := readEvents(ctx, bucket, writer, part)
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

// readEvents reads events concurrently. A line is nil if its event was removed since it was listed.
func readEvents(ctx context.Context, bucket Bucket, writer string, seqs []int64) ([][]byte, error) {
	lines := make([][]byte, len(seqs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, seq := range seqs {
		g.Go(func() error {
			line, err := bucket.Get(ctx, eventKey(writer, seq))
			if err != nil && !errors.Is(err, objects.ErrNotFound) {
				return err
			}
			if err == nil {
				lines[i] = line.Body
			}
			return nil
		})
	}
	return lines, g.Wait()
}

// walk checks a chain, event by event.
type walk struct {
	report *Report
	head   head
	at     time.Time
	Chain  // up to the previous event
}

func (w *walk) step(seq int64, line []byte) {
	if line == nil {
		return // reported by the next step, or by end
	}
	w.missing(seq - 1)
	h := hash(line)
	if seq == w.head.Seq && h != w.head.Hash {
		w.report.find(w.Writer, seq, Changed, "entry %d does not match the head", seq)
	}
	e, err := decodeEvent(line)
	switch {
	case err != nil:
		w.report.find(w.Writer, seq, Malformed, "entry %d: %v", seq, err)
	case e.Writer != w.Writer || e.Seq != seq:
		w.report.find(w.Writer, seq, Malformed, "entry %d has the writer or number of another", seq)
	default:
		w.link(e)
	}
	w.Entries, w.Last, w.Hash = w.Entries+1, seq, h
}

// link compares an event with the previous one, if that exists.
func (w *walk) link(e Event) {
	if w.Last == e.Seq-1 && e.Prev != w.Hash {
		w.report.find(w.Writer, e.Seq-1, Changed, "entry %d contains another hash of entry %d", e.Seq, e.Seq-1)
	}
	if e.HeadLost {
		w.report.find(w.Writer, e.Seq, HeadLost, "the head was missing when entry %d was added: entries may be missing before it", e.Seq)
	}
	if e.At.Before(w.at.Add(-clockSlack)) {
		w.report.find(w.Writer, e.Seq, ClockBack, "entry %d is older than the previous one", e.Seq)
	}
	w.at = e.At
	w.checkMAC(e)
}

func (w *walk) checkMAC(e Event) {
	if e.MAC == "" {
		w.lastPlain = e.Seq
		return
	}
	if w.MACs++; w.firstMAC == 0 {
		w.firstMAC = e.Seq
	}
	if w.report.mac == nil {
		return
	}
	if own, err := e.signed(w.report.mac); err != nil || own.MAC != e.MAC {
		w.report.find(w.Writer, e.Seq, MACWrong, "the MAC of entry %d is wrong: it was changed, or written with another keyset", e.Seq)
	}
}

// missing reports the events after the last one seen, up to upTo.
func (w *walk) missing(upTo int64) {
	switch first := w.Last + 1; {
	case upTo == first:
		w.report.find(w.Writer, upTo, Missing, "entry %d is missing", upTo)
	case upTo > first:
		w.report.find(w.Writer, first, Missing, "entries %d to %d are missing", first, upTo)
	}
}

func (w *walk) end() {
	w.missing(w.head.Seq)
	w.report.Chains = append(w.report.Chains, w.Chain)
}
