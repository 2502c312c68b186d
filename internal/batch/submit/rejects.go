package submit

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/internal/outfile"
)

// rejects writes the rejects file: line, code and message, then the cells of the row, then the row as it is in the manifest.
type rejects struct {
	path   string // "-": stderr
	stderr io.Writer
	report func(line int, p *manifest.Problem) // instead of a file
	header []string
	file   *outfile.File // nil until the first row, and with stderr
	out    *csv.Writer   // nil until the first row
}

// toStderr is the path of rejects that are printed.
const toStderr = "-"

// textColumn has the row as it is in the manifest, which may not be valid UTF-8.
const textColumn = "text"

func newRejects(s *Source, columns []string) *rejects {
	added := []string{"line", "code", "message"}
	header := append(added, renameTaken(columns, "line", "code", "message", textColumn)...)
	return &rejects{path: s.RejectsPath(), stderr: s.Stderr, report: s.Rejected, header: append(header, textColumn)}
}

func (r *rejects) add(row *manifest.Row, p *manifest.Problem) error {
	if r.report != nil {
		r.report(row.Line, p)
		return nil
	}
	if r.out == nil {
		to := r.stderr
		if r.path != toStderr {
			f, err := outfile.Create(r.path)
			if err != nil {
				return fmt.Errorf("write the rejects (--rejects): %w", err)
			}
			r.file, to = f, f
		}
		r.out = csv.NewWriter(to)
		_ = r.out.Write(r.header) // finish returns the error
	}
	cells := make([]string, len(r.header))
	copy(cells, []string{strconv.Itoa(row.Line), p.Code, p.Message})
	for i, f := range row.Fields {
		cells[3+i] = manifest.EscapeFormula(strings.ToValidUTF8(f, "\uFFFD"))
	}
	cells[len(cells)-1] = manifest.EscapeFormula(row.Text)
	if err := r.out.Write(cells); err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

// finish completes the file. Without rejects it removes the file of an earlier submission.
func (r *rejects) finish() error {
	if r.report != nil || r.out == nil && r.path == toStderr {
		return nil
	}
	if r.out == nil {
		if err := outfile.Remove(r.path); err != nil {
			return fmt.Errorf("remove earlier rejects: %w", err)
		}
		return nil
	}
	r.out.Flush()
	err := r.out.Error()
	if err == nil && r.file != nil {
		err = r.file.Commit()
	}
	if err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

// discard removes the file unless it was finished.
func (r *rejects) discard() {
	if r.file != nil {
		r.file.Discard()
	}
}

// renameTaken renames columns that would appear twice: a rejects file that is submitted again has them.
func renameTaken(columns []string, taken ...string) []string {
	used := map[string]bool{}
	for _, name := range append(taken, columns...) {
		used[columnKey(name)] = true
	}
	named := make([]string, len(columns))
	for i, c := range columns {
		named[i] = manifest.EscapeFormula(c)
		if !slices.Contains(taken, columnKey(c)) {
			continue
		}
		for used[columnKey(named[i])] {
			named[i] = "input_" + columnKey(named[i])
		}
		used[named[i]] = true
	}
	return named
}

func columnKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
