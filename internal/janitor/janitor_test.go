package janitor_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/janitor"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const queue = "passport-bulk"

var keys = asynqx.KeysOf(queue)

// bench is asynq on a real Redis: miniredis does not have the limits of Redis' Lua.
type bench struct {
	redis     redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
	janitor   *janitor.Janitor
}

func setup(t *testing.T) *bench {
	t.Helper()
	rdb, err := redisx.Open(redact.NewSecret(testenv.Redis(t)))
	check(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return &bench{
		redis: rdb, client: asynq.NewClientFromRedisClient(rdb), inspector: asynq.NewInspectorFromRedisClient(rdb),
		janitor: janitor.New(rdb, []string{queue}, zerolog.Nop()),
	}
}

func (b *bench) enqueue(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := b.client.EnqueueContext(t.Context(), asynq.NewTask("job", nil), asynq.TaskID(id), asynq.Queue(queue), asynq.MaxRetry(100))
		check(t, err)
	}
}

// die leaves the tasks in the state of a worker that dequeued them and was killed.
func (b *bench) die(t *testing.T, ids ...string) {
	t.Helper()
	b.enqueue(t, ids...)
	for _, id := range ids {
		check(t, b.redis.LRem(t.Context(), keys.Pending, 0, id).Err())
		check(t, b.redis.LPush(t.Context(), keys.Active, id).Err())
		check(t, b.redis.HSet(t.Context(), keys.TaskPrefix+id, "state", "active").Err())
		check(t, b.redis.ZAdd(t.Context(), keys.Lease, redis.Z{Score: float64(time.Now().Add(30 * time.Second).Unix()), Member: id}).Err())
	}
}

// expireLeases makes every lease old enough to be recovered.
func (b *bench) expireLeases(t *testing.T) {
	t.Helper()
	old := float64(time.Now().Add(-time.Minute).Unix())
	for _, id := range must[[]string](t)(b.redis.ZRange(t.Context(), keys.Lease, 0, -1).Result()) {
		check(t, b.redis.ZAddXX(t.Context(), keys.Lease, redis.Z{Score: old, Member: id}).Err())
	}
}

// serve runs an asynq server until stop; its recoverer looks for expired leases when it starts.
func (b *bench) serve(t *testing.T, handler asynq.HandlerFunc) (stop func()) {
	t.Helper()
	srv := asynq.NewServerFromRedisClient(b.redis, asynq.Config{
		// One task at a time: the handler is called in the order of delivery.
		Queues: map[string]int{queue: 1}, Concurrency: 1, TaskCheckInterval: 200 * time.Millisecond,
		DelayedTaskCheckInterval: 200 * time.Millisecond, LogLevel: asynq.FatalLevel,
		RetryDelayFunc:  func(int, error, *asynq.Task) time.Duration { return 0 },
		ShutdownTimeout: time.Second,
	})
	check(t, srv.Start(handler))
	return srv.Shutdown
}

func (b *bench) round(t *testing.T) janitor.Repairs {
	t.Helper()
	return must[janitor.Repairs](t)(b.janitor.Round(t.Context()))
}

func TestTheNewestThousandArchivedTasksStay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var newest []string
	fill(t, b, 1700, func(n int) (string, time.Time) {
		id, at := fmt.Sprintf("T%04d", n), time.Now().Add(time.Duration(n)*time.Second-time.Hour)
		if n >= 700 {
			newest = append(newest, id)
		}
		return id, at
	})
	if found := b.round(t); found != (janitor.Repairs{Archived: 700}) {
		t.Errorf("repaired %+v", found)
	}
	if got := must[[]string](t)(b.redis.ZRange(t.Context(), keys.Archived, 0, -1).Result()); !slices.Equal(got, newest) {
		t.Errorf("%d stay, from %s on", len(got), got[0])
	}
	for id, want := range map[string]int64{"T0000": 0, "T0699": 0, "T0700": 1} {
		if n := b.redis.Exists(t.Context(), keys.TaskPrefix+id).Val(); n != want {
			t.Errorf("task %s: %d keys, want %d", id, n, want)
		}
	}
	if found := b.round(t); found != (janitor.Repairs{}) {
		t.Errorf("the second round repaired %+v", found)
	}
}

// fill archives tasks as asynq does, at the given times.
func fill(t *testing.T, b *bench, n int, task func(n int) (id string, at time.Time)) {
	t.Helper()
	_, err := b.redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range n {
			id, at := task(i)
			p.HSet(t.Context(), keys.TaskPrefix+id, "msg", "m", "state", "archived")
			p.ZAdd(t.Context(), keys.Archived, redis.Z{Score: float64(at.Unix()), Member: id})
		}
		return nil
	})
	check(t, err)
}

