package tasks_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

// ledger is a Ledger in memory.
type ledger struct {
	mu      sync.Mutex
	entries map[string]tasks.JobSpec
	state   string
	err     error
	redis   string // name of the Redis that drives it

	installation string
	nameless     error // of Installation
	sealed       bool
}

func (l *ledger) RedisName(context.Context) (string, error) { return l.redis, nil }

func (l *ledger) CheckImage(_ string, img tasks.Image) error {
	if img.Bucket == "refused" {
		return &tasks.InvalidError{Field: "image", Code: "image_place_refused"}
	}
	return nil
}

func (l *ledger) Installation(_ context.Context, sealing bool) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sealed = l.sealed || sealing; l.sealed && !sealing {
		return "", tasks.ErrSealed
	}
	return l.installation, l.nameless
}

func (l *ledger) Accept(_ context.Context, e tasks.JobSpec) (tasks.ExistingJob, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return tasks.ExistingJob{}, l.err
	}
	key := string(e.Kind) + "/" + e.VerificationID
	if had, ok := l.entries[key]; ok {
		return tasks.ExistingJob{State: l.state, Run: had.Run, Fingerprint: had.Fingerprint, Final: l.state == "valid"}, nil
	}
	l.entries[key] = e
	return tasks.ExistingJob{Created: true, State: "queued", Run: e.Run, Fingerprint: e.Fingerprint}, nil
}

type bench struct {
	client    *tasks.Client
	ledger    *ledger
	keyset    *tasks.Keyset
	rdb       *redis.Client
	redis     *miniredis.Miniredis
	inspector *asynq.Inspector
}

func setup(t *testing.T) *bench {
	t.Helper()
	server := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{entries: map[string]tasks.JobSpec{}, state: "queued"}
	client, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Keyset: keyset, Ledger: l})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{client: client, ledger: l, keyset: keyset, rdb: rdb, redis: server, inspector: asynq.NewInspectorFromRedisClient(rdb)}
}

func passportJob(id, number string) tasks.Job {
	return tasks.Job{Kind: tasks.Passport, VerificationID: id, Input: tasks.Input{Passport: &tasks.PassportInput{
		FileNumber: tasks.NewPersonal(number), DOB: tasks.NewPersonal("1990-01-31"), Name: tasks.NewPersonal("Canary Person"),
	}}}
}

func TestEnqueueAcceptsInTheLedgerBeforeRedisHearsOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ledger.err = errors.New("the ledger is down")
	if _, err := b.client.Enqueue(t.Context(), passportJob("A1", "CANARYNUMBER1")); !errors.Is(err, b.ledger.err) {
		t.Fatalf("got %v, want the ledger's error", err)
	}
	if queues, _ := b.inspector.Queues(); len(queues) != 0 {
		t.Errorf("a job that was not accepted is in %v", queues)
	}
}

func TestAnImageInAPlaceThatTheLedgerRefusesIsNotAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := tasks.Job{Kind: tasks.Aadhaar, VerificationID: "A1", Input: tasks.Input{Image: &tasks.Image{Bucket: "refused", Key: "card.png"}}}
	var invalid *tasks.InvalidError
	if _, err := b.client.Enqueue(t.Context(), job); !errors.As(err, &invalid) || invalid.Code != "image_place_refused" {
		t.Errorf("got %v", err)
	}
	if len(b.ledger.entries) != 0 || len(b.redis.Keys()) != 0 {
		t.Errorf("%d records, and in Redis %v", len(b.ledger.entries), b.redis.Keys())
	}
}

func TestEnqueueIsIdempotentAndSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, want := range []tasks.Status{tasks.Enqueued, tasks.AlreadyQueued} {
		r, err := b.client.Enqueue(t.Context(), passportJob("A1", "CANARYNUMBER1"))
		if err != nil || r.Status != want || r.Queue != "passport-live" || r.Run != 1 || r.TaskID != "A1" {
			t.Fatalf("enqueue %d: %+v, %v", i, r, err)
		}
	}
	if dump := b.redis.Dump(); strings.Contains(strings.ToUpper(dump), "CANARY") {
		t.Error("the payload in Redis is readable")
	}
	info, err := b.inspector.GetTaskInfo("passport-live", "A1")
	if err != nil {
		t.Fatal(err)
	}
	if info.MaxRetry < 1<<20 || info.Timeout.Hours() != 1 || info.Retention.Hours() != 24 {
		t.Errorf("options: %+v", info)
	}
}

