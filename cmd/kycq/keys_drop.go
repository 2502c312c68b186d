package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/keyuse"
)

func newKeysDrop(a *app) *cobra.Command {
	var path string
	cmd := cli.Uses(&cobra.Command{
		Use:   "drop KEY",
		Short: "print the keyset without a key that nothing needs any more",
		Long: `drop reads the keyset, makes sure that nothing in S3 and Redis is sealed with the key (see kycq keys status), and prints
the keyset without it. The key that seals is never dropped, nor one that is needed.

Drop a key only when every process has a keyset in which another key seals: what is sealed after the look is not seen.
Keep a copy of the old keyset for as long as you keep backups of the buckets.`,
		Example: `  kycq keys drop 1178523210 --out keyset.next.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("name the id of one key: kycq keys status lists them")
			}
			_, err := parseKeyID(args[0])
			return err
		},
		RunE: a.Command(func(cmd *cobra.Command, args []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			keyset, err := requireKeyset(cfg)
			if err != nil {
				return err
			}
			id, err := parseKeyID(args[0])
			if err != nil {
				return err
			}
			next, err := keyset.Without(id) // what cannot be dropped in any case needs no scan
			if err != nil {
				return cli.UsageError(err)
			}
			report, err := a.scanKeys(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if err := mayDrop(id, report); err != nil {
				return err
			}
			return a.giveKeyset(next, path)
		}),
	}, config.Redis, config.S3, config.Sealing)
	addOutFlag(cmd, &path)
	return cmd
}

func parseKeyID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, cli.Usagef("a key is named by its id, a number that kycq keys status lists")
	}
	return uint32(id), nil
}

// mayDrop refuses where the key is needed, or where that cannot be known.
func mayDrop(id uint32, report *keyuse.Report) error {
	if n := report.Keys[id]; n.Sum() > 0 {
		return fmt.Errorf("key %d is in use: it opens %d texts in records, %d in manifests, %d in Redis", id, n.Records, n.Manifests, n.Redis)
	}
	if report.Unreadable > 0 {
		return fmt.Errorf("%d objects could not be read, so whether key %d is in use is not known", report.Unreadable, id)
	}
	return nil
}
