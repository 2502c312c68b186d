package installation_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/installation"
	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/internal/testenv"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// buckets are those of one installation.
type buckets struct {
	t      *testing.T
	server *storagetest.Server
	store  *storage.Store
	keyset *seal.Keyset
}

func newBuckets(t *testing.T) *buckets {
	t.Helper()
	server := storagetest.Start(t)
	keyset, err := seal.Generate()
	check(t, err)
	return &buckets{t: t, server: server, store: server.Store(t), keyset: keyset}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *buckets) bucket() *objects.Bucket { return installation.BucketOf(b.store.Buckets()) }

const (
	sandbox = "https://sandbox.cashfree.com/verification"
	live    = "https://api.cashfree.com/verification"
)

// worker is what a new worker process knows.
func (b *buckets) worker(client redis.UniversalClient, vendor, clientID string) *installation.Keeper {
	b.t.Helper()
	account, err := installation.AccountOf(vendor, clientID, b.keyset)
	check(b.t, err)
	return installation.New(installation.Config{
		Bucket: b.bucket(), Redis: client, Account: account,
		SetName: func(ctx context.Context, name string) error { return client.SetNX(ctx, redisx.NameKey, name, 0).Err() },
	})
}

// start starts a worker that must not be refused.
func (b *buckets) start(client redis.UniversalClient) *installation.Keeper {
	b.t.Helper()
	k := b.worker(client, sandbox, "ID")
	check(b.t, k.Start(b.t.Context()))
	return k
}

func (b *buckets) refused(k *installation.Keeper, words string) {
	b.t.Helper()
	err := k.Start(b.t.Context())
	if !errors.Is(err, redisx.ErrOther) || !strings.Contains(err.Error(), words) {
		b.t.Errorf("got %v, want a refusal with %q", err, words)
	}
	if k.Name() != "" {
		b.t.Error("a refused worker may call")
	}
}

func (b *buckets) file() installation.File {
	b.t.Helper()
	f, _, err := installation.Read(b.t.Context(), b.bucket())
	check(b.t, err)
	if f == nil {
		return installation.File{}
	}
	return *f
}

func (b *buckets) nameIn(client redis.UniversalClient) string {
	b.t.Helper()
	name, err := redisx.Name(b.t.Context(), client)
	check(b.t, err)
	return name
}

func (b *buckets) producer(client redis.UniversalClient) error {
	return redisx.CheckName(b.t.Context(), client, b.store.RedisName, 0)
}

func TestTheFirstWorkerMakesTheInstallation(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	check(t, b.producer(client)) // nothing can be mixed up yet
	k := b.start(client)
	f := b.file()
	if f.VendorHost != "sandbox.cashfree.com:443" || len(f.Account) != 64 || f.Redis == "" || f.Redis != b.nameIn(client) || f.Redis != k.Name() {
		t.Errorf("%+v, and %q in Redis", f, b.nameIn(client))
	}
	body, err := json.Marshal(f)
	check(t, err)
	if strings.Contains(string(body), `"ID"`) {
		t.Error("the client id is readable")
	}
	check(t, b.producer(client))
	if other := b.start(client); other.Name() != f.Redis || b.file().Redis != f.Redis {
		t.Error("a second worker changed the installation")
	}
}

