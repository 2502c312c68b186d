package blocked

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/gate"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/rate"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// Gate reports rates and holds: *gate.Gate.
type Gate interface {
	Status(ctx context.Context) ([]gate.KindStatus, []hold.Hold, error)
	Stored(ctx context.Context) (revision int64, err error)
}

// Fleet is the state of the whole fleet at a time.
type Fleet struct {
	Kinds     []gate.KindStatus
	Holds     []hold.Hold
	Restoring bool // Redis is new or has lost data, and no worker has restored the pauses from S3 yet
	Workers   []redisx.Worker
	Queues    map[string]asynqx.Depth

	at       time.Time
	nameless bool // Redis has lost the installation's name: workers are alive, and call nothing until one has adopted it
	redis    redis.UniversalClient
}

// Read reads the state of the fleet.
func Read(ctx context.Context, client redis.UniversalClient, g Gate) (*Fleet, error) {
	f := &Fleet{redis: client, at: time.Now(), Queues: map[string]asynqx.Depth{}}
	var err error
	if f.Kinds, f.Holds, err = g.Status(ctx); err != nil {
		return nil, err
	}
	revision, err := g.Stored(ctx)
	if err != nil {
		return nil, err
	}
	f.Restoring = revision < 0
	if f.Workers, err = redisx.Workers(ctx, client); err != nil {
		return nil, err
	}
	name, err := redisx.Name(ctx, client)
	if err != nil {
		return nil, err
	}
	f.nameless = name == "" && f.Alive() > 0
	for i, k := range f.Kinds {
		if r, err := rate.Parse(f.Configured(k)); err == nil { // not if the workers differ
			configure(&f.Kinds[i], r)
		}
	}
	for _, queue := range append(tasks.Queues(), batch.Queue) {
		if f.Queues[queue], err = asynqx.ReadDepth(ctx, client, queue); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// configure puts the workers' rate in the place of that in the settings of this process, which makes no calls.
func configure(k *gate.KindStatus, r rate.Rate) {
	pace := func() float64 {
		limit := k.Limit()
		if k.VendorLimit > 0 {
			limit.Calls = k.VendorLimit
		}
		return limit.PerMinute()
	}
	before := pace()
	k.Configured = r
	k.PerMinute *= pace() / before
}

// PerMinute returns the rate of a kind, in calls a minute.
func (f *Fleet) PerMinute(kind tasks.Kind) float64 {
	i := slices.IndexFunc(f.Kinds, func(k gate.KindStatus) bool { return k.Kind == string(kind) })
	if i < 0 {
		return 0
	}
	return f.Kinds[i].PerMinute
}

// Configured returns the rate of a kind in the settings of the workers that are alive, several if they differ, or that of this
// process if none is alive.
func (f *Fleet) Configured(k gate.KindStatus) string {
	var rates []string
	for _, w := range f.Workers {
		if r := w.Settings[k.Kind+"_rate"]; w.Alive() && r != "" && !slices.Contains(rates, r) {
			rates = append(rates, r)
		}
	}
	if len(rates) == 0 {
		return k.Configured.String()
	}
	return strings.Join(rates, ", ")
}

// OtherRates has a line for each kind whose workers are set to another rate than own says, or to several. Kinds that own lacks are
// compared only among the workers.
func (f *Fleet) OtherRates(own map[string]rate.Rate) (lines []string) {
	for _, k := range f.Kinds {
		theirs := f.Configured(k)
		mine, given := own[k.Kind]
		switch {
		case k.Set != nil: // by kycq fleet rate, which counts for all
		case strings.Contains(theirs, ","):
			lines = append(lines, fmt.Sprintf("%s: the workers are set to different rates (%s): give all the same, or run: kycq fleet rate %s RATE", k.Kind, theirs, k.Kind))
		case given && f.Alive() > 0 && mine.String() != theirs:
			lines = append(lines, fmt.Sprintf("%s: the rate of the workers counts (%s), not the one set here (%s)", k.Kind, theirs, mine))
		}
	}
	return lines
}

// HoldsOf returns the holds that cover a kind.
func (f *Fleet) HoldsOf(kind tasks.Kind) []hold.Hold {
	return slices.DeleteFunc(slices.Clone(f.Holds), func(h hold.Hold) bool { return !h.Covers(string(kind)) })
}

// Alive counts the workers that are alive.
func (f *Fleet) Alive() int {
	n := 0
	for _, w := range f.Workers {
		if w.Alive() {
			n++
		}
	}
	return n
}

// NoWorker returns the reason if no worker is alive, else nil.
func (f *Fleet) NoWorker() *Reason { return OfWorkers(f.Workers) }

// Calls returns why no calls of a kind are made, nil if they are.
func (f *Fleet) Calls(kind tasks.Kind) *Reason { return first(f.calls(kind)) }

func (f *Fleet) calls(kind tasks.Kind) (all []*Reason) {
	if h := hold.Of(string(kind), f.Holds); h != nil {
		all = append(all, held(*h))
	}
	if r := f.NoWorker(); r != nil {
		all = append(all, r)
	}
	if f.Restoring || f.nameless {
		all = append(all, restoring())
	}
	for _, k := range f.Kinds {
		if k.Kind == string(kind) {
			all = append(all, closed(f.at, k)...)
		}
	}
	return all
}

// Kind returns why no job of a kind goes on (no calls are made, or all queued jobs are delayed), nil if jobs do.
func (f *Fleet) Kind(kind tasks.Kind) (*Reason, error) {
	if r := f.Calls(kind); r != nil {
		return r, nil
	}
	var all []*Reason
	var queued, waiting int64
	for _, lane := range tasks.Lanes() {
		all = append(all, f.paused(kind, lane)...)
		depth := f.Queues[tasks.Queue(kind, lane)]
		queued, waiting = queued+depth.Waiting(), waiting+depth.Retry
	}
	if len(all) > 0 || queued == 0 || waiting < queued {
		return first(all), nil
	}
	var list []asynqx.Delayed
	for _, lane := range tasks.Lanes() {
		some, err := asynqx.ReadDelayed(f.redis, tasks.Queue(kind, lane), sampleSize)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	if len(list) == 0 {
		return nil, nil
	}
	slices.SortFunc(list, func(x, y asynqx.Delayed) int { return x.Next.Compare(y.Next) })
	who := "1 queued job waits"
	if queued > 1 {
		who = fmt.Sprintf("all %d queued jobs wait", queued)
	}
	r := mostOf(list, who)
	if r.Code == "batch_paused" { // it still is, unless it was resumed within 15 seconds
		r.Cause, r.Message, r.NextAction = BatchPause, who+": they are rows of paused batches", "see `kycq batch list`"
	}
	return r, nil
}

// paused returns a reason if a queue was paused on the dashboard. (A hold pauses the queues, too.)
func (f *Fleet) paused(kind tasks.Kind, lane tasks.Lane) []*Reason {
	queue := tasks.Queue(kind, lane)
	if f.Queues[queue].Paused && hold.Of(string(kind), f.Holds) == nil {
		return []*Reason{queuePaused(queue)}
	}
	return nil
}

// Feed returns the reason if the queue that feeds all batches was paused on the dashboard, else nil. (No hold pauses it.)
func (f *Fleet) Feed() *Reason {
	if f.Queues[batch.Queue].Paused {
		return queuePaused(batch.Queue)
	}
	return nil
}

// sampleSize is how many delayed tasks are read to find out why a batch waits.
const sampleSize = 200

// Batch returns why no row of a batch goes on, nil if rows do or the batch is done.
func (f *Fleet) Batch(s *batch.Status) (*Reason, error) {
	r, unknown := f.withoutTasks(s)
	queue := tasks.Queue(s.Kind, tasks.Bulk)
	if !unknown || f.Queues[queue].Retry == 0 {
		return r, nil
	}
	list, err := asynqx.ReadDelayed(f.redis, queue, sampleSize)
	return f.rowsOf(s, list), err
}

// withoutTasks is Batch, as far as that is known without the tasks of its open rows.
func (f *Fleet) withoutTasks(s *batch.Status) (r *Reason, unknown bool) {
	if s.Done {
		return nil, false
	}
	var all []*Reason
	closing := s.State == batch.Cancelled || s.Ended == s.Rows // rows are being closed, or the report is being written
	switch {
	case s.State == batch.CallLimitReached:
		all = append(all, callLimit(s.Batch, s.Calls, s.MaxCalls))
	case s.State == batch.Paused:
		all = append(all, batchPaused(s.Batch, s.Pause))
		all = append(all, f.calls(s.Kind)...)
	case closing:
		if r := f.NoWorker(); r != nil {
			all = append(all, r)
		}
	default:
		all = append(all, f.calls(s.Kind)...)
		all = append(all, f.paused(s.Kind, tasks.Bulk)...)
	}
	all = append(all, f.feeding(s)...)
	return first(all), len(all) == 0 && s.Open > 0 && !closing
}

// feeding says why rows of a batch are neither enqueued nor closed.
func (f *Fleet) feeding(s *batch.Status) (all []*Reason) {
	if r := f.Feed(); r != nil {
		all = append(all, r)
	}
	switch s.Reason {
	case RedisFull:
		all = append(all, &Reason{
			Cause: RedisFull, Message: "Redis is nearly full, so no further rows are enqueued",
			NextAction: "raise its maxmemory, or wait until the queues are shorter",
		})
	case KeyMissing:
		all = append(all, delayed(asynqx.Delayed{Code: KeyMissing}, "the rows of the batch wait"))
	}
	return all
}

// rowsOf returns why all open rows of a batch wait, nil if not all do. list is a sample of the delayed tasks of its queue.
func (f *Fleet) rowsOf(s *batch.Status, list []asynqx.Delayed) *Reason {
	queue := f.Queues[tasks.Queue(s.Kind, tasks.Bulk)]
	list = slices.DeleteFunc(list, func(d asynqx.Delayed) bool {
		job, err := tasks.DecodePayload(d.Payload)
		return err != nil || job.Batch != s.Batch
	})
	if len(list) == 0 || len(list) < s.Open && queue.Pending+queue.Active > 0 {
		return nil
	}
	who := "1 open row waits"
	if s.Open > 1 {
		who = fmt.Sprintf("all %d open rows wait", s.Open)
	}
	return mostOf(list, who)
}

// mostOf returns why most of the delayed tasks wait.
func mostOf(list []asynqx.Delayed, who string) *Reason {
	codes, most := map[string]int{}, list[0]
	for _, d := range list {
		if codes[d.Code]++; codes[d.Code] > codes[most.Code] {
			most = d
		}
	}
	most.Since, most.Next = time.Time{}, list[0].Next
	return delayed(most, who)
}

// Job returns why a job does not go on, nil if it does or has ended. status is that of its batch; nil if it has none, or if that
// is not known.
func (f *Fleet) Job(rec *storage.Record, status *batch.Status) (*Reason, error) {
	if rec.State.Final() {
		return nil, nil
	}
	queue := tasks.Queue(rec.Kind, rec.Lane)
	task, err := asynqx.ReadTask(f.redis, queue, tasks.TaskID(rec.VerificationID, rec.Run))
	return f.job(rec, status, task), err
}

// job is Job with the job's task, if it is delayed.
func (f *Fleet) job(rec *storage.Record, status *batch.Status, task *asynqx.Delayed) *Reason {
	if task == nil && rec.State == storage.StateWaiting && time.Now().Before(rec.NotBefore) {
		task = &asynqx.Delayed{Code: rec.Reason, Since: rec.UpdatedAt, Next: rec.NotBefore}
		if last := rec.LastAttempt(); last != nil && last.Code == rec.Reason {
			task.Decision = "retry"
		}
	}
	var all []*Reason
	limited := status != nil && status.State == batch.CallLimitReached || task != nil && task.Code == "call_limit_reached"
	switch {
	case rec.State == storage.StateAnswered || rec.State == storage.StateSent: // its call was made
		if r := f.NoWorker(); r != nil {
			all = append(all, r)
		}
	default:
		if limited && status != nil {
			all = append(all, callLimit(status.Batch, status.Calls, status.MaxCalls))
		}
		if status != nil && status.State == batch.Paused {
			all = append(all, batchPaused(status.Batch, status.Pause))
		}
		all = append(all, f.calls(rec.Kind)...)
	}
	all = append(all, f.paused(rec.Kind, rec.Lane)...)
	if status != nil && task == nil && rec.State == storage.StateQueued { // a row that is not enqueued
		all = append(all, f.feeding(status)...)
	}
	if task != nil && len(all) == 0 {
		all = append(all, delayed(*task, "the job waits"))
	}
	return first(all)
}