func TestTheSameIDWithAnotherInputIsAnErrorAndNotAnotherJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.client.Enqueue(t.Context(), passportJob("A1", "SPECIMEN1")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Enqueue(t.Context(), passportJob("A1", "SPECIMEN2")); !errors.Is(err, tasks.ErrDifferentInput) {
		t.Errorf("got %v, want ErrDifferentInput", err)
	}
}

func TestAFinishedJobIsReportedAndNotEnqueued(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.client.Enqueue(t.Context(), passportJob("A1", "SPECIMEN1")); err != nil {
		t.Fatal(err)
	}
	b.redis.FlushAll()
	b.ledger.state = "valid"
	r, err := b.client.Enqueue(t.Context(), passportJob("A1", "SPECIMEN1"))
	if err != nil || r.Status != tasks.AlreadyDone || r.Outcome != "valid" {
		t.Fatalf("%+v, %v", r, err)
	}
	if keys := b.redis.Keys(); len(keys) != 0 {
		t.Errorf("Redis holds %v for a job that is done", keys)
	}
}

func TestAnEndedTaskDoesNotBlockAJobThatIsNotDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, end := range []func() error{
		func() error { return b.inspector.ArchiveTask("passport-live", "A1") },
		func() error { b.redis.FlushAll(); return nil },
	} {
		if _, err := b.client.Enqueue(t.Context(), passportJob("A1", "SPECIMEN1")); err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		r, err := b.client.Enqueue(t.Context(), passportJob("A1", "SPECIMEN1"))
		if err != nil || r.Status != tasks.Enqueued {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

// Without a ledger, the same id with another input would be taken for the job that is queued already.
func TestAClientNeedsALedger(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = rdb.Close() })
	if _, err := tasks.NewClient(tasks.ClientConfig{Redis: rdb, Keyset: seal.Insecure()}); err == nil {
		t.Error("a client without a ledger was built")
	}
}

func TestATaskThatRedisHasHalfLostIsReplaced(t *testing.T) {
	t.Parallel()
	for what, lose := range map[string]func(b *bench){
		"its place in the queue": func(b *bench) { b.redis.Del("asynq:{passport-live}:pending") },
		"its message":            func(b *bench) { b.redis.HDel("asynq:{passport-live}:t:A1", "msg") },
		"its lease and its place": func(b *bench) { // as when asynq gives back a task whose lease entry is gone
			b.redis.HSet("asynq:{passport-live}:t:A1", "state", "active")
			b.redis.Del("asynq:{passport-live}:pending")
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for n, want := range []tasks.Status{tasks.Enqueued, tasks.AlreadyQueued, tasks.Enqueued, tasks.AlreadyQueued} {
				if n == 2 {
					lose(b)
				}
				receipt, err := b.client.Enqueue(t.Context(), passportJob("A1", "CANARYNUMBER1"))
				if err != nil || receipt.Status != want {
					t.Fatalf("enqueue %d: %s, %v, want %s", n, receipt.Status, err, want)
				}
			}
			if info, err := b.inspector.GetQueueInfo("passport-live"); err != nil || info.Pending != 1 {
				t.Errorf("got %+v, %v", info, err)
			}
		})
	}
}

// An app with the URL of another installation's Redis must not hand its jobs to that fleet.
func TestAJobForAnotherInstallationsRedisIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ inRedis, recorded string }{
		"other buckets":            {"theirs", "ours"},
		"buckets without a worker": {"theirs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.redis.Set("kycq:{gate}:installation", c.inRedis); err != nil {
				t.Fatal(err)
			}
			b.ledger.redis = c.recorded
			_, err := b.client.Enqueue(t.Context(), passportJob("A1", "X1"))
			if !errors.Is(err, tasks.ErrOtherInstallation) || len(b.ledger.entries) != 0 {
				t.Errorf("got %v, and %d records", err, len(b.ledger.entries))
			}
			b.ledger.redis = c.inRedis
			if _, err := b.client.Enqueue(t.Context(), passportJob("A1", "X1")); err != nil {
				t.Errorf("with its own Redis: %v", err)
			}
		})
	}
}
