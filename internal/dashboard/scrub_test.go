package dashboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/tasks"
)

const canary = "Specimen Canary Person"

// TestNoAnswerHoldsTheCanary writes a name to every place in Redis that asynqmon reads: sealed and unsealed payloads of
// kycq; payloads, results, types and errors of foreign tasks, in every state.
func TestNoAnswerHoldsTheCanary(t *testing.T) {
	t.Parallel()
	s := open(t)
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	queue := "passport-bulk"
	running := fillQueue(t, s, queue, keyset)
	defer close(running)
	for _, q := range []string{queue, "foreign"} {
		for _, path := range apiPaths(q, "archived-1") {
			if path == "/asynqmon/api/queues/"+q+"/groups" {
				continue
			}
			if answer := s.ask("GET", path+"?size=100").Body.String(); contains(answer, canary, "SPECIMEN00001", "1990-01-31", base64Canary) {
				t.Errorf("%s: %s", path, answer)
			}
		}
	}
	for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
		var answer struct {
			Tasks []struct{ Payload, Type string }
		}
		if err := json.Unmarshal([]byte(s.get("/asynqmon/api/queues/"+queue+"/"+state+"_tasks?size=100")), &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer.Tasks) == 0 {
			t.Errorf("no task in state %s", state)
		}
	}
}

// base64Canary is the canary in the form that an insecure keyset writes.
const base64Canary = "U3BlY2ltZW4gQ2FuYXJ5IFBlcnNvb"

// fillQueue fills a queue with tasks in every state. The active one runs until the channel is closed.
func fillQueue(t *testing.T, s *site, queue string, keyset *seal.Keyset) chan struct{} {
	t.Helper()
	client := asynq.NewClientFromRedisClient(s.redis)
	put := func(id string, task *asynq.Task, opts ...asynq.Option) {
		if _, err := client.Enqueue(task, append([]asynq.Option{asynq.Queue(queue), asynq.TaskID(id)}, opts...)...); err != nil {
			t.Fatal(err)
		}
	}
	personal := fmt.Appendf(nil, `{"name":%q,"dob":"1990-01-31","kind":"passport","version":1}`, canary)
	kinds := map[string]*asynq.Task{
		"sealed":   passportTask(t, keyset, "sealed", canary),
		"unsealed": passportTask(t, seal.Insecure(), "unsealed", canary),
		"foreign":  asynq.NewTask(canary, personal),
		"mimicry":  asynq.NewTask(tasks.TypeName(tasks.Passport), personal),
	}
	for name, task := range kinds {
		put("archived-"+name, task)
		put("retry-"+name, task, asynq.MaxRetry(5))
		put("completed-"+name, task, asynq.Retention(time.Hour))
		put("scheduled-"+name, task, asynq.ProcessIn(time.Hour))
	}
	put("active", kinds["unsealed"], asynq.MaxRetry(5))
	put("archived-1", kinds["foreign"])

	running, done := make(chan struct{}), make(chan struct{}, 100)
	srv := asynq.NewServerFromRedisClient(s.redis, asynq.Config{
		Queues: map[string]int{queue: 1}, Concurrency: 20, LogLevel: asynq.FatalLevel, TaskCheckInterval: 100 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	err := srv.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		if id == "active" {
			done <- struct{}{}
			<-running
			return nil
		}
		defer func() { done <- struct{}{} }()
		_, _ = task.ResultWriter().Write([]byte(canary))
		switch state, _, _ := strings.Cut(id, "-"); state {
		case "archived":
			return fmt.Errorf("%s was born 1990-01-31: %w", canary, asynq.SkipRetry)
		case "retry":
			return errors.New("insert into people values ('" + canary + "')")
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	for range 3*len(kinds) + 2 {
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the tasks are not processed")
		}
	}
	waitForResults(t, s, queue)
	srv.Stop()
	for name, task := range kinds {
		put("pending-"+name, task)
	}
	return running
}

// waitForResults waits until asynq has written the results of the tasks.
func waitForResults(t *testing.T, s *site, queue string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if s.redis.LLen(t.Context(), "asynq:{"+queue+"}:active").Val() == 1 {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal("the results are not written")
}

func TestPayloadsOfKycqAreDescribed(t *testing.T) {
	t.Parallel()
	s := open(t)
	keyset, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	client := asynq.NewClientFromRedisClient(s.redis)
	if _, err := client.Enqueue(passportTask(t, keyset, "ABC-123", canary), asynq.Queue("passport-bulk"), asynq.TaskID("A")); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("passport ABC-123 (batch backfill-1f00c3aa, line 7, key %d)", keyset.Info()[0].ID)
	if answer := s.get("/asynqmon/api/queues/passport-bulk/tasks/A"); !strings.Contains(answer, want) {
		t.Errorf("%s lacks %q", answer, want)
	}
}

func TestErrorsOfKycqAreShown(t *testing.T) {
	t.Parallel()
	s := open(t)
	client := asynq.NewClientFromRedisClient(s.redis)
	texts := map[string]bool{
		"retry: provider_error": true, "later: held": true, "asynq: task lease expired": true, "later: interrupted": true,
		"retry: j8369854": false, "later: held by " + canary: false, canary: false,
	}
	n := 0
	for text := range texts {
		n++
		id := fmt.Sprintf("T%d", n)
		info, err := client.Enqueue(passportTask(t, seal.Insecure(), id, "n"), asynq.Queue("passport-bulk"), asynq.TaskID(id))
		if err != nil {
			t.Fatal(err)
		}
		fail(t, s, info.ID, text)
		answer := s.get("/asynqmon/api/queues/passport-bulk/tasks/" + id)
		if shown := strings.Contains(answer, `"error_message":"`+text+`"`); shown != texts[text] {
			t.Errorf("%q is shown: %t", text, shown)
		}
	}
}

// fail writes an error into a task as asynq does.
func fail(t *testing.T, s *site, id, text string) {
	t.Helper()
	srv := asynq.NewServerFromRedisClient(s.redis, asynq.Config{
		Queues: map[string]int{"passport-bulk": 1}, Concurrency: 1, LogLevel: asynq.FatalLevel, TaskCheckInterval: 50 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	failed := make(chan struct{}, 1)
	err := srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		failed <- struct{}{}
		return errors.New(text)
	}))
	if err != nil {
		t.Fatal(err)
	}
	<-failed
	srv.Shutdown()
	if s.redis.ZScore(t.Context(), "asynq:{passport-bulk}:retry", id).Err() != nil {
		t.Fatalf("%s is not in retry", id)
	}
}
