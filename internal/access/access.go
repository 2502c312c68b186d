// Package access lists what each role may do in the buckets and in Redis: no more than its work needs. The policies under
// deploy/ are made from these tables; a starting worker and doctor try each permission. It imports nothing of kycq.
package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Role is a part of an installation with credentials of its own.
type Role string

// The roles. A producer submits jobs and batches. An operator runs all other commands. The dashboard is read-only: with
// --operate it needs the operator's Redis user.
const (
	Worker    Role = "worker"
	Producer  Role = "producer"
	Operator  Role = "operator"
	Dashboard Role = "dashboard"
	Serve     Role = "serve"
)

// Roles lists all roles.
func Roles() []Role { return []Role{Worker, Producer, Operator, Dashboard, Serve} }

// The buckets of an installation.
const (
	Inbox   = "inbox"
	Masked  = "masked"
	Records = "records"
)

// Permission is an S3 action on a bucket, or on objects in it.
type Permission struct {
	Bucket string // Inbox, Masked or Records
	Action string // without "s3:"
	// Key is the prefix of the keys if it ends with a slash, all keys if it is empty, else one key. Actions on the bucket have
	// none.
	Key string
}

// OnBucket reports whether the action is one on the bucket, not on objects.
func (p Permission) OnBucket() bool {
	return strings.Contains(p.Action, "Bucket") || strings.HasSuffix(p.Action, "Configuration")
}

// Optional reports whether kycq works without the permission, with less than it promises otherwise.
func (p Permission) Optional() bool {
	switch p.Action {
	case "ListBucket", "GetObject", "PutObject", "DeleteObject":
		return false
	}
	return true
}

func (p Permission) pattern() string {
	if p.Key == "" || strings.HasSuffix(p.Key, "/") {
		return p.Key + "*"
	}
	return p.Key
}

func (p Permission) String() string {
	if p.OnBucket() {
		return "s3:" + p.Action
	}
	return "s3:" + p.Action + " on " + p.pattern()
}

// grant allows each action on each key. Both are lists, separated by spaces; * is all keys.
type grant struct{ bucket, actions, keys string }

const (
	// At AWS, GetBucketP* is GetBucketPolicy and GetBucketPublicAccessBlock; MinIO refuses policies with the latter.
	look  = "ListBucket GetBucketLocation ListBucketVersions GetBucketVersioning GetLifecycleConfiguration GetBucketObjectLockConfiguration GetEncryptionConfiguration GetBucketP*"
	purge = "DeleteObject DeleteObjectVersion" // MinIO asks for the first to delete a version
	locks = "GetObjectVersion GetObjectRetention GetObjectLegalHold"
)

// s3 has no role that may delete audit events.
var s3 = map[Role][]grant{
	Worker: {
		{Inbox, look, ""},
		{Inbox, "GetObject PutObject PutObjectTagging " + purge, "*"},
		{Masked, look, ""},
		{Masked, "PutObject " + purge, "masked/ probe/"},
		{Masked, "GetObject", "probe/"},
		{Records, look, ""},
		{Records, "GetObject PutObject", "records/ open/ batches/ audit/ probe/ installation.json identity.json holds.json"},
		{Records, "GetObject", "legal-holds/ webhooks.json"},
		{Records, "PutObject", "owed/"},
		{Records, purge, "records/ open/ batches/ probe/"},
		{Records, "AbortMultipartUpload", "batches/ probe/"},
	},
	Producer: {
		{Inbox, "ListBucket GetBucketLocation", ""},
		{Inbox, "PutObject PutObjectTagging", "*"},
		{Inbox, "GetObject DeleteObject", "single/"},
		{Masked, "GetBucketLocation", ""},
		{Records, "ListBucket GetBucketLocation", ""},
		{Records, "GetObject PutObject", "records/ open/ batches/ audit/ identity.json"},
		{Records, "GetObject", "installation.json"},
	},
	Operator: {
		{Inbox, look, ""},
		{Inbox, "GetObject PutObject PutObjectTagging " + purge + " " + locks, "*"},
		{Masked, look, ""},
		{Masked, "GetObject PutObject " + purge + " " + locks, "masked/ probe/"},
		{Records, look, ""},
		{Records, "GetObject PutObject", "records/ open/ batches/ audit/ legal-holds/ probe/ installation.json identity.json holds.json"},
		{Records, "DeleteObject", "legal-holds/"},
		{Records, "GetObject", "webhooks.json"},
		{Records, "PutObject", "owed/"},
		{Records, purge + " " + locks, "records/ open/ batches/ probe/"},
		{Records, "AbortMultipartUpload", "batches/ probe/"},
	},
	Dashboard: {
		{Records, "ListBucket", ""},
		{Records, "GetObject PutObject", "audit/"},
	},
	Serve: {
		{Inbox, "ListBucket GetBucketLocation", ""},
		{Inbox, "PutObject PutObjectTagging", "*"},
		{Inbox, "GetObject DeleteObject", "single/ quarantine/"},
		{Masked, "ListBucket GetBucketLocation", ""},
		{Masked, "GetObject PutObject DeleteObject", "masked/"},
		{Records, "ListBucket GetBucketLocation", ""},
		{Records, "GetObject PutObject", "records/ open/ batches/ audit/ owed/ identity.json holds.json webhooks.json"},
		{Records, "GetObject", "installation.json"},
		{Records, "DeleteObject", "open/ owed/"},
	},
}

