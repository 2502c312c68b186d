package dashboard

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ghosts is a hook that keeps the page alive where the key of a task is missing (deleted by hand, or evicted). asynq adds
// up the memory of a queue's tasks in a script that cannot add a key that is not there, and answers every question about
// the queue with that error; the list of all queues fails with the one. With this the queue shows no memory, and the rest
// is right.
type ghosts struct{}

// ghostError is the part of Redis' message about that script that no other script of asynq's can cause.
const ghostError = "attempt to perform arithmetic on local 'bytes'"

// DialHook implements redis.Hook.
func (ghosts) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (ghosts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (ghosts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		script, isScript := cmd.(*redis.Cmd)
		var answer redis.Error
		if !isScript || !errors.As(err, &answer) || !strings.Contains(answer.Error(), ghostError) {
			return err
		}
		script.SetErr(nil)
		script.SetVal(int64(0))
		return nil
	}
}
