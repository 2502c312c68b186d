package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/wire"
)

func newKeys(a *app) *cobra.Command {
	return a.Group(&cobra.Command{Use: "keys", Short: "generate, rotate and list the keys that encrypt personal data"},
		newKeysGenerate(a), newKeysRotate(a), newKeysStatus(a))
}

func newKeysGenerate(a *app) *cobra.Command {
	var path string
	var keep bool
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "print a new keyset",
		Long: `generate prints a new keyset: one key that encrypts inputs and answers, and one for fingerprints. All producers and
workers of an installation need the same keyset. Back it up: without it, encrypted data cannot be recovered.`,
		Example: `  kycq keys generate --out keyset.json
  kycq keys generate > keyset.json && chmod 600 keyset.json
  export KYCQ_KEYSET_FILE=$PWD/keyset.json`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(*cobra.Command, []string) error {
			if keep && path == "" {
				return cli.Usagef("--keep needs --out, the file to keep")
			}
			keyset, err := seal.Generate()
			if err != nil {
				return err
			}
			err = a.writeKeyset(keyset, path)
			if errors.Is(err, fs.ErrExist) {
				if keep {
					a.Note("%s exists and was kept", path)
					return nil
				}
				return fmt.Errorf("%s exists and is never overwritten (--keep: leave it and succeed)", path)
			}
			return err
		}),
	}
	addOutFlag(cmd, &path)
	cmd.Flags().BoolVar(&keep, "keep", false, "if the file of --out exists, leave it and succeed")
	return cmd
}

const rotateHelp = `rotate prints the keyset of KYCQ_KEYSET_FILE with a new key. Old keys remain, to decrypt existing data. Write it to a
different file than the one that is read: with >, the shell would truncate that file first.

To rotate without delaying any job, use two steps. Processes read their keyset when they start, so "deploy" means: replace
the file or secret and restart each process, in any order.

  1. kycq keys rotate --stage     adds a key that decrypts and does not encrypt yet. Deploy this keyset to all workers,
                                  producers and operators.
  2. kycq keys rotate --promote   makes the staged key encrypt. Deploy this keyset likewise.

It writes an event to the audit trail first, so it needs the records bucket.

Without --stage and --promote the new key encrypts at once. A worker that still has the old keyset then defers jobs of
producers with the new one, 5 minutes at a time (key_missing), until it is restarted with the new keyset.`

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
		RunE: a.withKeyset(func(cmd *cobra.Command, cfg *config.Config, keyset *seal.Keyset) error {
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
			if err := auditRotation(cmd.Context(), cfg, next, stage, promote); err != nil {
				return err
			}
			err = a.writeKeyset(next, path)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists and is never overwritten: name a new file", path)
			}
			return err
		}),
	}, config.Sealing, config.S3, config.Audit)
	cmd.Flags().BoolVar(&stage, "stage", false, "add a key that decrypts and does not encrypt yet")
	cmd.Flags().BoolVar(&promote, "promote", false, "make the staged key encrypt")
	cmd.MarkFlagsMutuallyExclusive("stage", "promote")
	addOutFlag(cmd, &path)
	return cmd
}

// auditRotation writes the audit event of a rotation, which names the keys by their ids.
func auditRotation(ctx context.Context, cfg *config.Config, next *seal.Keyset, stage, promote bool) error {
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	detail := map[string]string{"step": "rotate"}
	if stage {
		detail["step"] = "stage"
	} else if promote {
		detail["step"] = "promote"
	}
	for _, key := range next.Info() {
		switch id := strconv.FormatUint(uint64(key.ID), 10); {
		case key.Primary:
			detail["primary"] = id
		case key.Staged:
			detail["staged"] = id
		}
	}
	return (&deps{cfg: cfg, store: store}).appendAudit(ctx, audit.Act{Action: "keys.rotate", Detail: detail})
}

func newKeysStatus(a *app) *cobra.Command {
	cmd := cli.Uses(&cobra.Command{
		Use:   "status",
		Short: "list the keys of the keyset",
		Long: `status lists the keys of the keyset with id, type and role, without key material. The primary key encrypts and decrypts,
the others decrypt. Records hold encrypted data until it is erased, so keep old keys for as long as you keep records.`,
		Example: `  kycq keys status
  KYCQ_KEYSET_FILE=keyset.next.json kycq keys status --json`,
		Args: cobra.NoArgs,
		RunE: a.withKeyset(func(_ *cobra.Command, _ *config.Config, keyset *seal.Keyset) error {
			keys := keyset.Info()
			return a.Answer(map[string]any{"keys": keys}, func() string { return describeKeys(keys) })
		}),
	}, config.Sealing)
	cmd.Flags().Bool("keyset-only", false, "")
	_ = cmd.Flags().MarkHidden("keyset-only") // had a meaning while status also searched for uses of the keys
	return cmd
}

func describeKeys(keys []seal.KeyInfo) string {
	lines := []string{"KEY\tTYPE\tROLE"}
	for _, key := range keys {
		role := "decrypts"
		switch {
		case key.Primary:
			role = "primary"
		case key.Staged:
			role = "staged"
		}
		lines = append(lines, fmt.Sprintf("%d\t%s\t%s", key.ID, key.Type, role))
	}
	return cli.Table(lines)
}

func addOutFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "out", "", "write to this new file with mode 0600, instead of stdout")
}

// withKeyset passes the keyset of the settings to fn. It is required even where sealing is off.
func (a *app) withKeyset(fn func(*cobra.Command, *config.Config, *seal.Keyset) error) func(*cobra.Command, []string) error {
	return a.Command(func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.Settings(cmd)
		if err != nil {
			return err
		}
		if !cfg.HasKeyset() {
			return cfg.Require("keyset")
		}
		keyset, err := wire.OpenKeyset(cfg)
		if err != nil {
			return err
		}
		return fn(cmd, cfg, keyset)
	})
}

// writeKeyset prints the keyset, or creates the file. It never overwrites one: a lost keyset makes data unreadable.
func (a *app) writeKeyset(keyset *seal.Keyset, path string) error {
	doc, err := keyset.Marshal()
	if err != nil {
		return err
	}
	if path == "" {
		return a.Print("%s\n", doc)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(doc, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}
