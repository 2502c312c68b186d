package manifest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// PartRows is the number of rows of a part; only the last part may have fewer.
const PartRows = 1000

// PartOf returns the number of the part (from 0) that holds a row (from 1).
func PartOf(row int) int { return (row - 1) / PartRows }

// Parts returns how many parts that many rows need.
func Parts(rows int) int { return (rows + PartRows - 1) / PartRows }

// Part is a sequence of rows of a manifest.
type Part struct {
	// Number counts from 0.
	Number int `json:"part"`
	// Sources is a hash of the input of the rows. A submission that continues an interrupted one keeps parts with the same
	// hash.
	Sources string `json:"sources"`
	Items   []Item `json:"-"`
}

// binding binds a sealed part to its batch and number, so it cannot replace another part.
func binding(kind tasks.Kind, batch string, number int) seal.Binding {
	return seal.Binding{Kind: string(kind), ID: fmt.Sprintf("%s/%d", batch, number), Purpose: seal.PurposeManifest}
}

// Seal encodes a part as a line of JSON for the part and one for each row, compressed and sealed.
func (p *Part) Seal(k *tasks.Keyset, kind tasks.Kind, batch string) ([]byte, error) {
	var plain bytes.Buffer
	zip, err := gzip.NewWriterLevel(&plain, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("write part %d: %w", p.Number, err)
	}
	e := json.NewEncoder(zip)
	e.SetEscapeHTML(false)
	err = e.Encode(p)
	for i := range p.Items {
		err = errors.Join(err, e.Encode(&p.Items[i]))
	}
	if err = errors.Join(err, zip.Close()); err != nil {
		return nil, fmt.Errorf("write part %d: %w", p.Number, err)
	}
	text, err := k.Seal(plain.Bytes(), binding(kind, batch, p.Number))
	if err != nil {
		return nil, fmt.Errorf("write part %d: %w", p.Number, err)
	}
	return []byte(text), nil
}

// maxPart bounds the memory that a broken part can take. Whole parts are smaller by the bounds of a row.
const maxPart = 4 * PartRows * MaxRow

// OpenPart opens a part that Seal wrote. Errors: seal.ErrKeyMissing, seal.ErrBroken, or a part that is not valid.
func OpenPart(body []byte, k *tasks.Keyset, kind tasks.Kind, batch string, number int) (*Part, error) {
	plain, err := k.Open(string(body), binding(kind, batch, number))
	var p *Part
	if err == nil {
		p, err = decodePart(plain)
	}
	if err != nil {
		return nil, fmt.Errorf("open part %d of the manifest: %w", number, err)
	}
	return p, nil
}

var errBrokenPart = errors.New("not written by kycq")

func decodePart(plain []byte) (*Part, error) {
	zip, err := gzip.NewReader(bytes.NewReader(plain))
	if err != nil {
		return nil, errBrokenPart
	}
	d := json.NewDecoder(bufio.NewReader(io.LimitReader(zip, maxPart)))
	p := new(Part)
	if err := d.Decode(p); err != nil {
		return nil, errBrokenPart
	}
	p.Items = make([]Item, 0, PartRows)
	for {
		var it Item
		err := d.Decode(&it)
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil || it.Row != p.Number*PartRows+len(p.Items)+1 {
			return nil, errBrokenPart
		}
		p.Items = append(p.Items, it)
	}
}

// Item is an accepted row.
type Item struct {
	// Row counts the accepted rows from 1 and identifies the row in the batch; Line is its line in the file.
	Row  int    `json:"row"`
	Line int    `json:"line"`
	ID   string `json:"id"`
	// Input is the output of tasks.EncodeInput.
	Input json.RawMessage `json:"input"`
	// Fields are the cells of the row, by column.
	Fields []string `json:"fields"`
	// Erased is true once Input and Fields were erased.
	Erased bool `json:"erased,omitempty"`
}

// Erase empties the rows with the ids. matches counts all of them, left those that were not erased before.
func (p *Part) Erase(ids map[string]bool) (matches, left int) {
	for i := range p.Items {
		it := &p.Items[i]
		if !ids[it.ID] {
			continue
		}
		matches++
		if !it.Erased {
			left++
			*it = Item{Row: it.Row, Line: it.Line, ID: it.ID, Input: json.RawMessage("null"), Erased: true}
		}
	}
	return matches, left
}

// Job returns the job of a row. run counts from 1.
func (it *Item) Job(batch string, kind tasks.Kind, run int) (tasks.Job, error) {
	in, err := tasks.DecodeInput(it.Input)
	if err != nil {
		return tasks.Job{}, fmt.Errorf("line %d: %w", it.Line, err)
	}
	return tasks.Job{
		Kind: kind, VerificationID: it.ID, Lane: tasks.Bulk, Run: run, Batch: batch, Row: it.Row, Line: it.Line, Input: in,
	}, nil
}
