package hold

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// unstoredKey is the set of the jobs of a kind that have a paid answer, and whose last try to fetch or store it failed.
func unstoredKey(kind string) string { return "kycq:{gate}:unstored:" + kind }

// Denied is the code of a hold that one job raises: S3 has denied the write of its paid answer.
const Denied = "storage_denied"

// unstoredScript adds a job to the set, or removes it, and raises or lifts the hold. The hold exists while the set is full; one
// with the code Denied exists until the answer of a job in the set is stored, or the set is empty.
// KEYS[1] the hash of holds, KEYS[2] the set; ARGV[1] the job, ARGV[2] the field of the hold, ARGV[3] how many jobs fill the
// set, ARGV[4] the hold, or empty to remove the job, ARGV[5] the code Denied. It returns 1 if the hold was raised or lifted.
var unstoredScript = redis.NewScript(`
local changed = redis.call(ARGV[4] == '' and 'SREM' or 'SADD', KEYS[2], ARGV[1])
local value = redis.call('HGET', KEYS[1], ARGV[2])
local h = cjson.decode(value or (ARGV[4] ~= '' and ARGV[4]) or '{}')
local full = tonumber(ARGV[3])
if h.code == ARGV[5] and (ARGV[4] ~= '' or changed == 0) then full = 1 end
if redis.call('SCARD', KEYS[2]) < full then return redis.call('HDEL', KEYS[1], ARGV[2]) end
if ARGV[4] == '' then return 0 end
h.probing, h.token, h.token_until = nil, nil, nil
redis.call('HSET', KEYS[1], ARGV[2], cjson.encode(h))
return value and 0 or 1
`)

// AddUnstored notes that the answer to h.Job, of h.Kind, was not stored. From limit such jobs on, or at once if its code is
// Denied, h stops all calls of the kind; raised is true for the one caller that raised it.
func (s *Set) AddUnstored(ctx context.Context, h Hold, limit int) (raised bool, err error) {
	if err := s.stamp(ctx, &h); err != nil {
		return false, err
	}
	return s.unstored(ctx, h, string(h.value()), limit)
}

// DropUnstored ends that for h.Job. The hold ends when fewer than limit jobs are left; lifted is true for the caller that
// lifted it.
func (s *Set) DropUnstored(ctx context.Context, h Hold, limit int) (lifted bool, err error) {
	return s.unstored(ctx, h, "", limit)
}

func (s *Set) unstored(ctx context.Context, h Hold, value string, limit int) (changed bool, err error) {
	n, err := unstoredScript.Run(ctx, s.redis, []string{Key, unstoredKey(h.Kind)}, h.Job, h.field(), limit, value, Denied).Int()
	if err != nil {
		return false, fmt.Errorf("count the answers that are not stored: %w", err)
	}
	return n == 1, nil
}

// Unstored lists the jobs of a kind whose answers were not stored.
func (s *Set) Unstored(ctx context.Context, kind string) ([]string, error) {
	jobs, err := s.redis.SMembers(ctx, unstoredKey(kind)).Result()
	if err != nil {
		return nil, fmt.Errorf("list the answers that are not stored: %w", err)
	}
	return jobs, nil
}
