package redisx_test

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
)

func open(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	client, err := redisx.Open(redact.NewSecret(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestOpenConnectsToTheServerAndDatabaseOfTheURL(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	server.RequireUserAuth("kycq", "pass word@1")
	client := open(t, "redis://kycq:pass%20word%401@"+server.Addr()+"/3")
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if !server.DB(3).Exists("k") {
		t.Error("the key is not in database 3")
	}
}

func TestOpenConnectsToThePrimaryNamedBySentinels(t *testing.T) {
	t.Parallel()
	primary, sentinel := miniredis.RunT(t), newSentinel(t)
	primary.RequireAuth("secret")
	sentinel.serve(primary.Addr())
	client := open(t, "redis-sentinel://:secret@127.0.0.1:1,"+sentinel.addr()+"/2?master=kyc")
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if !primary.DB(2).Exists("k") {
		t.Error("the key is not in database 2 of the primary")
	}
	if got := sentinel.asked(); !slices.Contains(got, "kyc") {
		t.Errorf("sentinel was asked for %v", got)
	}
}

func TestInvalidURLsAreRefusedWithoutQuotingThem(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "localhost:6379", "http://:hunter2@h", "redis://:hunter2@h:x/0", "redis://:hunter2@h/zero", "redis://:hunter2@h?hunter2=1",
		"unix:///tmp/hunter2.sock", "redis-sentinel://:hunter2@h", "redis-sentinel://:hunter2@h,,i?master=m",
		"redis-sentinel://:hunter2@h/zero?master=m", "redis-sentinel://:hunter2@h/%zz?master=m",
	} {
		client, err := redisx.Open(redact.NewSecret(url))
		if err == nil {
			_ = client.Close()
			t.Errorf("%s was accepted", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// TestCommandsToASilentServerFailWithinAnAsynqLease uses a server that accepts connections and never answers.
func TestCommandsToASilentServerFailWithinAnAsynqLease(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the client's real timeouts, about 3 s")
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	client := open(t, "redis://"+listener.Addr().String())
	began := time.Now()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("the silent server answered")
	}
	if took := time.Since(began); took > 12*time.Second { // 3 s, as a rule, and much less than a lease (30 s) on a busy machine
		t.Errorf("the command failed after %s", took)
	}
	_ = client.Close()
	_ = listener.Close()
	<-done
}

func TestCommandsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := open(t, "redis://"+server.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := client.BLPop(ctx, time.Minute, "nothing").Err(); err == nil {
		t.Error("BLPOP of an empty list succeeded")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the command ended after %s, its context after 50 ms", took)
	}
}
