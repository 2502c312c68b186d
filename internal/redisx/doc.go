// Package redisx is what kycq keeps in Redis beside asynq's queues and the gate: the open set, the answers that S3 did
// not take, a few counters, the epoch and the leadership of the sweep. It also opens the one client that everything
// shares, and says whether the server behind it is fit for the work.
//
// Redis is a delivery hint, never the truth: losing every key of this package costs time, not a row and not a second
// charge. What is stored here is ids, times, numbers and sealed text; no key and no value holds anything personal.
//
// Kinds and ids are plain strings here: the package is a leaf, and knows no job.
package redisx

// Every key carries a hash tag, so that all keys of a kind stay on one shard wherever Redis shards by it.
func kindKey(kind, name string) string { return "kycq:{" + kind + "}:" + name }

func accountKey(name string) string { return "kycq:{account}:" + name }
