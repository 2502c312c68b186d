package worker_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
	"github.com/kycq/kycq/worker"
)

// A Redis that comes back older, as from a snapshot or a replica that lagged, has forgotten tasks and remembers others in a
// state that drives nothing. One round of the leader brings every accepted job back.
func TestOneRoundBringsBackWhatAnOlderRedisForgot(t *testing.T) {
	t.Parallel()
	testenv.Redis(t) // miniredis has no DUMP
	client, store, keyset := testenv.RedisClient(t), storagetest.New(t), seal.Insecure()
	producer, err := tasks.NewClient(tasks.ClientConfig{Redis: client, Ledger: store, Keyset: keyset})
	if err != nil {
		t.Fatal(err)
	}
	accept := func(id string) {
		t.Helper()
		_, err := producer.Enqueue(t.Context(), tasks.Job{Kind: tasks.Passport, VerificationID: id, Lane: tasks.Bulk, Input: tasks.Input{
			Passport: &tasks.PassportInput{FileNumber: tasks.NewPersonal("SPECIMEN00001"), DOB: tasks.NewPersonal("1990-01-31")},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	queue, inspector := tasks.Queue(tasks.Passport, tasks.Bulk), asynq.NewInspectorFromRedisClient(client)
	for i := range 4 {
		accept(fmt.Sprintf("BEFORE-%d", i))
	}
	if err := inspector.ArchiveTask(queue, "BEFORE-0"); err != nil {
		t.Fatal(err)
	}
	delay(t, client, queue, "BEFORE-1", 365*24*time.Hour) // by a worker whose clock was wrong
	delay(t, client, queue, "BEFORE-2", 10*time.Minute)
	older := dump(t, client)
	for i := range 5 {
		accept(fmt.Sprintf("AFTER-%d", i))
	}
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for key, text := range older {
		if err := client.RestoreReplace(t.Context(), key, 0, text).Err(); err != nil {
			t.Fatal(err)
		}
	}

	var counted worker.Counted
	sweeper := &worker.Sweeper{
		Ledger: store, Tasks: producer, Leader: redisx.NewLeader(client, "sweep", time.Minute), Log: zerolog.Nop(),
		Counted: func(_ context.Context, n worker.Counted) error { counted = n; return nil },
	}
	if err := sweeper.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if counted.Missing != 7 || counted.Open[tasks.Passport] != 9 {
		t.Errorf("%+v, want 7 missing of 9", counted)
	}
	pending, err := inspector.ListPendingTasks(queue)
	if err != nil || len(pending) != 8 {
		t.Errorf("%d tasks are pending, %v, want all but the one in backoff", len(pending), err)
	}
}

// dump returns all keys.
func dump(t *testing.T, client *redis.Client) map[string]string {
	t.Helper()
	keys := map[string]string{}
	for _, key := range client.Keys(t.Context(), "*").Val() {
		text, err := client.Dump(t.Context(), key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		keys[key] = text
	}
	return keys
}

// delay moves a pending task to the retries, as a worker does.
func delay(t *testing.T, client *redis.Client, queue, id string, after time.Duration) {
	t.Helper()
	prefix := "asynq:{" + queue + "}:"
	pipe := client.TxPipeline()
	pipe.LRem(t.Context(), prefix+"pending", 0, id)
	pipe.ZAdd(t.Context(), prefix+"retry", redis.Z{Member: id, Score: float64(time.Now().Add(after).Unix())})
	pipe.HSet(t.Context(), prefix+"t:"+id, "state", "retry")
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var finalRecords = flag.Int("round.final", 0, "how many final records BenchmarkRound has besides the open ones")

// BenchmarkRound measures a round of the leader over open jobs of which none lacks its task, and one after Redis was emptied.
// Final records have no markers.
func BenchmarkRound(b *testing.B) {
	const open = 10_000
	client, store := testenv.RedisClient(b), storagetest.New(b)
	producer, err := tasks.NewClient(tasks.ClientConfig{Redis: client, Ledger: store, Keyset: seal.Insecure()})
	if err != nil {
		b.Fatal(err)
	}
	jobs := make(chan int, open+*finalRecords)
	for i := range open + *finalRecords {
		jobs <- i
	}
	close(jobs)
	done := make(chan error)
	for range 16 {
		go func() {
			var err error
			for i := range jobs {
				job := tasks.JobSpec{
					Kind: tasks.Passport, Lane: tasks.Bulk, VerificationID: fmt.Sprintf("OPEN-%06d", i), Run: 1, SealedInput: "kq1.1.aW4", Fingerprint: "f",
				}
				if i >= open {
					rec := storage.NewRecord(job)
					rec.State = storage.StateValid
					if _, createErr := store.CreateRecord(b.Context(), rec); createErr != nil {
						err = createErr
					}
					continue
				}
				if _, acceptErr := store.Accept(b.Context(), job); acceptErr != nil {
					err = acceptErr
				}
				if _, pushErr := producer.Push(b.Context(), job); pushErr != nil {
					err = pushErr
				}
			}
			done <- err
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	if err := store.SetMarkersComplete(b.Context()); err != nil {
		b.Fatal(err)
	}
	round := func(b *testing.B) {
		b.Helper()
		s := &worker.Sweeper{Ledger: store, Tasks: producer, Leader: redisx.NewLeader(client, "sweep", time.Minute), Log: zerolog.Nop()}
		defer func() { _ = s.Leader.Resign(b.Context()) }()
		if err := s.Once(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("nothing-missing", func(b *testing.B) {
		for b.Loop() {
			round(b)
		}
	})
	b.Run("all-missing", func(b *testing.B) {
		for b.Loop() {
			if err := client.FlushDB(b.Context()).Err(); err != nil {
				b.Fatal(err)
			}
			round(b)
		}
	})
}
