package worker

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Revealed is the decrypted part of a record: personal data. Fields are nil if the record has none.
type Revealed struct {
	Input  json.RawMessage `json:"input,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"`
}

// Reveal decrypts the input of a job and the answer to its best run. The caller writes the audit event before. Errors:
// seal.ErrKeyMissing, seal.ErrBroken.
func Reveal(keyset *Keyset, rec *storage.Record) (r Revealed, err error) {
	open := func(what, sealed string, b seal.Binding) (json.RawMessage, error) {
		if sealed == "" {
			return nil, nil
		}
		plain, err := keyset.Open(sealed, b)
		if err != nil {
			return nil, fmt.Errorf("decrypt the %s: %w", what, err)
		}
		return withoutLink(plain), nil
	}
	if r.Input, err = open("input", rec.SealedInput, tasks.InputBinding(rec.Kind, rec.VerificationID)); err != nil {
		return r, err
	}
	r.Answer, err = open("answer", cmp.Or(rec.Best().Sealed, rec.Sealed), tasks.AnswerBinding(rec.Kind, rec.VerificationID))
	return r, err
}

// withoutLink removes the link to the masked image, which gives access to it, from an answer. The vendor's original answer
// (body) is shown as JSON if it is JSON, else as text.
func withoutLink(plain []byte) json.RawMessage {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(plain, &fields); err != nil {
		text, _ := json.Marshal(string(plain)) // strings always marshal
		return text
	}
	delete(fields, "image_link")
	var body []byte
	if err := json.Unmarshal(fields["body"], &body); err == nil && len(body) > 0 {
		fields["body"] = withoutLink(body)
	}
	out, _ := json.Marshal(fields) // it was JSON before
	return out
}
