package submit

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/batch/manifest"
)

// rejects writes FILE.rejects.csv: line, code and message, then the input columns. The columns of JSONL are known only at the
// end, so rows are first written to a temporary file. The rejects file exists only when it is complete.
type rejects struct {
	path string
	temp *os.File
	out  *csv.Writer
}

func (r *rejects) add(row *manifest.Row, p *manifest.Problem) error {
	if r.temp == nil {
		f, err := os.OpenFile(r.path+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) // the cells are personal data
		if err != nil {
			return fmt.Errorf("write the rejects: %w", err)
		}
		r.temp, r.out = f, csv.NewWriter(bufio.NewWriterSize(f, 64<<10))
	}
	cells := append(make([]string, 0, len(row.Fields)+3), strconv.Itoa(row.Line), p.Code, p.Message)
	for _, f := range row.Fields {
		cells = append(cells, manifest.EscapeFormula(strings.ToValidUTF8(f, "\uFFFD")))
	}
	if err := r.out.Write(cells); err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

// finish writes the file. Without rejects it removes the file of an earlier submission.
func (r *rejects) finish(columns []string) error {
	if r.temp == nil {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove earlier rejects: %w", err)
		}
		return nil
	}
	if err := r.copy(columns); err != nil {
		return fmt.Errorf("write the rejects: %w", err)
	}
	return nil
}

func (r *rejects) copy(columns []string) (err error) {
	r.out.Flush()
	if err := r.out.Error(); err != nil {
		return err
	}
	if _, err := r.temp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	whole, err := os.OpenFile(r.path+".whole", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, whole.Close()); err == nil {
			err = os.Rename(whole.Name(), r.path)
		} else {
			_ = os.Remove(whole.Name())
		}
	}()
	in := csv.NewReader(bufio.NewReaderSize(r.temp, 64<<10))
	in.FieldsPerRecord = -1
	out := csv.NewWriter(whole)
	header := append([]string{"line", "code", "message"}, renameTaken(columns, "line", "code", "message")...)
	if err := out.Write(header); err != nil {
		return err
	}
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			out.Flush()
			return out.Error()
		}
		if err != nil {
			return err
		}
		for len(cells) < len(header) {
			cells = append(cells, "")
		}
		if err := out.Write(cells); err != nil {
			return err
		}
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

func (r *rejects) discard() {
	if r.temp != nil {
		_ = r.temp.Close()
		_ = os.Remove(r.temp.Name())
	}
}