// archiveOne has asynq archive a task. It returns an error if the task is not archived in time.
func archiveOne(t *testing.T, b *bench, id string, timeout time.Duration) error {
	t.Helper()
	b.enqueue(t, id)
	defer b.serve(t, func(context.Context, *asynq.Task) error { return asynq.SkipRetry })()
	var info *asynq.TaskInfo
	var err error
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); tick(t, 100*time.Millisecond) {
		if info, err = b.inspector.GetTaskInfo(queue, id); err == nil && info.State == asynq.TaskStateArchived {
			return nil
		}
	}
	return fmt.Errorf("the task is %+v: %w", info, err)
}

func TestAnArchiveThatAsynqCannotTrimIsRepaired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fill(t, b, 8500, func(n int) (string, time.Time) {
		return fmt.Sprintf("T%04d", n), time.Now().Add(-91 * 24 * time.Hour)
	})
	if err := archiveOne(t, b, "broken", 5*time.Second); err == nil {
		t.Fatal("asynq no longer has the problem: remove the repair")
	}
	// asynq's script failed after it had added the task.
	if found := b.round(t); found.Archived != 7501 {
		t.Errorf("repaired %+v", found)
	}
	if err := archiveOne(t, b, "repaired", time.Minute); err != nil {
		t.Errorf("archive a task: %v", err)
	}
}

func TestAnActiveTaskWithoutALeaseIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.die(t, "leased", "leaseless")
	check(t, b.redis.ZRem(t.Context(), keys.Lease, "leaseless").Err())

	var got delivered
	b.expireLeases(t)
	stop := b.serve(t, got.handle)
	got.wait(t, 1)
	stop()
	if names := got.names(); !slices.Equal(names, []string{"leased"}) {
		t.Fatalf("delivered without the janitor: %v", names)
	}

	before := time.Now().Truncate(time.Second)
	if found := b.round(t); found != (janitor.Repairs{Leaseless: 1}) {
		t.Fatalf("repaired %+v", found)
	}
	ends := time.Unix(int64(must[float64](t)(b.redis.ZScore(t.Context(), keys.Lease, "leaseless").Result())), 0)
	if ends.Before(before.Add(25*time.Second)) || ends.After(time.Now().Add(31*time.Second)) {
		t.Errorf("the lease ends at %v and was added after %v: too short for a live worker to extend it", ends, before)
	}
	b.expireLeases(t)
	defer b.serve(t, got.handle)()
	got.wait(t, 2)
}

func TestATaskOfADeadWorkerIsRecoveredOnceAndDeliveredFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.die(t, "dead", "alive", "hollow", "delayed")
	check(t, b.redis.LRem(t.Context(), keys.Active, 0, "delayed").Err())
	check(t, b.redis.ZAdd(t.Context(), keys.Retry, redis.Z{Score: float64(time.Now().Add(time.Hour).Unix()), Member: "delayed"}).Err())
	check(t, b.redis.HDel(t.Context(), keys.TaskPrefix+"hollow", "msg").Err())
	b.enqueue(t, "waiting")
	for look := range 20 {
		want := 0
		if look == 5 { // the sixth at which the lease is the same
			want = 1
		}
		if n := must[int](t)(b.janitor.Recover(t.Context())); n != want {
			t.Errorf("look %d: %d tasks recovered, want %d", look+1, n, want)
		}
		if look%5 == 4 {
			check(t, b.redis.ZIncrBy(t.Context(), keys.Lease, 5, "alive").Err())
		}
	}
	if active := b.redis.LRange(t.Context(), keys.Active, 0, -1).Val(); !slices.Equal(active, []string{"alive"}) {
		t.Errorf("active: %v", active)
	}
	info := must[*asynq.TaskInfo](t)(b.inspector.GetTaskInfo(queue, "dead"))
	if info.State != asynq.TaskStatePending || info.Retried != 0 {
		t.Errorf("the task is %v after %d retries", info.State, info.Retried)
	}
	var got delivered
	defer b.serve(t, got.handle)()
	got.wait(t, 2)
	if names := got.names(); names[0] != "dead" {
		t.Errorf("delivered %v, want the recovered task first", names)
	}
}

// While Redis does not answer, no worker can extend its leases.
func TestAnOutageOfRedisIsNotTakenForADeadWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.die(t, "T1")
	recovered := 0
	look := func(ctx context.Context) error {
		n, err := b.janitor.Recover(ctx)
		recovered += n
		return err
	}
	for range 5 {
		check(t, look(t.Context()))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := look(gone); err == nil {
		t.Error("no error")
	}
	for range 5 {
		check(t, look(t.Context()))
	}
	if recovered != 0 {
		t.Errorf("%d tasks recovered", recovered)
	}
	if check(t, look(t.Context())); recovered != 1 {
		t.Errorf("%d tasks recovered after the outage", recovered)
	}
}