// S3 lists the permissions of a role in the buckets.
func S3(role Role) []Permission {
	var all []Permission
	for _, g := range s3[role] {
		for action := range strings.FieldsSeq(g.actions) {
			p := Permission{Bucket: g.bucket, Action: action}
			if p.OnBucket() {
				all = append(all, p)
				continue
			}
			for key := range strings.FieldsSeq(g.keys) {
				p.Key = strings.TrimSuffix(key, "*")
				all = append(all, p)
			}
		}
	}
	return all
}

// Policy returns permissions as an IAM policy. names are the names of the buckets.
func Policy(permissions []Permission, names map[string]string) []byte {
	type statement struct {
		Effect   string
		Action   []string
		Resource []string
	}
	var statements []*statement
	for _, p := range permissions { // statements of equal resources become one, then those of equal actions
		resource := "arn:aws:s3:::" + names[p.Bucket]
		if !p.OnBucket() {
			resource += "/" + p.pattern()
		}
		i := slices.IndexFunc(statements, func(s *statement) bool { return s.Resource[0] == resource })
		if i < 0 {
			i = len(statements)
			statements = append(statements, &statement{Effect: "Allow", Resource: []string{resource}})
		}
		statements[i].Action = append(statements[i].Action, "s3:"+p.Action)
	}
	var merged []*statement
	for _, s := range statements {
		if i := slices.IndexFunc(merged, func(m *statement) bool { return slices.Equal(m.Action, s.Action) }); i >= 0 {
			merged[i].Resource = append(merged[i].Resource, s.Resource...)
			continue
		}
		merged = append(merged, s)
	}
	text, err := json.MarshalIndent(map[string]any{"Version": "2012-10-17", "Statement": merged}, "", "  ")
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return append(text, '\n')
}

// Redis is what the Redis user of a role may do.
type Redis struct {
	Commands []string // a subcommand follows its command after |
	Keys     []string // patterns
	ReadKeys []string // patterns of keys that it only reads
	Channels []string // patterns
	// Selector allows commands on further keys (Redis 7); empty: none.
	Selector string
}

const (
	reading = "bitcount discard exists get getbit getrange hexists hget hgetall hmget hvals info lindex llen lpos lrange memory|usage multi ping " +
		"scard select sismember smembers srandmember time ttl zcard zrange zrangebyscore zrevrange zscore eval evalsha"
	writing = "del exec expire expireat hdel hincrby hset hsetnx incr lpush lrem persist publish rpoplpush rpush sadd set setbit " +
		"setex setnx setrange srem subscribe unsubscribe unwatch watch zadd zincrby zrem zremrangebyrank zremrangebyscore"
)

// RedisOf returns the permissions of a role in Redis. Scripts need write access to the keys that they read.
func RedisOf(role Role) Redis {
	r := Redis{Commands: strings.Fields(reading + " " + writing), Keys: []string{"kycq:*", "asynq:*"}, Channels: []string{"asynq:*"}}
	switch role {
	case Producer: // not the holds and rates, which are below kycq:{gate}
		r.Keys = []string{"asynq:*", "kycq:{*-*}:*", "kycq:{*}:feeding"}
		r.ReadKeys = []string{"kycq:{gate}:*", "kycq:{account}:*"}
	case Dashboard:
		r = Redis{Commands: strings.Fields(reading), Keys: []string{"asynq:*"}}
		// Listing servers removes those that have expired.
		r.Selector = "(+zremrangebyscore ~asynq:servers ~asynq:workers ~asynq:schedulers)"
	case Worker, Operator, Serve:
	}
	slices.Sort(r.Commands)
	return r
}

// ACL returns the line of an ACL file of Redis 7 for a user; password is a rule such as >text or #hash.
func (r Redis) ACL(user, password string) string {
	words := []string{"user", user, "on", password, "resetkeys", "resetchannels", "-@all"}
	for _, list := range []struct {
		form  string
		parts []string
	}{{"~%s", r.Keys}, {"%%R~%s", r.ReadKeys}, {"&%s", r.Channels}, {"+%s", r.Commands}} {
		for _, part := range list.parts {
			words = append(words, fmt.Sprintf(list.form, part))
		}
	}
	if r.Selector != "" {
		words = append(words, r.Selector)
	}
	return strings.Join(words, " ")
}
