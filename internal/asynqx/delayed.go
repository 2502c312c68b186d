package asynqx

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Delayed is a task that a worker has returned to its queue, to be delivered again at Next.
type Delayed struct {
	Payload []byte
	// The task's last error is the worker's decision and a code: "later: key_missing".
	Decision, Code string
	Since, Next    time.Time
}

// ReadDelayed lists at most limit delayed tasks of a queue, the next due first.
func ReadDelayed(client redis.UniversalClient, queue string, limit int) ([]Delayed, error) {
	infos, err := asynq.NewInspectorFromRedisClient(client).ListRetryTasks(queue, asynq.PageSize(limit))
	if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
		return nil, fmt.Errorf("list the delayed tasks of queue %s: %w", queue, err)
	}
	list := make([]Delayed, len(infos))
	for i, info := range infos {
		list[i] = delayed(info)
	}
	return list, nil
}

// RunDelayed delivers those of the first limit delayed tasks of a queue that run accepts at once. Errors are ignored: the tasks are
// delivered when they are due.
func RunDelayed(client redis.UniversalClient, queue string, limit int, run func(Delayed) bool) {
	inspector := asynq.NewInspectorFromRedisClient(client)
	infos, _ := inspector.ListRetryTasks(queue, asynq.PageSize(limit))
	for _, info := range infos {
		if run(delayed(info)) {
			_ = inspector.RunTask(queue, info.ID)
		}
	}
}

// ReadTask reads one task. It is nil if the task does not exist or is not delayed.
func ReadTask(client redis.UniversalClient, queue, id string) (*Delayed, error) {
	info, err := asynq.NewInspectorFromRedisClient(client).GetTaskInfo(queue, id)
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound), errors.Is(err, asynq.ErrTaskNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read task %s of queue %s: %w", id, queue, err)
	case info.State != asynq.TaskStateRetry:
		return nil, nil
	}
	d := delayed(info)
	return &d, nil
}

func delayed(info *asynq.TaskInfo) Delayed {
	decision, code, _ := strings.Cut(info.LastErr, ": ")
	return Delayed{Payload: info.Payload, Decision: decision, Code: code, Since: info.LastFailedAt.UTC(), Next: info.NextProcessAt.UTC()}
}
