package batch

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/forms"
)

// end writes the report and the summary of a batch of which no row seems open, and lets its board go. It returns false
// where a record says otherwise.
func (t *feed) end(ctx context.Context, p *Progress) (bool, error) {
	began := time.Now()
	if t.b.State == Cancelled {
		fed := p.Cursor
		if t.b.run(p.Pass).Kind == SomeRows {
			fed = t.b.Rows
		}
		t.b.Fed, t.b.ending = max(t.b.Fed, fed), true
	}
	summary := newSummary(t.b)
	var open []order
	err := t.Store.PutStream(ctx, ReportKey(t.b.ID), "text/csv; charset=utf-8", func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(reportHeader); err != nil {
			return err
		}
		err := t.b.Walk(ctx, t.parts, t.Store, t.Client, func(e *Entry) error {
			if e.State == RowOpen || e.State == RowFailed && e.Own() && !e.Record.State.Final() {
				open = append(open, order{item: e.Item, run: 1, rec: e.Record})
				return nil
			}
			summary.add(e)
			return out.Write(reportLine(e))
		})
		out.Flush()
		if err == nil {
			err = out.Error()
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if len(open) > 0 {
		return false, t.driveOpen(ctx, open)
	}
	if err := t.batches.putSummary(ctx, summary); err != nil {
		return false, err
	}
	b, err := t.batches.Edit(ctx, t.b.ID, func(b *Batch) error {
		if len(b.Runs) != len(t.b.Runs) || b.State != t.b.State {
			return errUnchanged // retried or cancelled meanwhile: it goes on
		}
		if b.State != Cancelled {
			b.State, b.Reason = Ended, ""
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
	if err := t.Progress.expire(ctx, b.Kind, b.ID); err != nil {
		return false, err
	}
	return true, t.batches.unmark(ctx, b.ID)
}

// driveOpen corrects a board that had counted open rows as ended, and sees to it that these have tasks.
func (t *feed) driveOpen(ctx context.Context, open []order) error {
	changes := make([]rowChange, len(open))
	for i := range open {
		if open[i].rec != nil {
			open[i].run = open[i].rec.Run
		}
		changes[i] = rowChange{row: open[i].item.Row, to: RowOpen}
	}
	if err := t.Progress.settle(ctx, t.b.ID, changes...); err != nil {
		return err
	}
	if err := t.b.prepare(t.Client, open); err != nil {
		return err
	}
	return t.push(ctx, open)
}

// reportHeader is of the report that kycq keeps: ids, outcomes, codes and times, nothing personal.
var reportHeader = []string{
	"row", "line", "verification_id", "outcome", "already_done", "code", "reference_id", "masked_image", "run", "calls",
	"first_called_at", "completed_at",
}

func reportLine(e *Entry) []string {
	line := []string{
		strconv.Itoa(e.Item.Row), strconv.Itoa(e.Item.Line), manifest.EscapeFormula(e.Item.ID), e.State.Outcome(),
		"", e.Code(), "", "", "", strconv.Itoa(e.Calls()), TimeText(e.FirstCall()), "",
	}
	if e.State.Elsewhere() {
		line[4] = "yes"
	}
	if !e.Own() {
		return line
	}
	line[6], line[7], line[8] = ReferenceText(e), MaskedURI(e), strconv.Itoa(e.Record.Run)
	line[11] = TimeText(e.Record.CompletedAt)
	return line
}

// TimeText is how reports show a time; empty for none.
func TimeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return forms.FormatTime(t)
}

// ReferenceText is Cashfree's number of the call, empty where there is none.
func ReferenceText(e *Entry) string {
	if !e.Own() || e.Record.ReferenceID == 0 {
		return ""
	}
	return strconv.FormatInt(e.Record.ReferenceID, 10)
}

// MaskedURI is where the masked image lies, empty where there is none.
func MaskedURI(e *Entry) string {
	if !e.Own() || e.Record.MaskedImage == nil {
		return ""
	}
	return fmt.Sprintf("s3://%s/%s", e.Record.MaskedImage.Bucket, e.Record.MaskedImage.Key)
}
