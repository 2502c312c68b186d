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

// PartRows is how many rows a part holds; only the last one may hold fewer.
const PartRows = 1000

// PartOf is the part (from 0) in which a row (from 1) stands.
func PartOf(row int) int { return (row - 1) / PartRows }

// Parts is how many parts hold that many rows.
func Parts(rows int) int { return (rows + PartRows - 1) / PartRows }

// Part is PartRows rows of a manifest.
type Part struct {
	// Number counts from 0.
	Number int `json:"part"`
	// Sources is a hash of what the rows were made of; a part that was written by a submit that died is taken over if it
	// is the same.
	Sources string `json:"sources"`
	Items   []Item `json:"-"`
}

// binding keeps parts from being exchanged for one another.
func binding(kind tasks.Kind, batch string, number int) seal.Binding {
	return seal.Binding{Kind: string(kind), ID: fmt.Sprintf("%s/%d", batch, number), Purpose: seal.PurposeManifest}
}

// Seal renders a part: a line for the part, a line for each row, compressed, sealed.
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

// maxPart is above what the bounds of a row allow, so that a broken part cannot fill the memory.
const maxPart = 4 * PartRows * MaxRow

// OpenPart reads what Seal wrote. Errors are those of seal.Open, or a broken part.
func OpenPart(body []byte, k *tasks.Keyset, kind tasks.Kind, batch string, number int) (*Part, error) {
	plain, err := k.Open(string(body), binding(kind, batch, number))
	if err != nil {
		return nil, fmt.Errorf("open part %d of the manifest: %w", number, err)
	}
	p, err := decodePart(plain)
	if err != nil {
		return nil, fmt.Errorf("open part %d of the manifest: %w", number, err)
	}
	return p, nil
}

var errBrokenPart = errors.New("not a part that kycq wrote")

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
