package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// demoReport summarises the rows.
type demoReport struct {
	Rows     int            `json:"rows"`
	Seconds  float64        `json:"seconds"`
	Calls    int            `json:"calls"`
	Retried  int            `json:"retried"`
	Charged  int            `json:"charged"`
	Outcomes []demoOutcome  `json:"outcomes"`
	Notable  []demoNotable  `json:"notable"`
	Files    demoReportPath `json:"files"`
}

type demoOutcome struct {
	Kind    tasks.Kind `json:"kind"`
	Outcome string     `json:"outcome"`
	Rows    int        `json:"rows"`
}

// demoNotable is a row that was not valid at the first call.
type demoNotable struct {
	ID      string `json:"verification_id"`
	Outcome string `json:"outcome"`
	Why     string `json:"why"`
}

type demoReportPath struct {
	Masked  string `json:"masked"`
	Records string `json:"records"`
	Log     string `json:"log"`
	Ledger  string `json:"ledger"`
}

func (a *app) printDemo(d *demo, rows []*demoRow, took time.Duration) error {
	report, err := newDemoReport(d, rows, took)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(report)
	}
	return a.Print("%s", report.String())
}

func newDemoReport(d *demo, rows []*demoRow, took time.Duration) (*demoReport, error) {
	buckets := d.store.Config()
	r := &demoReport{Rows: len(rows), Seconds: took.Round(100 * time.Millisecond).Seconds(), Files: demoReportPath{
		Masked: filepath.Join(d.dir, "s3", buckets.MaskedBucket, "masked"), Records: filepath.Join(d.dir, "s3", buckets.RecordsBucket, "records"),
		Log: d.log.Name(), Ledger: filepath.Join(d.dir, "simulator.jsonl"),
	}}
	for _, row := range rows {
		r.count(row)
		r.Calls += row.calls()
		r.Retried += max(row.calls()-1, 0)
		if why := row.why(); why != "" {
			r.Notable = append(r.Notable, demoNotable{ID: row.ID, Outcome: row.outcome(), Why: why})
		}
	}
	for entry, err := range d.stack.Simulator.Ledger() {
		if err != nil {
			return nil, fmt.Errorf("read the simulator's ledger: %w", err)
		}
		if entry.Charged {
			r.Charged++
		}
	}
	return r, nil
}

// count keeps the order in which outcomes first occur.
func (r *demoReport) count(row *demoRow) {
	for i := range r.Outcomes {
		if r.Outcomes[i].Kind == row.Kind && r.Outcomes[i].Outcome == row.outcome() {
			r.Outcomes[i].Rows++
			return
		}
	}
	r.Outcomes = append(r.Outcomes, demoOutcome{Kind: row.Kind, Outcome: row.outcome(), Rows: 1})
}

// why explains a row that needs attention; empty for others.
func (r *demoRow) why() string {
	switch {
	case r.refused != nil:
		return r.refused.Error()
	case r.rec.State != storage.StateValid:
		return strings.TrimSpace(r.rec.Message + "; " + r.rec.NextAction)
	case r.calls() > 1:
		var codes []string
		for _, at := range r.rec.Attempts {
			codes = append(codes, fmt.Sprint(at.HTTPStatus))
		}
		return "calls: " + strings.Join(codes, ", ")
	case r.rec.Review != "":
		return "check the image: " + r.rec.Review
	case r.Kind == tasks.Passport && !allMatch(r.rec.Passport):
		return "the passport office has another name or date of birth"
	}
	return ""
}

func allMatch(p *storage.PassportView) bool {
	return p != nil && p.Matches == storage.Matches{Name: storage.MatchYes, DOB: storage.MatchYes, FileNumber: storage.MatchYes}
}

func (r *demoReport) String() string {
	var text strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&text, format+"\n", args...) }
	line("%-10s %-44s %5s", "kind", "outcome", "rows")
	for _, o := range r.Outcomes {
		line("%-10s %-44s %5d", o.Kind, o.Outcome, o.Rows)
	}
	line("\n%d rows in %.1f s: %d calls to the simulated Cashfree, %d of them retries, %d charged\n", r.Rows, r.Seconds, r.Calls, r.Retried, r.Charged)
	line("notable rows:")
	for _, n := range r.Notable {
		line("  %-26s %-40s %s", n.ID, n.Outcome, n.Why)
	}
	line("\nmasked images   %s", r.Files.Masked)
	line("records         %s", r.Files.Records)
	line("worker's log    %s", r.Files.Log)
	line("vendor's ledger %s", r.Files.Ledger)
	line("\nnext: kycq-dev demo --keep keeps all services running. A real installation begins with kycq config check and kycq storage init")
	return text.String()
}
