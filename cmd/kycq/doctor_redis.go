package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/access"
	"github.com/kycq/kycq/internal/asynqx"
	"github.com/kycq/kycq/internal/batch"
	"github.com/kycq/kycq/internal/hold"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/tasks"
)

// redisTarget is the Redis that doctor checks.
type redisTarget struct{ client redis.UniversalClient }

func (r redisTarget) Check(ctx context.Context, role access.Role) ([]redisx.Finding, error) {
	return redisx.Check(ctx, r.client, role)
}

func (r redisTarget) Memory(ctx context.Context) (redisx.Memory, error) {
	return redisx.ReadMemory(ctx, r.client)
}

func (r redisTarget) Clock(ctx context.Context) (time.Duration, error) {
	return redisx.Clock(ctx, r.client)
}

func (r redisTarget) Workers(ctx context.Context) ([]redisx.Worker, error) {
	return redisx.Workers(ctx, r.client)
}

func (r redisTarget) Renewed(ctx context.Context) (bool, error) {
	return redisx.Renewed(ctx, r.client)
}

func (r redisTarget) Paused(ctx context.Context) (map[string]string, error) {
	kinds, paused := map[string]string{batch.Queue: ""}, map[string]string{}
	for _, kind := range tasks.Kinds() {
		for _, lane := range tasks.Lanes() {
			kinds[tasks.Queue(kind, lane)] = string(kind)
		}
	}
	for queue, kind := range kinds {
		depth, err := asynqx.ReadDepth(ctx, r.client, queue)
		if err != nil {
			return nil, err
		}
		if depth.Paused {
			paused[queue] = kind
		}
	}
	return paused, nil
}

func (r redisTarget) Holds(ctx context.Context) ([]hold.Hold, error) {
	return hold.NewSet(r.client).Holds(ctx)
}

// queuedSample limits the tasks read of each queue and state.
const queuedSample = 10

// Queued reads some jobs of each queue. asynq's inspector takes no context; the client's timeouts apply.
func (r redisTarget) Queued(context.Context) ([]tasks.JobSpec, error) {
	inspector := asynq.NewInspectorFromRedisClient(r.client)
	var found []tasks.JobSpec
	for _, queue := range tasks.Queues() {
		for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
			inspector.ListPendingTasks, inspector.ListScheduledTasks, inspector.ListRetryTasks,
		} {
			infos, err := list(queue, asynq.PageSize(queuedSample))
			if errors.Is(err, asynq.ErrQueueNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list the queue %s: %w", queue, err)
			}
			for _, info := range infos {
				if payload, err := tasks.DecodePayload(info.Payload); err == nil {
					found = append(found, payload)
				}
			}
		}
	}
	return found, nil
}

// variable returns the value of an environment variable.
func variable(environ []string, name string) string {
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
