package batch

import (
	"context"
	"encoding/csv"
	"io"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
)

// finish writes the report and the summary of a batch that has no open rows, and lets its progress expire. It returns false
// if a record shows that a row is open after all.
func (t *feed) finish(ctx context.Context, p *Progress) (bool, error) {
	began := time.Now()
	if t.b.State == Cancelled {
		fed := p.fed()
		if t.b.run(p.Run).Kind == SomeRows {
			fed = t.b.Rows
		}
		t.b.Fed, t.b.ending = max(t.b.Fed, fed), true
		if err := t.findFed(ctx); err != nil {
			return false, err
		}
	}
	summary, open, err := t.writeReport(ctx)
	if err != nil {
		return false, err
	}
	if len(open) > 0 {
		return false, t.reopenFound(ctx, open)
	}
	if err := t.batches.put(ctx, summaryKey(t.b.ID), summary); err != nil {
		return false, err
	}
	b, err := t.batches.Edit(ctx, t.b.ID, func(b *Batch) error {
		if len(b.Runs) != len(t.b.Runs) || b.State != t.b.State || b.Decisions != t.b.Decisions {
			return errUnchanged // retried, cancelled or reviewed in the meantime: it is not done
		}
		if b.State != Cancelled {
			b.State, b.Reason, b.Pause = Ended, "", nil
		}
		b.Fed, b.EndedAt = t.b.Fed, summary.EndedAt
		return nil
	})
	if err != nil || !b.Done() {
		return false, err
	}
	t.Log.Info().Str("batch", b.ID).Str("state", string(b.State)).Int("rows", b.Rows).Int("calls", summary.Calls).
		Dur("report_ms", time.Since(began)).Msg("batch ended")
	if err := t.Progress.Sync(ctx, b); err != nil {
		return false, err
	}
	if err := t.Progress.expire(ctx, b); err != nil {
		return false, err
	}
	return true, t.batches.unmark(ctx, b)
}

// findFed raises Batch.Fed to the last row with a record of this batch: a Redis that came back with older data reports too
// few. At most maxOutstanding rows are in the queue, so the search ends after as many rows without such a record.
func (t *feed) findFed(ctx context.Context) error {
	for row := t.b.Fed + 1; row <= min(t.b.Fed+maxOutstanding, t.b.Rows); {
		part, err := t.parts.Part(ctx, manifest.PartOf(row))
		if err != nil {
			return err
		}
		rows := rowsOf(part.Items[(row-1)%manifest.PartRows:], t.b.ID)
		if err := t.b.read(ctx, t.Store, t.Client, rows); err != nil {
			return err
		}
		for _, r := range rows {
			if r.Record != nil && r.Record.Batch == t.b.ID {
				t.b.Fed = r.Item.Row
			}
		}
		row += len(rows)
	}
	return nil
}

// writeReport streams report.csv and counts the summary. open are the rows that have not ended.
func (t *feed) writeReport(ctx context.Context) (summary *Summary, open []*Row, err error) {
	summary = newSummary(t.b)
	err = t.batches.objects.PutStream(ctx, ReportKey(t.b.ID), "text/csv; charset=utf-8", func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(reportColumns); err != nil {
			return err
		}
		err := t.b.Walk(ctx, t.parts, t.Store, t.Client, func(r *Row) error {
			if r.State == RowOpen || r.State == RowFailed && r.Own() && !r.Record.State.Final() {
				open = append(open, r)
				return nil
			}
			summary.add(r)
			return out.Write(reportLine(r))
		})
		if err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	})
	return summary, open, err
}

// reopenFound opens rows that the progress counts as ended, and enqueues them.
func (t *feed) reopenFound(ctx context.Context, rows []*Row) error {
	for _, r := range rows {
		if r.Record != nil {
			r.run = r.Record.Run
		}
	}
	if err := t.reopen(ctx, rows); err != nil {
		return err
	}
	if err := t.b.prepare(t.Client, rows); err != nil {
		return err
	}
	return t.push(ctx, rows)
}
