package dashboard

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// missingTasks is a client hook that tolerates a missing task key (deleted by hand, or evicted). asynq adds up the memory
// of a queue's tasks in a script that fails on a missing key, and with it every request about the queue and the list of
// all queues. The hook replaces that error by 0: the queue shows no memory, everything else is correct.
type missingTasks struct{}

// missingTaskError is part of the error message of that script. No other script of asynq can cause it.
const missingTaskError = "attempt to perform arithmetic on local 'bytes'"

// DialHook implements redis.Hook.
func (missingTasks) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (missingTasks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (missingTasks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		script, isScript := cmd.(*redis.Cmd)
		var answer redis.Error
		if !isScript || !errors.As(err, &answer) || !strings.Contains(answer.Error(), missingTaskError) {
			return err
		}
		script.SetErr(nil)
		script.SetVal(int64(0))
		return nil
	}
}
