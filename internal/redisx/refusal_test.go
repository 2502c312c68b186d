package redisx_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
)

func TestExplainKnowsHowRedisRefuses(t *testing.T) {
	t.Parallel()
	for reply, code := range map[string]string{
		"NOAUTH Authentication required.":                                                                                                 "credentials",
		"WRONGPASS invalid username-password pair or user is disabled.":                                                                   "credentials",
		"NOPERM User kycq has no permissions to run the 'eval' command":                                                                   "credentials",
		"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?":    "credentials",
		"READONLY You can't write against a read only replica.":                                                                           "replica",
		"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.": "replica",
		"MOVED 3999 127.0.0.1:6381":                             "cluster",
		"CROSSSLOT Keys in request don't hash to the same slot": "cluster",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.": "persistence",
		"ERR unknown command 'LMOVE', with args beginning with: ":                                          "version",
	} {
		f, ok := redisx.Explain(fmt.Errorf("enqueue: %w", errors.New(reply)))
		if !ok || f.Code != code || f.Fix == "" || f.Credentials() != (code == "credentials") {
			t.Errorf("%s: %+v", reply, f)
		}
	}
	for _, err := range []error{nil, redis.Nil, errors.New("dial tcp 127.0.0.1:6379: connection refused"), errors.New("the file was REMOVED 3 times")} {
		if f, ok := redisx.Explain(err); ok {
			t.Errorf("%v: %+v", err, f)
		}
	}
}

// The words of the refused command are those of the check.
func TestUsableRefusesWhatCheckRefuses(t *testing.T) {
	t.Parallel()
	for name, changed := range map[string]map[string]string{
		"read-only replica": {"replication": "role:slave"}, "cluster mode": {"server": "redis_version:7.2.4 redis_mode:cluster"},
		"too old": {"server": "redis_version:6.0.16"}, "": {"memory": "maxmemory_policy:allkeys-lru"},
	} {
		err := redisx.Usable(t.Context(), open(t, info(t, with(changed))))
		if (err == nil) != (name == "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := redisx.Usable(t.Context(), open(t, info(t, nil))); err != nil {
		t.Errorf("without INFO: %v", err)
	}
}

func TestNotReadySaysWhyRedisTakesNoWrites(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client, err := redisx.Open(redact.NewSecret("redis://" + server.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	for reply, want := range map[string]string{
		"": "", "READONLY You can't write against a read only replica.": "redis is a read-only replica",
		"OOM command not allowed when used memory > 'maxmemory'.": "redis has reached its maxmemory", "ERR other": "redis is not reachable",
	} {
		server.SetError(reply)
		if got := redisx.NotReady(t.Context(), client); got != want {
			t.Errorf("%q: got %q", reply, got)
		}
	}
	if server.TTL("kycq:{account}:ready") <= 0 {
		t.Error("the key of the trial does not expire")
	}
}
