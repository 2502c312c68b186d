package redisx

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/access"
)

// arguments complete the commands of package access. K is a key, C a channel.
var arguments = map[string]string{
	"bitcount": "K", "del": "K", "eval": "x 0", "evalsha": "x 0", "exists": "K", "expire": "K 1", "expireat": "K 1", "get": "K",
	"getbit": "K 0", "getrange": "K 0 0", "hdel": "K f", "hexists": "K f", "hget": "K f", "hgetall": "K", "hincrby": "K f 1",
	"hmget": "K f", "hset": "K f v", "hsetnx": "K f v", "hvals": "K", "incr": "K", "info": "server", "lindex": "K 0", "llen": "K",
	"lpos": "K v", "lpush": "K v", "lrange": "K 0 0", "lrem": "K 0 v", "memory|usage": "K", "persist": "K", "ping": "",
	"publish": "C x", "rpoplpush": "K K", "rpush": "K v", "sadd": "K v", "scard": "K", "select": "0", "set": "K v", "setbit": "K 0 1",
	"setex": "K 1 v", "setnx": "K v", "setrange": "K 0 v", "sismember": "K v", "smembers": "K", "srandmember": "K", "srem": "K v",
	"subscribe": "C", "time": "", "ttl": "K", "unsubscribe": "C", "unwatch": "", "zadd": "K 1 v", "zcard": "K", "zincrby": "K 1 v", "zrange": "K 0 0",
	"zrangebyscore": "K 0 0", "zrem": "K v", "zremrangebyrank": "K 0 0", "zremrangebyscore": "K 0 0", "zrevrange": "K 0 0", "zscore": "K v",
}

// noPermission is in each refusal; that of EXEC does not begin with NOPERM.
var noPermission = regexp.MustCompile(`(?i)no permissions? to`)

// checkPermissions returns a finding if the user lacks permissions of the role. It queues each command in a transaction, for
// which Redis checks the permissions, and closes the connection: no command is run.
func checkPermissions(ctx context.Context, client redis.UniversalClient, role access.Role) ([]Finding, error) {
	shared, ok := client.(*redis.Client)
	if !ok {
		return nil, nil
	}
	options := *shared.Options()
	options.PoolSize, options.MinIdleConns = 1, 0
	own := redis.NewClient(&options)
	defer func() { _ = own.Close() }()
	var lacking []string
	err := own.Watch(ctx, func(tx *redis.Tx) (err error) {
		lacking, err = tryPermissions(ctx, tx, access.RedisOf(role))
		return err
	})
	var refused redis.Error
	switch f, known := Explain(err); {
	case errors.As(err, &refused) && !(known && f.Credentials()):
		return nil, nil // no transactions
	case err != nil:
		return nil, fmt.Errorf("check the permissions of the redis user: %w", err)
	case len(lacking) == 0:
		return nil, nil
	}
	list := strings.Join(lacking, " ")
	return []Finding{{
		Code: "permissions", Refuse: true, Message: fmt.Sprintf("the redis user lacks %s, which a %s needs", list, role),
		Fix: "ACL SETUSER name " + list + " (deploy/redis/users.acl has users for all roles)",
	}}, nil
}

func tryPermissions(ctx context.Context, tx *redis.Tx, want access.Redis) (lacking []string, err error) {
	send := func(words string) error {
		var args []any
		for word := range strings.FieldsSeq(words) {
			args = append(args, word)
		}
		return tx.Process(ctx, redis.NewCmd(ctx, args...))
	}
	// try adds the rule to the missing ones if the refusal is about what the rule allows: a command, a key or a channel.
	try := func(rule, about, words string) {
		e := send(words)
		var refused redis.Error
		switch {
		case e != nil && !errors.As(e, &refused):
			err = e
		case e != nil && noPermission.MatchString(e.Error()) && strings.Contains(e.Error(), about):
			lacking = append(lacking, rule)
		}
	}
	name := func(pattern string) string { return strings.ReplaceAll(pattern, "*", "probe") }
	for _, end := range []string{"exec", "discard"} { // there is no transaction yet
		if slices.Contains(want.Commands, end) {
			try("+"+end, "command", end)
		}
	}
	if slices.Contains(want.Commands, "watch") { // it cannot be queued
		try("+watch", "command", "watch "+name(want.Keys[0]))
	}
	if err := errors.Join(err, send("multi")); err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("K", name(want.Keys[0]), "C", "asynq:probe")
	for _, c := range want.Commands {
		if args, ok := arguments[c]; ok {
			try("+"+c, "command", strings.ReplaceAll(c, "|", " ")+" "+fill.Replace(args))
		}
	}
	for _, k := range want.Keys {
		try("~"+k, "key", "eval x 1 "+name(k))
	}
	for _, k := range want.ReadKeys {
		try("%R~"+k, "key", "get "+name(k))
	}
	for _, c := range want.Channels {
		try("&"+c, "channel", "publish "+name(c)+" x")
	}
	if want.Selector != "" {
		try(want.Selector, "", "zremrangebyscore asynq:servers 0 0")
	}
	return lacking, err
}
