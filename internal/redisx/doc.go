// Package redisx opens kycq's Redis client, checks the server, and stores what kycq keeps in Redis apart from asynq's
// queues, the gate and the progress of batches: kept answers, a few counters and the leader.
//
// Redis is never the source of truth. Losing all keys of this package costs time, but loses no row and causes no second charge. Values
// are ids, times, numbers and sealed text, never personal data.
//
// The package does not depend on tasks: kinds and ids are plain strings.
package redisx

import "fmt"

// The hash tags keep all keys of a kind on one shard.
func kindKey(kind, name string) string { return "kycq:{" + kind + "}:" + name }

func accountKey(name string) string { return "kycq:{account}:" + name }

// wrap adds the operation to an error; nil stays nil.
func wrap(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", operation, err)
}
