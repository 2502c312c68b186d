package manifest

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kycq/kycq/tasks"
)

// Item is a row that was accepted, as a part of the manifest keeps it.
type Item struct {
	// Row counts the accepted rows from 1 and is the row's name everywhere; Line is where it stood in the file.
	Row  int    `json:"row"`
	Line int    `json:"line"`
	ID   string `json:"id"`
	// Input is the text of tasks.EncodeInput.
	Input json.RawMessage `json:"input"`
	// Fields are the cells of the file, by column.
	Fields []string `json:"fields"`
}

// Job is the job of a row.
func (it *Item) Job(batch string, kind tasks.Kind, run int) (tasks.Job, error) {
	in, err := tasks.DecodeInput(it.Input)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("row %d: %w", it.Row, err)
	}
	return tasks.Job{
		Kind: kind, VerificationID: it.ID, Lane: tasks.Bulk, Run: run, Batch: batch, Row: it.Row, Input: in,
	}, nil
}

// derivedLength keeps 160 bits of the hash: well within the 50 characters of a verification_id.
const derivedLength = 32

// deriveID names a row without a verification_id. It depends on the batch's name, the kind and what is checked, never on
// the order of columns or on other ones, so that the same person in a file that was saved again is the same job.
func deriveID(name string, kind tasks.Kind, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{name, string(kind)}, parts...) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // lengths keep ("ab","c") and ("a","bc") apart
	}
	return base32.StdEncoding.EncodeToString(h.Sum(nil))[:derivedLength]
}

// passportInput reads a passport's cells.
func passportInput(row *Row) tasks.PassportInput {
	return tasks.PassportInput{
		FileNumber: tasks.NewPersonal(row.Get(ColumnFileNumber)),
		DOB:        tasks.NewPersonal(row.Get(ColumnDOB)),
		Name:       tasks.NewPersonal(row.Get(ColumnName)),
	}
}

func passportID(name string, row *Row) string {
	return deriveID(name, tasks.Passport, strings.ToUpper(row.Get(ColumnFileNumber)), row.Get(ColumnDOB))
}

func hexSum(sum []byte) string { return hex.EncodeToString(sum) }
