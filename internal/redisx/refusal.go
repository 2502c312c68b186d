package redisx

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
)

// The findings that a server also tells by refusing a command.
var (
	tooOld  = Finding{Code: "version", Refuse: true, Message: "redis is too old", Fix: "use Redis 6.2 or newer (or Valkey)"}
	replica = Finding{
		Code: "replica", Refuse: true, Message: "redis is a read-only replica",
		Fix: "point KYCQ_REDIS_URL at the primary, or use redis-sentinel://",
	}
	cluster = Finding{
		Code: "cluster", Refuse: true, Message: "redis runs in cluster mode",
		Fix: "use a single primary, with or without replicas and sentinels",
	}
)

// refusals lists how Redis refuses commands. Scripts and asynq put other text around it.
var refusals = []struct {
	reply *regexp.Regexp
	Finding
}{
	{regexp.MustCompile(`\bNOAUTH `), Finding{
		Code: "credentials", Refuse: true, Message: "redis requires a password",
		Fix: "put it into KYCQ_REDIS_URL (redis://:PASSWORD@host:6379/0) or the file of KYCQ_REDIS_URL_FILE",
	}},
	{regexp.MustCompile(`\bWRONGPASS `), Finding{
		Code: "credentials", Refuse: true, Message: "redis refuses the user or the password of KYCQ_REDIS_URL",
		Fix: "correct them (characters like @ / # are written as %40 %2F %23)",
	}},
	{regexp.MustCompile(`AUTH <password> called without any password|Client sent AUTH, but no password is set`), Finding{
		Code: "credentials", Refuse: true, Message: "KYCQ_REDIS_URL has a password, but this redis has none",
		Fix: "remove the password, or correct host and port",
	}},
	{regexp.MustCompile(`\bNOPERM `), Finding{
		Code: "credentials", Refuse: true, Message: "the redis user lacks a permission",
		Fix: "run kycq doctor, which names it; deploy/redis/users.acl has users for all roles",
	}},
	{regexp.MustCompile(`\bREADONLY `), replica},
	{regexp.MustCompile(`\bMOVED \d|\bCROSSSLOT |\bCLUSTERDOWN |non local key in a cluster node`), cluster},
	{regexp.MustCompile(`\bMISCONF `), Finding{
		Code: "persistence", Refuse: true, Message: "redis refuses writes, because it cannot save to its disk",
		Fix: "free disk space on the Redis server and look into its log",
	}},
	{regexp.MustCompile(`(?i)\bERR unknown command`), tooOld},
}

// refusedCommand is the command that the user may not call.
var refusedCommand = regexp.MustCompile(`\bNOPERM .*permissions? to run the '([a-z|]+)' command`)

// Explain says what is wrong with the server that returned err, and what to do; ok is false for other errors.
func Explain(err error) (f Finding, ok bool) {
	if err == nil {
		return Finding{}, false
	}
	text := err.Error()
	for _, r := range refusals {
		if r.reply.MatchString(text) {
			f = r.Finding
			if refused := refusedCommand.FindStringSubmatch(text); refused != nil {
				f.Message, f.Fix = "the redis user lacks +"+refused[1], "ACL SETUSER name +"+refused[1]+" (deploy/redis/users.acl has users for all roles)"
			}
			return f, true
		}
	}
	return Finding{}, false
}

// Credentials reports whether the server refuses user, password or permissions.
func (f Finding) Credentials() bool { return f.Code == "credentials" }

// Usable returns an error if the server cannot be reached, or is one that kycq cannot use at all: a replica, one in cluster
// mode, or too old.
func Usable(ctx context.Context, client redis.UniversalClient) error {
	found, err := checkInfo(ctx, client, "server", "replication")
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range found {
		if f.Refuse && !f.Volatile && f.Code != "info" {
			errs = append(errs, errors.New(f.String()))
		}
	}
	return errors.Join(errs...)
}

// readyLife is the life of the key that NotReady writes.
const readyLife = 10 * time.Second

// NotReady writes to Redis and returns why that failed, without addresses; empty if it did not.
func NotReady(ctx context.Context, client redis.UniversalClient) string {
	err := client.Set(ctx, accountKey("ready"), 1, readyLife).Err()
	f, refused := Explain(err)
	switch {
	case err == nil:
		return ""
	case refused:
		return f.Message
	case redis.IsOOMError(err):
		return "redis has reached its maxmemory"
	}
	return "redis is not reachable"
}