func TestWorkersThatStartTogetherMakeOneInstallation(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	errs := make(chan error)
	const workers = 8
	for range workers {
		k := b.worker(client, sandbox, "ID")
		go func() {
			err := k.Start(context.Background())
			if err == nil && k.Name() == "" {
				err = errors.New("no name")
			}
			errs <- err
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if b.file().Redis != b.nameIn(client) {
		t.Error("Redis carries another name than the file")
	}
}

func TestSandboxAndLiveNeedOtherBuckets(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	b.start(client)
	b.refused(b.worker(client, live, "ID"), "use other buckets")
	b.refused(b.worker(client, "http://sandbox.cashfree.com:8090/verification", "ID"), "use other buckets")
	b.refused(b.worker(testenv.RedisClient(t), live, "ID"), "use other buckets")
	check(t, b.worker(client, "https://SANDBOX.cashfree.com:443/v2", "ID").Start(t.Context()))
}

func TestTwoFleetsOnOneRedisAreRefused(t *testing.T) {
	t.Parallel()
	one, two, client := newBuckets(t), newBuckets(t), testenv.RedisClient(t)
	one.start(client)
	two.refused(two.worker(client, sandbox, "ID"), "a Redis database of its own")
	if err := two.producer(client); !errors.Is(err, redisx.ErrOther) {
		t.Errorf("a producer: %v", err)
	}
	two.start(testenv.RedisClient(t)) // another database of the same server
	two.refused(two.worker(client, sandbox, "ID"), "a Redis database of its own")
	check(t, one.producer(client))
}

func TestOfTwoRedisOverTheSameBucketsOneDrives(t *testing.T) {
	t.Parallel()
	b, one, two := newBuckets(t), testenv.RedisClient(t), testenv.RedisClient(t)
	first := b.start(one)
	b.refused(b.worker(two, sandbox, "ID"), "another Redis drives these buckets")
	if err := b.producer(two); !errors.Is(err, redisx.ErrNameMissing) {
		t.Errorf("a producer: %v", err)
	}
	b.server.Advance(2 * time.Minute)
	b.refused(b.worker(two, sandbox, "ID"), "another Redis drives these buckets")
	b.start(one)                       // is alive
	b.server.Advance(-2 * time.Minute) // the renewal has the age 0
	b.server.Advance(2 * time.Minute)
	b.refused(b.worker(two, sandbox, "ID"), "another Redis drives these buckets")

	b.server.Advance(2 * time.Minute) // the first was not seen for four minutes
	second := b.start(two)
	b.refused(b.worker(one, sandbox, "ID"), "belongs to another installation")
	if first.Name() == second.Name() || b.nameIn(two) != second.Name() {
		t.Error("the adopted Redis has the old name, which the old one carries too")
	}
	if err := b.producer(one); !errors.Is(err, redisx.ErrOther) {
		t.Errorf("a producer of the old Redis: %v", err)
	}
}

// Redis may be known by its run_id (a real one) or not (INFO is forbidden).
func TestARedisThatRestartedEmptyIsAdoptedAfterThreeMinutes(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	b := newBuckets(t)
	b.start(client)
	server.FlushAll()
	b.refused(b.worker(client, sandbox, "ID"), "start the worker again in ")
	b.server.Advance(3*time.Minute + 2*time.Second)
	b.start(client)
	if b.nameIn(client) != b.file().Redis {
		t.Error("Redis was not adopted")
	}
}

func TestAFailoverOrARestartKeepsTheName(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	b.start(client)
	f, object, err := installation.Read(t.Context(), b.bucket())
	check(t, err)
	name := f.Redis
	f.Server = "0123456789abcdef/0" // of the server before
	body, err := json.Marshal(f)
	check(t, err)
	_, err = b.bucket().Swap(t.Context(), installation.Key, body, object.ETag)
	check(t, err)
	b.start(client)
	if got := b.file(); got.Redis != name || b.nameIn(client) != name {
		t.Errorf("%+v, want the name %s", got, name)
	}
	if server, _ := redisx.Server(t.Context(), client); server != "" && b.file().Server != server {
		t.Error("the server after a failover is not recorded")
	}
}

func TestARunningWorkerRestoresTheNameAfterAFlush(t *testing.T) {
	t.Parallel()
	testenv.Redis(t) // miniredis has no run_id
	b, client := newBuckets(t), testenv.RedisClient(t)
	k := b.start(client)
	name := k.Name()
	running(t, k)
	began := time.Now()
	check(t, client.FlushDB(t.Context()).Err())
	eventually(t, func() bool { return b.nameIn(client) == name })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("restored after %s", took)
	}
	if k.Name() != name {
		t.Errorf("the worker may not call")
	}
}

func TestARunningWorkerStopsIfAnotherRedisWasAdopted(t *testing.T) {
	t.Parallel()
	b, one, two := newBuckets(t), testenv.RedisClient(t), testenv.RedisClient(t)
	first := b.start(one)
	b.server.Advance(4 * time.Minute) // the first one's workers are paused
	b.start(two)
	check(t, one.Set(t.Context(), redisx.NameKey, "of a third fleet", 0).Err()) // makes it look at once
	if err := first.Run(t.Context()); !errors.Is(err, redisx.ErrOther) {
		t.Errorf("got %v", err)
	}
	if first.Name() != "" {
		t.Error("it may still call")
	}
}

func TestAChangedClientIDIsAdoptedOnPurposeOnly(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	old := b.start(client)
	k := b.worker(client, sandbox, "NEW")
	b.refused(k, "kycq storage adopt --client-id-changed --reason TEXT")
	found, err := k.Look(t.Context())
	check(t, err)
	if err := found.CanAdopt(false); !errors.Is(err, redisx.ErrOther) {
		t.Errorf("without the flag: %v", err)
	}
	check(t, found.CanAdopt(true))
	check(t, k.Adopt(t.Context(), found))
	check(t, k.Start(t.Context()))
	b.refused(b.worker(client, sandbox, "ID"), "client-id-changed")
	if old.Name() == b.nameIn(client) {
		t.Error("a worker with the old client id still gets slots")
	}
	check(t, b.producer(client))

	found, err = b.worker(client, live, "NEW").Look(t.Context())
	check(t, err)
	if err := found.CanAdopt(true); !errors.Is(err, redisx.ErrOther) {
		t.Errorf("another host: %v", err)
	}
}

func TestAnOperatorAdoptsARedisWithAnotherName(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	check(t, client.Set(t.Context(), redisx.NameKey, "of buckets that are gone", 0).Err())
	k := b.worker(client, sandbox, "ID")
	b.refused(k, "kycq storage adopt --reason TEXT")
	found, err := k.Look(t.Context())
	check(t, err)
	check(t, found.CanAdopt(false))
	check(t, k.Adopt(t.Context(), found))
	check(t, k.Start(t.Context()))

	other := testenv.RedisClient(t)
	check(t, other.Set(t.Context(), redisx.NameKey, "of a third fleet", 0).Err())
	found, err = b.worker(other, sandbox, "ID").Look(t.Context())
	check(t, err)
	if err := found.CanAdopt(true); !errors.Is(err, redisx.ErrOther) {
		t.Errorf("while the first Redis is in use: %v", err)
	}
	b.server.Advance(4 * time.Minute)
	found, err = b.worker(other, sandbox, "ID").Look(t.Context())
	check(t, err)
	check(t, found.CanAdopt(false))
}

func TestAFileOfANewerVersionIsNotOverwritten(t *testing.T) {
	t.Parallel()
	b, client := newBuckets(t), testenv.RedisClient(t)
	_, err := b.bucket().Create(t.Context(), installation.Key, []byte(`{"version":2,"redis":"N"}`))
	check(t, err)
	if err := b.worker(client, sandbox, "ID").Start(t.Context()); err == nil || b.nameIn(client) != "" {
		t.Errorf("got %v, and %q in Redis", err, b.nameIn(client))
	}
}

// running runs the keeper until the end of the test.
func running(t *testing.T, k *installation.Keeper) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
		<-time.After(50 * time.Millisecond)
	}
}

func TestAChangeOfTheQRCheckIsAuditedFirst(t *testing.T) {
	t.Parallel()
	b := newBuckets(t)
	k := b.start(testenv.RedisClient(t))
	var audited []string
	audit := func(before, now string) error {
		if b.file().QRCheck == now {
			t.Error("written before it was audited")
		}
		audited = append(audited, before+" "+now)
		return nil
	}
	for _, value := range []string{"visible", "readable", "readable", "visible"} {
		check(t, k.SetQRCheck(t.Context(), value, audit))
	}
	if want := []string{"visible readable", "readable visible"}; !slices.Equal(audited, want) {
		t.Errorf("audited %q, want %q", audited, want)
	}
	refusal := errors.New("no audit")
	if err := k.SetQRCheck(t.Context(), "readable", func(string, string) error { return refusal }); !errors.Is(err, refusal) || b.file().QRCheck != "visible" {
		t.Errorf("without an audit entry: %v, %q", err, b.file().QRCheck)
	}
}
