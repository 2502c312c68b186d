package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/seal"
)

func newKeys(a *app) *cobra.Command {
	return a.group(&cobra.Command{Use: "keys", Short: "make, rotate and list the keys that seal personal data"},
		newKeysGenerate(a), newKeysRotate(a), newKeysStatus(a))
}

func newKeysGenerate(a *app) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "print a new keyset",
		Long: `generate prints a new keyset: a key that seals inputs and answers, and one for fingerprints. Every producer and
worker of an installation needs the same one. Keep a copy in a safe place: without it, what was sealed cannot be read
again by anybody.`,
		Example: `  kycq keys generate > keyset.json && chmod 600 keyset.json
  kycq keys generate --out keyset.json
  export KYCQ_KEYSET_FILE=$PWD/keyset.json`,
		Args: cobra.NoArgs,
		RunE: a.command(func(*cobra.Command, []string) error {
			keyset, err := seal.Generate()
			if err != nil {
				return err
			}
			return a.giveKeyset(keyset, path)
		}),
	}
	addOutFlag(cmd, &path)
	return cmd
}

func newKeysRotate(a *app) *cobra.Command {
	var path string
	cmd := uses(&cobra.Command{
		Use:   "rotate",
		Short: "print the keyset with a new first key",
		Long: `rotate reads the keyset (KYCQ_KEYSET_FILE) and prints it with a new key that seals from then on; the old keys
stay, to open what they have sealed. Write it to another file than the one that is read: a shell empties the target of >
before kycq can read it.

Give the new keyset to all workers first and to producers afterwards. A worker that lacks a key puts the job back until it
has it; nothing is lost meanwhile.`,
		Example: `  KYCQ_KEYSET_FILE=keyset.json kycq keys rotate --out keyset.new.json
  mv keyset.new.json keyset.json`,
		Args: cobra.NoArgs,
		RunE: a.command(func(cmd *cobra.Command, _ []string) error {
			keyset, err := a.realKeyset(cmd)
			if err != nil {
				return err
			}
			rotated, err := keyset.Rotate()
			if err != nil {
				return err
			}
			return a.giveKeyset(rotated, path)
		}),
	}, config.Sealing)
	addOutFlag(cmd, &path)
	return cmd
}

func newKeysStatus(a *app) *cobra.Command {
	return uses(&cobra.Command{
		Use:     "status",
		Short:   "list the keys by their ids",
		Long:    "status lists the keys of the keyset, never their material, and which of them seals now.",
		Example: "  KYCQ_KEYSET_FILE=keyset.json kycq keys status\n  kycq keys status --json",
		Args:    cobra.NoArgs,
		RunE: a.command(func(cmd *cobra.Command, _ []string) error {
			keyset, err := a.realKeyset(cmd)
			if err != nil {
				return err
			}
			return a.printKeys(keyset.Info())
		}),
	}, config.Sealing)
}

func addOutFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "out", "", "write to this new file, readable by you alone, instead of stdout")
}

// realKeyset reads the keyset of the settings; here there is no doing without.
func (a *app) realKeyset(cmd *cobra.Command) (*seal.Keyset, error) {
	cfg, err := a.settings(cmd)
	if err != nil {
		return nil, err
	}
	if err := cfg.Require("keyset"); err != nil {
		return nil, err
	}
	return openKeyset(cfg)
}

func (a *app) giveKeyset(keyset *seal.Keyset, path string) error {
	doc, err := keyset.Marshal()
	if err != nil {
		return err
	}
	if path == "" {
		return a.print("%s\n", doc)
	}
	return writeSecretFile(path, append(doc, '\n'))
}

// writeSecretFile never writes over a file: a keyset that is lost takes everything that it sealed with it.
func writeSecretFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write keyset: %w", err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

type keyView struct {
	ID      uint32 `json:"id"`
	Primary bool   `json:"primary"`
	Type    string `json:"type"`
}

func (a *app) printKeys(keys []seal.KeyInfo) error {
	views := make([]keyView, len(keys))
	for i, key := range keys {
		views[i] = keyView(key)
	}
	if a.json {
		return a.printJSON(map[string]any{"keys": views})
	}
	for _, key := range views {
		role := "opens"
		if key.Primary {
			role = "seals and opens"
		}
		if err := a.print("%-12d %-20s %s\n", key.ID, key.Type, role); err != nil {
			return err
		}
	}
	return nil
}