func TestManyTasksAreRecovered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for n := range 1200 {
		ids = append(ids, fmt.Sprintf("T%04d", n))
	}
	b.die(t, ids...)
	n := 0
	for range 12 { // six looks at the first 1000, six at the rest
		n += must[int](t)(b.janitor.Recover(t.Context()))
	}
	if n != len(ids) {
		t.Errorf("%d tasks recovered, want %d", n, len(ids))
	}
	if n := b.redis.LLen(t.Context(), keys.Pending).Val(); n != int64(len(ids)) {
		t.Errorf("%d tasks are pending", n)
	}
}

func TestATaskOfALiveWorkerIsNotDeliveredTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "T1")
	var got delivered
	release := make(chan struct{})
	defer b.serve(t, func(ctx context.Context, task *asynq.Task) error {
		_ = got.handle(ctx, task)
		<-release
		return nil
	})()
	defer close(release)
	got.wait(t, 1)
	check(t, b.redis.Del(t.Context(), keys.Lease).Err())
	if found := b.round(t); found != (janitor.Repairs{Leaseless: 1}) {
		t.Fatalf("repaired %+v", found)
	}
	given := must[float64](t)(b.redis.ZScore(t.Context(), keys.Lease, "T1").Result())
	for b.redis.ZScore(t.Context(), keys.Lease, "T1").Val() <= given {
		tick(t, 100*time.Millisecond) // asynq extends leases every 5 s
	}
	if names := got.names(); len(names) != 1 {
		t.Errorf("delivered %v", names)
	}
}

func TestOrphanedIDsAreRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.die(t, "whole", "gone", "hollow")
	check(t, b.redis.Del(t.Context(), keys.TaskPrefix+"gone").Err())
	check(t, b.redis.HDel(t.Context(), keys.TaskPrefix+"hollow", "msg").Err())
	if found := b.round(t); found != (janitor.Repairs{Orphans: 2}) {
		t.Errorf("repaired %+v", found)
	}
	if active := b.redis.LRange(t.Context(), keys.Active, 0, -1).Val(); !slices.Equal(active, []string{"whole"}) {
		t.Errorf("active: %v", active)
	}
	if _, err := b.inspector.GetQueueInfo(queue); err != nil {
		t.Errorf("the queue's state: %v", err)
	}
}

func TestAllChunksOfTheActiveListAreRepaired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for n := range 1300 {
		ids = append(ids, fmt.Sprintf("T%04d", n))
	}
	b.die(t, ids...)
	for n, id := range ids {
		if n%3 == 0 {
			check(t, b.redis.Del(t.Context(), keys.TaskPrefix+id).Err())
		} else {
			check(t, b.redis.ZRem(t.Context(), keys.Lease, id).Err())
		}
	}
	if found := b.round(t); found != (janitor.Repairs{Leaseless: 866, Orphans: 434}) {
		t.Errorf("repaired %+v", found)
	}
}

func TestQueuesAreListedAgainAfterAWipe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.enqueue(t, "before")
	check(t, b.redis.FlushDB(t.Context()).Err())
	b.enqueue(t, "after")
	if _, err := b.inspector.GetQueueInfo(queue); err == nil {
		t.Fatal("asynq no longer has the problem: remove the repair")
	}
	b.round(t)
	if info, err := b.inspector.GetQueueInfo(queue); err != nil || info.Pending != 1 {
		t.Errorf("got %+v, %v", info, err)
	}
}

// delivered collects the ids of the delivered tasks.
type delivered struct {
	ids atomic.Pointer[[]string]
}

func (d *delivered) handle(ctx context.Context, _ *asynq.Task) error {
	id, _ := asynq.GetTaskID(ctx)
	for {
		was := d.ids.Load()
		var next []string
		if was != nil {
			next = slices.Clone(*was)
		}
		next = append(next, id)
		if d.ids.CompareAndSwap(was, &next) {
			return nil
		}
	}
}

func (d *delivered) names() []string {
	if ids := d.ids.Load(); ids != nil {
		return *ids
	}
	return nil
}

func (d *delivered) wait(t *testing.T, n int) {
	t.Helper()
	for range 300 {
		if len(d.names()) >= n {
			return
		}
		tick(t, 100*time.Millisecond)
	}
	t.Fatalf("delivered %v, want %d tasks", d.names(), n)
}

// tick waits between two polls.
func tick(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
