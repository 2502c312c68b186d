package submit

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/batch/manifest"
)

// rejects writes FILE.rejects.csv: line, code and message, then the input columns. It writes FILE.rejects.csv.part first, so
// the rejects file exists only when it is complete.
type rejects struct {
	path   string
	header []string
	file   *os.File // nil until the first row
	out    *csv.Writer
}

func newRejects(path string, columns []string) *rejects {
	added := []string{"line", "code", "message"}
	return &rejects{path: path, header: append(added, renameTaken(columns, added...)...)}
}

func (r *rejects) add(row *manifest.Row, p *manifest.Problem) error {
	if r.file == nil {
		f, err := os.OpenFile(r.path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // the cells are personal data
		if err != nil {
			return fmt.Errorf("write the rejects: %w", err)
		}
		r.file, r.out = f, csv.NewWriter(f)
		_ = r.out.Write(r.header) // finish returns the error
	}
	cells := make([]string, len(r.header))
	copy(cells, []string{strconv.Itoa(row.Line), p.Code, p.Message})
	for i, f := range row.Fields {
		cells[3+i] = manifest.EscapeFormula(strings.ToValidUTF8(f, "\uFFFD"))
	}
	if err := r.out.Write(cells); err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

// finish completes the file. Without rejects it removes the file of an earlier submission.
func (r *rejects) finish() error {
	if r.file == nil {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove earlier rejects: %w", err)
		}
		return nil
	}
	r.out.Flush()
	err := errors.Join(r.out.Error(), r.file.Close())
	if err == nil {
		err = os.Rename(r.file.Name(), r.path)
	}
	if err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

// discard removes the file unless it was finished.
func (r *rejects) discard() {
	if r.file != nil {
		_ = r.file.Close()
		_ = os.Remove(r.file.Name())
	}
}

// renameTaken renames columns that would appear twice: a rejects file that is submitted again has them.
func renameTaken(columns []string, taken ...string) []string {
	named := make([]string, len(columns))
	for i, c := range columns {
		named[i] = manifest.EscapeFormula(c)
		for _, t := range taken {
			if strings.EqualFold(strings.TrimSpace(c), t) {
				named[i] = "input_" + t
			}
		}
	}
	return named
}
