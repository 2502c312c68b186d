package main

import (
	"errors"
	"fmt"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/worker"
)

// revealed is a record with its decrypted input and answer.
type revealed struct {
	Record *storage.Record `json:"record"`
	worker.Revealed
}

// revealRecord prints personal data to stdout.
func (a *app) revealRecord(cfg *config.Config, rec *storage.Record) error {
	keyset, err := wire.OpenKeyset(cfg)
	if err != nil {
		return err
	}
	plain, err := worker.Reveal(keyset, rec)
	if errors.Is(err, seal.ErrKeyMissing) {
		err = fmt.Errorf("%w (kycq keys status lists the keys of this keyset)", err)
	}
	if err != nil {
		return err
	}
	return a.PrintJSON(revealed{rec, plain})
}
