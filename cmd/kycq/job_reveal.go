package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// revealed is a record with its decrypted input and answer.
type revealed struct {
	Record *storage.Record `json:"record"`
	Input  json.RawMessage `json:"input,omitempty"`
	Answer json.RawMessage `json:"answer,omitempty"`
}

// revealRecord prints personal data to stdout.
func (a *app) revealRecord(cfg *config.Config, rec *storage.Record) error {
	keyset, err := wire.OpenKeyset(cfg)
	if err != nil {
		return err
	}
	open := func(what, sealed string, b seal.Binding) (json.RawMessage, error) {
		if sealed == "" {
			return nil, nil
		}
		plain, err := keyset.Open(sealed, b)
		if errors.Is(err, seal.ErrKeyMissing) {
			err = fmt.Errorf("%w (kycq keys status lists the keys of this keyset)", err)
		}
		if err != nil {
			return nil, fmt.Errorf("decrypt the %s: %w", what, err)
		}
		return withoutLink(plain), nil
	}
	view := revealed{Record: rec}
	if view.Input, err = open("input", rec.SealedInput, tasks.InputBinding(rec.Kind, rec.VerificationID)); err != nil {
		return err
	}
	if view.Answer, err = open("answer", cmp.Or(rec.Best().Sealed, rec.Sealed), tasks.AnswerBinding(rec.Kind, rec.VerificationID)); err != nil {
		return err
	}
	return a.PrintJSON(view)
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
