package metrics_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/metrics"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

var update = flag.Bool("update", false, "write the table of docs/METRICS.md anew")

const (
	page       = "../../docs/METRICS.md"
	tableBegin = "<!-- the table is made by go test ./internal/metrics -run Documented -update -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// TestEveryMetricIsDocumented compares the table of the page with what a worker exports that has seen everything.
func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	want := table(scrape(t, busy(t)))
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	have, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+tableBegin+want+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want {
		t.Errorf("%s is not what is exported: run go test ./internal/metrics -run Documented -update\n%s", page, want)
	}
}

// busy has something to export under every name.
func busy(t *testing.T) *metrics.Metrics {
	client := redisClient(t)
	enqueue(t, client, "A")
	g := *calmGate
	g.hold = &gate.Hold{Code: "insufficient_balance", Since: time.Now()}
	m := open(t, client, &g)
	m.Held("insufficient_balance")
	m.Called(tasks.Passport, cashfree.Valid, time.Second)
	m.Finished(&storage.Record{JobSpec: tasks.JobSpec{Kind: tasks.Passport, Run: 1}, State: storage.StateValid})
	return m
}

// fixed are exported by some servers only: the page has them all the same.
var fixed = map[string]string{
	"asynq_queue_memory_usage_approx_bytes": "| `asynq_queue_memory_usage_approx_bytes` | gauge | queue | memory of the queue in Redis, extrapolated from a few tasks |",
	"kycq_redis_memory_used_bytes":          "| `kycq_redis_memory_used_bytes` | gauge |  | memory that Redis uses |",
	"kycq_redis_memory_max_bytes":           "| `kycq_redis_memory_max_bytes` | gauge |  | maxmemory of Redis; missing where it has none. Nothing is enqueued from 70 % of it on |",
}

func table(f families) string {
	rows := map[string]string{}
	for name, family := range f {
		if strings.HasPrefix(name, "kycq_") || strings.HasPrefix(name, "asynq_") {
			rows[name] = row(family)
		}
	}
	for name, line := range fixed {
		if _, exported := rows[name]; !exported {
			rows[name] = line
		}
	}
	lines := make([]string, 0, len(rows))
	for _, line := range rows {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return "| metric | type | labels | what it is |\n| --- | --- | --- | --- |\n" + strings.Join(lines, "\n") + "\n"
}

func row(family *dto.MetricFamily) string {
	var labels []string
	for _, l := range family.GetMetric()[0].GetLabel() {
		labels = append(labels, l.GetName())
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", family.GetName(), strings.ToLower(family.GetType().String()), strings.Join(labels, ", "), family.GetHelp())
}

// TestTheFixedRowsAreTrue holds the rows that not every server can show against the descriptions in the code.
func TestTheFixedRowsAreTrue(t *testing.T) {
	t.Parallel()
	described := make(chan *prometheus.Desc, 100)
	metrics.DescribeShared(described)
	close(described)
	all := ""
	for d := range described {
		all += d.String() + "\n"
	}
	for name, line := range fixed {
		help := strings.TrimSuffix(line[strings.LastIndex(line, "| ")+2:], " |")
		if cells := strings.Split(line, " | "); len(cells) == 4 {
			help = strings.TrimSuffix(cells[3], " |")
		}
		if !strings.Contains(all, fmt.Sprintf("fqName: %q, help: %q", name, help)) {
			t.Errorf("%s is described otherwise", name)
		}
	}
}
