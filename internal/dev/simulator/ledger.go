package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
)

// LedgerEntry is a request in the ledger, charged or not. It holds no personal data, unless the verification_id does.
type LedgerEntry struct {
	// Seq counts from 1 without gaps.
	Seq int64 `json:"seq"`
	// At is the time of the entry, and of the charge.
	At       time.Time `json:"at"`
	Endpoint Endpoint  `json:"endpoint"`
	// VerificationID is empty if the request was refused before its body was read.
	VerificationID string `json:"verification_id"`
	// Status is the HTTP status of the answer, or 0 if none was sent (hang, reset).
	Status int `json:"status"`
	// Code is the vendor's code of an error; empty for a 200.
	Code string `json:"code"`
	// Result is VALID, INVALID or INVALID_DOCUMENT if the call was decided.
	Result  string `json:"result,omitempty"`
	Charged bool   `json:"charged"`
	// TookID: this request used up its verification_id.
	TookID bool `json:"took_id"`
	// Fault is the name of the injected fault.
	Fault       string `json:"fault"`
	ReferenceID int64  `json:"reference_id,omitempty"`
}

// ledger is an append-only file with one JSON object per line. Each entry is one write(2) before the answer is sent, so it
// survives a killed process (but not a power failure). It is not safe for concurrent use, except for entries.
type ledger struct {
	file      *os.File
	size      int64
	seq       int64
	temporary bool
}

// openLedger calls replay with each entry of an existing file.
func openLedger(path string, replay func(LedgerEntry)) (*ledger, error) {
	l := &ledger{temporary: path == ""}
	var err error
	if l.temporary {
		l.file, err = os.CreateTemp("", "kycq-simulator-ledger-*.jsonl")
	} else {
		l.file, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if info, err := l.file.Stat(); err != nil || !info.Mode().IsRegular() { // a device can be read without end
		return nil, errors.Join(fmt.Errorf("open ledger: %s is not a regular file", path), err, l.file.Close())
	}
	if err := l.replay(replay); err != nil {
		return nil, errors.Join(fmt.Errorf("read ledger: %w", err), l.file.Close())
	}
	return l, nil
}

// replay drops an incomplete last line: its write was interrupted, so its answer was not sent.
func (l *ledger) replay(each func(LedgerEntry)) error {
	r := bufio.NewReader(l.file)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return l.cut()
		}
		if err != nil {
			return err
		}
		var e LedgerEntry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("byte %d: %w", l.size, err)
		}
		l.size += int64(len(line))
		l.seq = e.Seq
		each(e)
	}
}

// append numbers and writes the entry. After an error the file is unchanged.
func (l *ledger) append(e *LedgerEntry) error {
	e.Seq = l.seq + 1
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	line = append(line, '\n')
	if _, err := l.file.Write(line); err != nil {
		return errors.Join(fmt.Errorf("write ledger: %w", err), l.cut())
	}
	l.seq, l.size = e.Seq, l.size+int64(len(line))
	return nil
}

// cut drops an incomplete last line.
func (l *ledger) cut() error {
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	_, err := l.file.Seek(l.size, io.SeekStart) // a temporary file is not in append mode
	return err
}

// entries reads the first size bytes, which never change, so it may run concurrently with append.
func (l *ledger) entries(size int64) iter.Seq2[LedgerEntry, error] {
	return func(yield func(LedgerEntry, error) bool) {
		lines := bufio.NewScanner(io.NewSectionReader(l.file, 0, size))
		for lines.Scan() {
			var e LedgerEntry
			err := json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &e)
			if !yield(e, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(LedgerEntry{}, err)
		}
	}
}

func (l *ledger) close() error {
	err := l.file.Close()
	if l.temporary {
		err = errors.Join(err, os.Remove(l.file.Name()))
	}
	return err
}
