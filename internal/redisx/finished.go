package redisx

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/sleep"
)

// finishedChannel has a message kind/id for each job that became final. Messages may be lost: a request that waits for a job also
// reads its record. The name begins like those of asynq's channels, so that Redis users need no further permission.
const finishedChannel = "asynq:kycq:finished"

const resubscribePause = 5 * time.Second

// WatchFinished calls finished for each job that becomes final, until ctx ends. While Redis cannot be reached, or refuses the
// channel, it tries again every 5 seconds.
func WatchFinished(ctx context.Context, client redis.UniversalClient, finished func(kind, id string)) {
	for {
		sub := client.Subscribe(ctx, finishedChannel)
		stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // a read does not end with its context
		for {
			m, err := sub.ReceiveMessage(ctx)
			if err != nil {
				break
			}
			if kind, id, ok := strings.Cut(m.Payload, "/"); ok {
				finished(kind, id)
			}
		}
		stop()
		_ = sub.Close()
		if sleep.For(ctx, resubscribePause) != nil {
			return
		}
	}
}

// Unreachable reports whether err is a network error of the client, or one of a server that cannot answer now. (It does not
// use net.Error, which every system error implements, even that of a missing file.)
func Unreachable(err error) bool {
	if err == nil {
		return false
	}
	var network *net.OpError
	var name *net.DNSError
	return errors.As(err, &network) && network.Op != "listen" || errors.As(err, &name) || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, redis.ErrPoolTimeout) ||
		redis.IsLoadingError(err) || redis.IsMasterDownError(err) || strings.Contains(err.Error(), "redis eval error") // asynq keeps only the text
}
