package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/audit"
	"github.com/kycq/kycq/internal/cli"
	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/wire"
	"github.com/kycq/kycq/storage"
)

func newJobShow(a *app) *cobra.Command {
	var name jobName
	var reveal bool
	var reason string
	cmd := cli.Uses(&cobra.Command{
		Use:   "show ID",
		Short: "show a job's record",
		Long: `show prints a job's record in S3: state, outcome, attempts, what to do next, and what blocks an open job. Personal data is
masked. With --reveal it decrypts and prints input and answer, after an event in the audit trail.`,
		Example: "  kycq job show ABC00123\n  kycq job show ABC00123 --json | jq .attempts\n  kycq job show P-0001 --kind passport --reveal --reason \"complaint 2026-31\"",
		RunE: a.Command(func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings(cmd)
			if err != nil {
				return err
			}
			store, err := wire.OpenStore(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			view, err := newJobView(cfg, store)
			if err != nil {
				return err
			}
			defer view.Close()
			if !reveal {
				rec, err := view.find(cmd.Context(), name)
				if err != nil {
					return err
				}
				return a.printOpenRecord(cmd.Context(), view, rec)
			}
			rec, err := name.find(cmd.Context(), store)
			if err != nil {
				return err
			}
			act := audit.Act{Action: "reveal", Kind: string(rec.Kind), VerificationID: rec.VerificationID, Reason: reason}
			if err := (&deps{cfg: cfg, store: store}).appendAudit(cmd.Context(), act); err != nil {
				return err
			}
			if err := a.revealRecord(cfg, rec); err != nil {
				return err
			}
			if reason == "" {
				a.Note("add --reason to the next --reveal: the audit trail says who looked, but not why")
			}
			return nil
		}),
	}, config.S3, config.Redis, config.Rates, config.Sealing, config.Audit)
	name.register(cmd)
	cmd.Flags().BoolVar(&reveal, "reveal", false, "decrypt and print input and answer")
	cmd.Flags().StringVar(&reason, "reason", "", "why the data is revealed, for the audit trail (no personal data)")
	return cmd
}

func (a *app) printRecord(rec *storage.Record) error {
	return a.Answer(rec, func() string { return describe(rec) })
}

// printOpenRecord prints a record, and what blocks the job.
func (a *app) printOpenRecord(ctx context.Context, view *jobView, rec *storage.Record) error {
	reason := view.blocked(ctx, rec)
	if reason == nil {
		return a.printRecord(rec)
	}
	if !a.JSON {
		return a.Print("%s%s\n", describe(rec), reason.Line())
	}
	record, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	added, err := json.Marshal(reason)
	if err != nil {
		return err
	}
	return a.PrintJSON(json.RawMessage(slices.Concat(record[:len(record)-1], []byte(`,"blocked":`), added, []byte("}"))))
}

// describe formats a record as text.
func describe(rec *storage.Record) string {
	var text strings.Builder
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(&text, "%-12s %s\n", name, value)
		}
	}
	line("job", fmt.Sprintf("%s %s (%s, run %d)", rec.Kind, rec.VerificationID, rec.Lane, rec.Run))
	if rec.Line > 0 {
		line("batch", fmt.Sprintf("%s, line %d", rec.Batch, rec.Line))
	} else {
		line("batch", rec.Batch)
	}
	line("state", strings.TrimSpace(string(rec.State)+" "+rec.Code))
	line("message", rec.Message)
	if rec.State == storage.StateWaiting {
		line("waits for", rec.Reason)
		line("next action", fmt.Sprintf("kycq retries by itself at %s (attempt %d)", stamp(rec.NotBefore), len(rec.Attempts)+1))
	} else {
		line("next action", rec.NextAction)
	}
	if rec.ReferenceID != 0 {
		line("reference", strconv.FormatInt(rec.ReferenceID, 10))
	}
	if m := rec.MaskedImage; m != nil {
		line("masked image", fmt.Sprintf("s3://%s/%s (%s, %d x %d, %d bytes)", m.Bucket, m.Key, m.ContentType, m.Width, m.Height, m.Bytes))
	}
	line("review", rec.Review)
	line("digit check", rec.DigitCheck)
	if p := rec.Passport; p != nil {
		line("passport", strings.TrimSpace(p.Name+" "+p.FileNumber))
		matches := fmt.Sprintf("name %s, date of birth %s, file number %s", p.Matches.Name, p.Matches.DOB, p.Matches.FileNumber)
		line("matches", strings.ReplaceAll(matches, "_", " "))
	}
	if best := rec.Best(); best.Run != rec.Run {
		line("best result", fmt.Sprintf("run %d: %s", best.Run, strings.TrimSpace(string(best.State)+" "+best.Code)))
		if m := best.MaskedImage; m != nil {
			line("", fmt.Sprintf("s3://%s/%s", m.Bucket, m.Key))
		}
		if p := best.Passport; p != nil {
			line("", strings.TrimSpace(p.Name+" "+p.FileNumber))
		}
	}
	for i, at := range rec.Attempts {
		line(fmt.Sprintf("attempt %d", i+1), describeAttempt(at))
	}
	line("created", stamp(rec.CreatedAt))
	line("completed", stamp(rec.CompletedAt))
	if e := rec.Erased; e != nil {
		line("erased", fmt.Sprintf("%s by %s: %s", stamp(e.At), e.By, e.Reason))
	}
	return text.String()
}

func describeAttempt(at storage.Attempt) string {
	parts := []string{stamp(at.SentAt), at.ProviderID}
	if at.HTTPStatus != 0 {
		parts = append(parts, strconv.Itoa(at.HTTPStatus))
	}
	if at.Code != "" {
		parts = append(parts, at.Code)
	}
	result := at.Result
	if result == "" {
		result = "answer unknown"
	}
	if !at.EndedAt.IsZero() {
		result += " after " + at.EndedAt.Sub(at.SentAt).Round(time.Millisecond).String()
	}
	return strings.Join(append(parts, result), "  ")
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05Z")
}
