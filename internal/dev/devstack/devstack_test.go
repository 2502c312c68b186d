package devstack_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/dev/devstack"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(devstack.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	return stack
}

func TestObjectsCanBeOpenedAsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stack := start(t, dir)
	store, err := storage.Open(t.Context(), storage.Config{
		Endpoint: stack.S3Endpoint, AccessKeyID: devstack.Credentials, SecretAccessKey: redact.NewSecret(devstack.Credentials),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Buckets().Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Buckets().SelfTest(t.Context()); err != nil {
		t.Fatalf("the store does not keep what kycq relies on: %v", err)
	}
	if err := store.Buckets().Records.Put(t.Context(), "batches/b/x", []byte("hello"), "text/plain"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "s3", "kycq-records", "batches", "b", "x")
	if got, err := os.ReadFile(file); err != nil || string(got) != "hello" {
		t.Errorf("the object's file: %q, %v", got, err)
	}
	if err := store.Buckets().Records.Delete(t.Context(), "batches/b/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the deleted object's file: %v", err)
	}
}

func TestKeysOfTheEmbeddedRedisExpire(t *testing.T) {
	t.Parallel()
	stack := start(t, t.TempDir())
	client, err := redisx.Open(redact.NewSecret(stack.RedisURL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.Set(t.Context(), "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); client.Exists(t.Context(), "k").Val() == 1; <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the key did not expire")
		}
	}
}

func TestTheSimulatorAnswers(t *testing.T) {
	t.Parallel()
	stack := start(t, t.TempDir())
	answer, err := http.Get("http://" + stack.SimulatorHost + "/_sim/state")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("got %s", answer.Status)
	}
}
