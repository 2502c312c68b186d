package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/maskcheck"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

func newReview(a *app) *cobra.Command {
	return a.Group(&cobra.Command{
		Use:   "review",
		Short: "decide on masked images that failed the check",
		Long: `review shows the images in quarantine. They are paid for, but failed the check of the mask, so they may show what must not be
stored. A person can approve an image, which costs no call, or reject it.`,
	}, newReviewList(a), newReviewShow(a), newReviewDecision(a, true), newReviewDecision(a, false))
}

// meanings explains why images are in quarantine.
var meanings = map[string]string{
	string(maskcheck.TooLarge):      "the file is too large",
	string(maskcheck.TooManyPixels): "the image has too many pixels",
	string(maskcheck.NotAnImage):    "the file is neither JPEG nor PNG",
	string(maskcheck.Undecodable):   "the file is damaged",
	string(maskcheck.SameBytes):     "the vendor returned the file that was sent",
	string(maskcheck.Dimensions):    "the image has another shape or size than what was sent",
	string(maskcheck.VisibleQR):     "a QR code shows",
	string(maskcheck.NothingMasked): "the image shows all that was sent",
	string(maskcheck.NotComparable): "the image shows something else than what was sent, or a crop of it",
	string(maskcheck.SourceGone):    "what was sent was deleted or replaced, so that the mask cannot be compared",
	string(maskcheck.TooBusy):       "the image has too many patterns like those of a QR code",
	worker.ReadableNumber:           "an Aadhaar number can be read",
	worker.DigitsUnread:             "Tesseract failed to read the image",
}

// quarantined is a line of review list.
type quarantined struct {
	ID     string    `json:"verification_id"`
	Review string    `json:"review"`
	Batch  string    `json:"batch,omitempty"`
	Ended  time.Time `json:"ended_at"`
	// Ends is when retention erases the image, if KYCQ_RETENTION has a rule.
	Ends time.Time `json:"ends_at,omitzero"`
}

func newReviewList(a *app) *cobra.Command {
	return a.command(&cobra.Command{
		Use:     "list",
		Short:   "list the images in quarantine, and why they are there",
		Example: "  kycq review list\n  kycq review list --json | jq -r .reviews[].verification_id",
		Args:    cobra.NoArgs,
	}, append([]config.Area{config.Retention}, jobAreas...), func(ctx context.Context, d *deps, _ []string) error {
		found, seen := []quarantined{}, map[string]bool{}
		for id, err := range d.store.QuarantinedIDs(ctx) {
			if err != nil {
				return err
			}
			rec, _, err := d.store.Record(ctx, tasks.Aadhaar, id)
			if err != nil {
				a.Note("%s: %v", id, err)
				continue
			}
			found = append(found, quarantined{id, rec.Review, rec.Batch, rec.CompletedAt, reviewEnd(d.cfg, rec)})
		}
		return a.Answer(map[string]any{"reviews": found}, func() string {
			if len(found) == 0 {
				a.Note("no images in quarantine")
				return ""
			}
			lines := []string{"ID\tWHY\tENDED\tBATCH\tERASED ON"}
			for _, q := range found {
				lines = append(lines, strings.Join([]string{q.ID, q.Review, stamp(q.Ended), q.Batch, stamp(q.Ends)}, "\t"))
				seen[q.Review] = true
			}
			for _, review := range slices.Sorted(maps.Keys(seen)) {
				a.explainReview(review)
			}
			a.Note("next: kycq review show ID --out FILE")
			return cli.Table(lines)
		})
	})
}

// reviewEnd is when retention ends a review; zero if it does not.
func reviewEnd(cfg *config.Config, rec *storage.Record) time.Time {
	_, keep, ok := cfg.Retention.For(string(rec.Kind), string(rec.State))
	if !ok {
		return time.Time{}
	}
	return rec.CompletedAt.Add(keep)
}

func newReviewShow(a *app) *cobra.Command {
	var out, reason string
	cmd := a.command(&cobra.Command{
		Use:   "show ID --out FILE",
		Short: "write a quarantined image to a file",
		Long: `show writes the image as the vendor sent it (mode 0600): it may show an unmasked card, and hold further images. Delete the
file after the decision. The audit trail says who looked.`,
		Example: "  kycq review show ABC00123 --out card.jpg",
		Args: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return cli.Usagef("--out: name the file to write")
			}
			return oneReview(args)
		},
	}, jobAreas, func(ctx context.Context, d *deps, args []string) error {
		act := audit.Act{Action: "review.show", Kind: string(tasks.Aadhaar), VerificationID: args[0], Reason: reason}
		if err := d.appendAudit(ctx, act); err != nil {
			return err
		}
		rec, _, body, err := worker.Quarantined(ctx, d.store, args[0])
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if _, err := a.writeTo(out, func(w io.Writer) (int, error) { return w.Write(body) }); err != nil {
			return err
		}
		a.explainReview(rec.Review)
		a.Note("next: kycq review approve %s --reason ..., or kycq review reject %s --reason ...", args[0], args[0])
		return a.printRecord(rec)
	})
	cmd.Flags().StringVar(&out, "out", "", "the file to write (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit trail (no personal data)")
	return cmd
}

func newReviewDecision(a *app, approve bool) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "store a quarantined image as the masked one",
		Long: `approve makes the quarantined image the masked image of the job, and the job valid. Only its pixels are stored, as for every
masked image. It makes no call, and the image is not checked again.`,
		Example: "  kycq review approve ABC00123 --reason \"masked by the customer before\"",
	}
	if !approve {
		cmd = &cobra.Command{
			Use:     "reject ID",
			Short:   "delete a quarantined image",
			Long:    "reject deletes the quarantined image. The job stays failed; `kycq job retry` pays for another attempt.",
			Example: "  kycq review reject ABC00123 --reason \"all digits show\"",
		}
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if reason == "" {
			return cli.Usagef("--reason: say why; it is stored in the record and in the audit trail (no personal data)")
		}
		return oneReview(args)
	}
	a.command(cmd, jobAreas, func(ctx context.Context, d *deps, args []string) error {
		return a.decide(ctx, d, args[0], reason, approve)
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why (required; no personal data)")
	return cmd
}

func (a *app) decide(ctx context.Context, d *deps, id, reason string, approve bool) error {
	user, _, err := wire.Operator(d.cfg)
	if err != nil {
		return err
	}
	action := "review.reject"
	if approve {
		action = "review.approve"
	}
	if err := d.appendAudit(ctx, audit.Act{Action: action, Kind: string(tasks.Aadhaar), VerificationID: id, Reason: reason}); err != nil {
		return err
	}
	var rec *storage.Record
	if approve {
		rec, err = worker.Approve(ctx, d.store, d.client.Push, id, user, reason)
	} else {
		rec, err = worker.Reject(ctx, d.store, id, user, reason)
	}
	if rec != nil && rec.Batch != "" {
		if failed := batch.NewControl(d.redis, d.store).Decided(ctx, rec); failed != nil {
			err = errors.Join(err, fmt.Errorf("the counts of its batch are not corrected; run the same command again: %w", failed))
		} else {
			a.Note("the counts of batch %s follow; if it has ended, its report is written again", rec.Batch)
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", id, err)
	}
	return a.printRemains(rec, err)
}

func (a *app) explainReview(review string) {
	if meaning := meanings[review]; meaning != "" {
		a.Note("%s: %s", review, meaning)
	}
}

func oneReview(args []string) error {
	if len(args) != 1 {
		return cli.Usagef("name one verification_id; kycq review list shows them")
	}
	return tasks.ValidateID(args[0])
}
