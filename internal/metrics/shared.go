package metrics

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/advice"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/tasks"
)

// Gate reads the shared state of the gate: *gate.Gate.
type Gate interface {
	Status(ctx context.Context) ([]gate.KindStatus, []hold.Hold, error)
	Unstored(ctx context.Context, kind string) ([]string, error)
}

// scrapeTimeout bounds how long a scrape waits for Redis. Prometheus itself gives up after 10 s by default.
const scrapeTimeout = 2 * time.Second

// shared collects the metrics that come from Redis and are equal in all workers. Each scrape reads them with a bounded
// number of commands.
type shared struct {
	redis               redis.UniversalClient
	gate                Gate
	queues, batchStates []string
}

var (
	redisUp = describe("kycq_redis_up", "1 if Redis answered this scrape; at 0 all metrics that are read from Redis are missing")

	memoryUsed  = describe("kycq_redis_memory_used_bytes", "memory used by Redis")
	memoryMax   = describe("kycq_redis_memory_max_bytes", "maxmemory of Redis; missing if it is not set. At 70 % of it enqueuing stops")
	persistence = describe("kycq_redis_persistence", "1 if Redis writes an append-only file without errors, 0 otherwise; missing if it refuses INFO")

	openJobs     = describe("kycq_open_jobs", "single jobs without a final record, as the leader counts them every 3 minutes; without rows of batches", "kind")
	oldestJob    = describe("kycq_oldest_open_job_timestamp_seconds", "Unix time at which the oldest open single job of a queue was accepted, as the leader counts every 3 minutes; missing if there is none", "queue")
	openBatches  = describe("kycq_open_batches", "batches that are not done, by state, as the leader counts them every 3 minutes", "state")
	reviews      = describe("kycq_quarantined_images", "masked images in quarantine that wait for kycq review, as the leader counts them every 3 minutes")
	missingTasks = describe("kycq_missing_tasks_total", "tasks of open jobs that Redis had lost and that were enqueued again, as counted in Redis")

	workers = describe("kycq_workers", "workers whose heartbeat is recent")

	rateLimit   = describe("kycq_rate_limit_per_minute", "effective rate limit of the whole fleet, in calls per minute", "kind")
	rateUsed    = describe("kycq_rate_used_ratio", "calls of the whole fleet in the last minute, divided by the limit", "kind")
	gateWaiting = describe("kycq_gate_waiting", "jobs waiting for a slot, in all workers", "kind", "lane")
	limited     = describe("kycq_rate_limited_total", "429 responses received by the whole fleet, as counted in Redis", "kind")
	unstored    = describe("kycq_unstored_answers", "jobs whose paid answer, or its image, could not be fetched or stored at the last try; 20 stop the calls of the kind", "kind")
	breaker     = describe("kycq_breaker_state", "1 for the current state of the breaker, 0 for the others", "kind", "state")

	held        = describe("kycq_hold", "1 while the account or a kind is on hold, 0 otherwise")
	holdStarted = describe("kycq_hold_started_timestamp_seconds", "Unix time at which each hold was raised; without a kind it covers all", "cause", "kind", "code")
)

// described are the descriptions of all metrics that are read from Redis.
var described []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(name, help, labels, nil)
	described = append(described, d)
	return d
}

// Describe implements prometheus.Collector.
func (s *shared) Describe(to chan<- *prometheus.Desc) {
	for _, d := range described {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *shared) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	err := s.redis.Ping(ctx).Err()
	gauge(to, redisUp, boolValue(err == nil))
	if err != nil {
		return
	}
	for _, queue := range s.queues {
		s.collectQueue(ctx, to, queue)
	}
	s.collectGate(ctx, to)
	s.collectMemory(ctx, to)
	s.collectRounds(ctx, to)
	s.collectWorkers(ctx, to)
}

func (s *shared) collectWorkers(ctx context.Context, to chan<- prometheus.Metric) {
	list, err := redisx.Workers(ctx, s.redis)
	if err != nil {
		return
	}
	gauge(to, workers, float64(len(slices.DeleteFunc(list, func(w redisx.Worker) bool { return !w.Alive() }))))
}

func (s *shared) collectMemory(ctx context.Context, to chan<- prometheus.Metric) {
	if ok, known := redisx.ReadPersistence(ctx, s.redis); known {
		gauge(to, persistence, boolValue(ok))
	}
	m, err := redisx.ReadMemory(ctx, s.redis)
	if err != nil || m.Used == 0 { // 0: INFO is not allowed
		return
	}
	gauge(to, memoryUsed, float64(m.Used))
	if m.Max > 0 {
		gauge(to, memoryMax, float64(m.Max))
	}
}

func (s *shared) collectRounds(ctx context.Context, to chan<- prometheus.Metric) {
	rounds, err := redisx.ReadRounds(ctx, s.redis)
	if err != nil {
		return
	}
	for _, kind := range tasks.Kinds() {
		if n, ok := rounds.Open[string(kind)]; ok {
			gauge(to, openJobs, float64(n), string(kind))
		}
	}
	for _, queue := range s.queues {
		if at := rounds.Oldest[queue]; at > 0 {
			gauge(to, oldestJob, float64(at), queue)
		}
	}
	for _, state := range s.batchStates {
		if n, ok := rounds.Batches[state]; ok {
			gauge(to, openBatches, float64(n), state)
		}
	}
	gauge(to, reviews, float64(rounds.Reviews))
	to <- prometheus.MustNewConstMetric(missingTasks, prometheus.CounterValue, float64(rounds.Missing))
}

func (s *shared) collectGate(ctx context.Context, to chan<- prometheus.Metric) {
	kinds, holds, err := s.gate.Status(ctx)
	if err != nil {
		return
	}
	for _, k := range kinds {
		collectKind(to, k)
		if jobs, err := s.gate.Unstored(ctx, k.Kind); err == nil {
			gauge(to, unstored, float64(len(jobs)), k.Kind)
		}
	}
	gauge(to, held, boolValue(len(holds) > 0))
	for _, h := range holds {
		if slices.Contains(hold.Causes, h.Cause) && (h.Kind == "" || slices.Contains(tasks.Kinds(), tasks.Kind(h.Kind))) {
			gauge(to, holdStarted, float64(h.Since.UnixMilli())/1000, h.Cause, h.Kind, advice.Listed(h.Code))
		}
	}
}

func collectKind(to chan<- prometheus.Metric, k gate.KindStatus) {
	limit := k.Limit().PerMinute()
	if k.VendorLimit > 0 { // lower than the configured rate
		limit = rate.Rate{Calls: k.VendorLimit, Per: k.Limit().Per}.PerMinute()
	}
	gauge(to, rateLimit, limit, k.Kind)
	if limit > 0 {
		gauge(to, rateUsed, float64(k.LastMinute)/limit, k.Kind)
	}
	gauge(to, gateWaiting, float64(k.WaitingLive), k.Kind, gate.Live)
	gauge(to, gateWaiting, float64(k.WaitingBulk), k.Kind, gate.Bulk)
	to <- prometheus.MustNewConstMetric(limited, prometheus.CounterValue, float64(k.Limited), k.Kind)
	for _, state := range []gate.BreakerState{gate.BreakerClosed, gate.BreakerOpen, gate.BreakerProbing} {
		gauge(to, breaker, boolValue(k.Breaker == state), k.Kind, string(state))
	}
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
