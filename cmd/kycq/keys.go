package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/wire"
)

func newKeys(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "keys", Short: "make, rotate, list and drop the keys that seal personal data"},
		newKeysGenerate(a), newKeysRotate(a), newKeysStatus(a), newKeysDrop(a))
}

func newKeysGenerate(a *app) *cobra.Command {
	var path string
	var keep bool
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
		RunE: a.Command(func(*cobra.Command, []string) error {
			if keep && path == "" {
				return cli.Usagef("--keep: --out is missing: it names the file to keep")
			}
			keyset, err := seal.Generate()
			if err != nil {
				return err
			}
			err = a.giveKeyset(keyset, path)
			if keep && errors.Is(err, fs.ErrExist) {
				a.Note("%s is there already, and stays", path)
				return nil
			}
			return err
		}),
	}
	addOutFlag(cmd, &path)
	cmd.Flags().BoolVar(&keep, "keep", false, "where the file of --out is there already, leave it as it is and end well")
	return cmd
}

const rotateHelp = `rotate reads the keyset (KYCQ_KEYSET_FILE) and prints it with a new key. The old keys stay, to open what they have sealed.
Write it to another file than the one that is read: a shell empties the target of > before kycq can read it.

Without an error or a delay, in the middle of a batch too, a rotation goes in two steps. Every process reads its keyset
when it starts, so "give" means: replace the file or secret, and restart, one process after the other, in any order.

  1. kycq keys rotate --stage     adds a key that opens and does not seal yet. Give this keyset to every worker and
                                  producer, and to every operator.
  2. kycq keys rotate --promote   once all have it: the staged key seals from now on. Give this one out likewise.
  3. kycq keys status             tells later whether anything still needs the old key; kycq keys drop removes it.

Without --stage and --promote it is one step: the new key seals at once. A worker that still has the old keyset then puts
jobs of a producer that has the new one back, for 5 minutes at a time ("key_missing"), until it is restarted with the new
one. Nothing fails and nothing is lost, but such jobs wait.`

func newKeysRotate(a *app) *cobra.Command {
	var path string
	var stage, promote bool
	cmd := cli.Uses(&cobra.Command{
		Use:   "rotate",
		Short: "print the keyset with a new key",
		Long:  rotateHelp,
		Example: `  KYCQ_KEYSET_FILE=keyset.json kycq keys rotate --stage --out keyset.staged.json
  KYCQ_KEYSET_FILE=keyset.staged.json kycq keys rotate --promote --out keyset.next.json`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			keyset, err := a.realKeyset(cmd)
			if err != nil {
				return err
			}
			step := keyset.Rotate
			switch {
			case stage:
				step = keyset.Stage
			case promote:
				step = keyset.Promote
			}
			next, err := step()
			if err != nil {
				return cli.UsageError(err)
			}
			return a.giveKeyset(next, path)
		}),
	}, config.Sealing)
	cmd.Flags().BoolVar(&stage, "stage", false, "add a key that opens, and does not seal yet")
	cmd.Flags().BoolVar(&promote, "promote", false, "let the staged key seal")
	cmd.MarkFlagsMutuallyExclusive("stage", "promote")
	addOutFlag(cmd, &path)
	return cmd
}

func addOutFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "out", "", "write to this new file, readable by you alone, instead of stdout")
}

// realKeyset reads the keyset of the settings; here there is no doing without.
func (a *app) realKeyset(cmd *cobra.Command) (*seal.Keyset, error) {
	cfg, err := a.Settings(cmd)
	if err != nil {
		return nil, err
	}
	return requireKeyset(cfg)
}

func requireKeyset(cfg *config.Config) (*seal.Keyset, error) {
	if err := cfg.Require("keyset"); err != nil {
		return nil, err
	}
	return wire.OpenKeyset(cfg)
}

func (a *app) giveKeyset(keyset *seal.Keyset, path string) error {
	doc, err := keyset.Marshal()
	if err != nil {
		return err
	}
	if path == "" {
		return a.Print("%s\n", doc)
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
