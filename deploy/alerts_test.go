package deploy_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A ruleFile is a file of alerts for Prometheus.
type ruleFile struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Labels      struct{ Severity string }
			Annotations struct {
				Summary, Description string
				Runbook              string `yaml:"runbook_url"`
			}
		}
	}
}

func alerts(t *testing.T) (found ruleFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, "prometheus/kycq.rules.yaml")), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Groups) != 1 || len(found.Groups[0].Rules) == 0 {
		t.Fatalf("%d groups", len(found.Groups))
	}
	return found
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	metricName = regexp.MustCompile(`\b(?:kycq|asynq)_[a-z0-9_]+`)
	histogram  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// docs/METRICS.md lists what workers export; tests of internal/metrics and cmd/kycq compare it with the code and with a
// running worker.
func TestAlertsAndDashboardNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	documented := readFile(t, "../docs/METRICS.md")
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, "grafana/kycq.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	expressions := map[string]string{}
	for _, r := range alerts(t).Groups[0].Rules {
		expressions[r.Alert] = r.Expr
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			expressions[p.Title] += " " + target.Expr
		}
	}
	for where, expr := range expressions {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", where)
		}
		for _, name := range names {
			if !strings.Contains(documented, "| `"+name+"` |") && !strings.Contains(documented, "| `"+histogram.ReplaceAllString(name, "")+"` | histogram |") {
				t.Errorf("%s: no worker exports %s", where, name)
			}
		}
	}
}

func TestEachAlertHasAnEntryInTheRunbook(t *testing.T) {
	t.Parallel()
	var headings []string
	for line := range strings.Lines(readFile(t, "RUNBOOK.md")) {
		if title, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			headings = append(headings, title)
		}
	}
	for _, r := range alerts(t).Groups[0].Rules {
		if r.Annotations.Summary == "" || r.Annotations.Description == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels.Severity) {
			t.Errorf("%s lacks an annotation or a severity", r.Alert)
		}
		if want := "deploy/RUNBOOK.md#" + strings.ToLower(r.Alert); r.Annotations.Runbook != want || !slices.Contains(headings, r.Alert) {
			t.Errorf("%s: runbook_url is %s, want %s with a heading", r.Alert, r.Annotations.Runbook, want)
		}
		headings = slices.DeleteFunc(headings, func(h string) bool { return h == r.Alert })
	}
	for _, h := range headings {
		if strings.HasPrefix(h, "Kycq") {
			t.Errorf("RUNBOOK.md: there is no alert %s", h)
		}
	}
}
