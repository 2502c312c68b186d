package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/keyuse"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/wire"
)

// keysStatus is the keyset, and how much of what is kept needs each of its keys.
type keysStatus struct {
	Keys []keyStatus `json:"keys"`
	// Missing are keys that are needed and not in the keyset.
	Missing []keyStatus `json:"missing,omitempty"`
	// Scanned says that the counts are there, and the following with them.
	Scanned bool `json:"scanned"`
	// Unsealed counts texts that were written without sealing, Unreadable objects that are not what kycq wrote.
	Unsealed   int `json:"unsealed,omitempty"`
	Unreadable int `json:"unreadable,omitempty"`
}

type keyStatus struct {
	ID   uint32 `json:"id"`
	Type string `json:"type,omitempty"`
	// Primary seals and opens, Staged opens and will seal, neither opens.
	Primary bool          `json:"primary"`
	Staged  bool          `json:"staged,omitempty"`
	InUse   *bool         `json:"in_use,omitempty"` // absent where nothing was scanned
	Texts   *keyuse.Texts `json:"texts,omitempty"`
}

func newKeysStatus(a *app) *cobra.Command {
	var keysetOnly bool
	cmd := cli.Uses(&cobra.Command{
		Use:   "status",
		Short: "list the keys, and what still needs them",
		Long: `status lists the keys of the keyset by their ids, never their material, with how many sealed texts need each. For that it
reads every record and manifest in S3, 64 at a time, and every task and kept answer in Redis. Exit code 3 where something
needs a key that is not in the keyset.

Records keep what they hold until it is erased, so a key that has sealed for a while is needed for long.`,
		Example: `  kycq keys status
  kycq keys status --json | jq '.keys[] | select(.in_use | not)'
  KYCQ_KEYSET_FILE=keyset.json kycq keys status --keyset-only`,
		Args: cobra.NoArgs,
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			keyset, err := requireKeyset(cfg)
			if err != nil {
				return err
			}
			if keysetOnly {
				return a.printKeys(statusOf(keyset, nil))
			}
			report, err := a.scanKeys(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.printKeys(statusOf(keyset, report))
		}),
	}, config.Redis, config.S3, config.Sealing)
	cmd.Flags().BoolVar(&keysetOnly, "keyset-only", false, "list the keys without looking at what needs them")
	return cmd
}

// scanKeys looks through S3 and Redis, and says every few seconds how far it is.
func (a *app) scanKeys(ctx context.Context, cfg *config.Config) (*keyuse.Report, error) {
	store, err := wire.OpenStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	rdb, err := wire.OpenRedis(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rdb.Close() }()
	const every = 5 * time.Second
	said := time.Now()
	report, err := (&keyuse.Scanner{Store: store, Redis: redisx.Resting(ctx, rdb), Progress: func(looked int) {
		if time.Since(said) >= every {
			said = time.Now()
			a.Note("%d records and manifests looked at so far", looked)
		}
	}}).Scan(ctx)
	if err != nil {
		return nil, err
	}
	return &report, nil
}

// statusOf joins the keyset with what was found; report is nil where nobody looked.
func statusOf(keyset *seal.Keyset, report *keyuse.Report) keysStatus {
	st := keysStatus{Scanned: report != nil}
	known := map[uint32]bool{}
	for _, key := range keyset.Info() {
		known[key.ID] = true
		ks := keyStatus{ID: key.ID, Type: key.Type, Primary: key.Primary, Staged: key.Staged}
		st.Keys = append(st.Keys, ks.with(report))
	}
	if report == nil {
		return st
	}
	st.Unsealed, st.Unreadable = report.Unsealed, report.Unreadable
	for _, id := range slices.Sorted(maps.Keys(report.Keys)) {
		if !known[id] {
			st.Missing = append(st.Missing, keyStatus{ID: id}.with(report))
		}
	}
	return st
}

func (k keyStatus) with(report *keyuse.Report) keyStatus {
	if report != nil {
		texts := report.Keys[k.ID]
		inUse := texts.Sum() > 0
		k.Texts, k.InUse = &texts, &inUse
	}
	return k
}

// printKeys prints the keys and chooses the exit code.
func (a *app) printKeys(st keysStatus) error {
	var err error
	if a.JSON {
		err = a.PrintJSON(st)
	} else {
		err = a.Print("%s", describeKeys(st))
	}
	if err != nil {
		return err
	}
	if len(st.Missing) > 0 {
		return cli.Exit(cli.ExitSomeFailed)
	}
	return nil
}

// describeKeys is the status for people.
func describeKeys(st keysStatus) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	header := "KEY\tTYPE\tROLE"
	if st.Scanned {
		header += "\tRECORDS\tMANIFESTS\tREDIS"
	}
	_, _ = fmt.Fprintln(w, header)
	for _, key := range append(slices.Clone(st.Keys), st.Missing...) {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s", key.ID, key.Type, key.role())
		if key.Texts != nil {
			_, _ = fmt.Fprintf(w, "\t%d\t%d\t%d", key.Texts.Records, key.Texts.Manifests, key.Texts.Redis)
		}
		_, _ = fmt.Fprintln(w)
	}
	_ = w.Flush()
	if st.Unsealed > 0 {
		_, _ = fmt.Fprintf(&text, "%d texts were written without sealing\n", st.Unsealed)
	}
	if st.Unreadable > 0 {
		_, _ = fmt.Fprintf(&text, "%d objects could not be read: which keys they need is not known\n", st.Unreadable)
	}
	return text.String()
}

func (k keyStatus) role() string {
	switch {
	case k.Primary:
		return "seals and opens"
	case k.Staged:
		return "staged"
	case k.Type == "":
		return "NOT IN THE KEYSET"
	case k.InUse != nil && !*k.InUse:
		return "unused"
	}
	return "opens"
}
