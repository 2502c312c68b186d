package batch

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/forms"
	"github.com/kycq/kycq/storage"
)

// reportColumns are the columns of report.csv, which holds ids, outcomes, codes and times but no personal data.
var reportColumns = []string{
	"row", "line", manifest.ColumnID, "outcome", "already_done", "code", "reference_id",
	"name_match", "dob_match", "file_number_match", "masked_image", "review", "run", "calls", "first_called_at", "completed_at",
}

func reportLine(r *Row) []string {
	line := make([]string, len(reportColumns))
	for i, column := range reportColumns {
		if column != "run" || r.Own() {
			line[i] = Cell(r.Value(column))
		}
	}
	return line
}

// Cell formats a value for CSV.
func Cell(value any) string {
	switch value {
	case true:
		return "yes"
	case false:
		return ""
	}
	return manifest.EscapeFormula(fmt.Sprint(value))
}

// Value returns the value of a report's column: a string, an int or a bool. Without a value it is empty or 0.
func (r *Row) Value(column string) any {
	rec := r.Record
	if !r.Own() {
		rec = new(storage.Record)
	}
	switch column {
	case "row":
		return r.Item.Row
	case "line":
		return r.Item.Line
	case manifest.ColumnID:
		return r.Item.ID
	case "outcome":
		return r.outcome()
	case "already_done":
		return r.State.AlreadyDone()
	case "code":
		return r.Code()
	case "calls":
		return r.Calls()
	case "run":
		return rec.Run
	case "reference_id":
		if rec.ReferenceID != 0 {
			return strconv.FormatInt(rec.ReferenceID, 10)
		}
	case "name_match", "dob_match", "file_number_match":
		if p := rec.Passport; p != nil {
			return string(map[string]storage.Match{
				"name_match": p.Matches.Name, "dob_match": p.Matches.DOB, "file_number_match": p.Matches.FileNumber,
			}[column])
		}
	case "masked_image":
		if img := rec.MaskedImage; img != nil {
			return "s3://" + img.Bucket + "/" + img.Key
		}
	case "review":
		return rec.Review
	case "first_called_at":
		if len(rec.Attempts) > 0 {
			return timeText(rec.Attempts[0].SentAt)
		}
	case "completed_at":
		if rec.State.Final() {
			return timeText(rec.CompletedAt)
		}
	}
	return ""
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return forms.FormatTime(t)
}
