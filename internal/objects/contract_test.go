package objects_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What kycq needs of every store. Each case has buckets of its own.
var contract = map[string]func(t *testing.T, server *storagetest.Server, b *objects.Buckets){
	"an object is created once and swapped by its ETag":   createAndSwap,
	"of many creators of the same bytes exactly one wins": raceOfCreators,
	"of many swappers exactly one wins":                   raceOfSwappers,
	"a write whose response is lost counts as ours":       lostReply,
	"a write without any response is uncertain":           noReply,
	"a swap that did not arrive is uncertain":             vanishedSwap,
	"a write answered with a server error is looked up":   failedAfterWrite,
	"a put overwrites":                                      overwrite,
	"a stream of any length arrives whole":                  streams,
	"a stream that fails is not visible":                    failedStreams,
	"a list has the keys below a prefix, over many pages":   lists,
	"folders are listed without what is in them":            folders,
	"a missing object and a missing bucket are told apart":  missing,
	"the head of an object comes with its size":             heads,
	"keys outside of the prefix or of another form are bad": badKeys,
	"the self-test passes and leaves nothing":               selfTest,
}

func TestContract(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *storagetest.Server{"gofakes3": storagetest.StartFake, "minio": storagetest.StartMinIO} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, test := range contract {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					server := start(t)
					test(t, server, server.Store(t).Buckets())
				})
			}
		})
	}
}

const key = "batches/b-1/batch.json"

var puts = storagetest.Method(http.MethodPut)

func createAndSwap(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	ctx := t.Context()
	first, err := b.Records.Create(ctx, key, []byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Records.Create(ctx, key, []byte(`{"n":1}`)); !errors.Is(err, objects.ErrExists) {
		t.Errorf("a second create of the same bytes: %v, want ErrExists", err)
	}
	second, err := b.Records.Swap(ctx, key, []byte(`{"n":2}`), first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Records.Swap(ctx, key, []byte(`{"n":3}`), first); !errors.Is(err, objects.ErrConflict) {
		t.Errorf("a swap with an outdated ETag: %v, want ErrConflict", err)
	}
	if _, err = b.Records.Swap(ctx, key, []byte(`{"n":3}`), ""); err == nil {
		t.Error("a swap without an ETag was accepted")
	}
	found, err := b.Records.Get(ctx, key)
	if err != nil || string(found.Body) != `{"n":2}` || found.ETag != second {
		t.Errorf("%+v %v", found, err)
	}
	for range 2 {
		if err := b.Records.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = b.Records.Get(ctx, key); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("after deleting: %v, want ErrNotFound", err)
	}
	if _, err = b.Records.Swap(ctx, key, nil, second); !errors.Is(err, objects.ErrConflict) {
		t.Errorf("a swap of a deleted object: %v, want ErrConflict", err)
	}
}

func raceOfCreators(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	race(t, func() error {
		_, err := b.Records.Create(t.Context(), key, []byte("{}"))
		return err
	}, objects.ErrExists)
}

func raceOfSwappers(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	etag := created(t, b)
	race(t, func() error {
		_, err := b.Records.Swap(t.Context(), key, []byte(`{"n":2}`), etag)
		return err
	}, objects.ErrConflict)
}

// race runs 32 writers at once, of which exactly one may win; the others must fail with loss.
func race(t *testing.T, write func() error, loss error) {
	t.Helper()
	var winners atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for range 32 {
		all.Go(func() {
			<-start
			if err := write(); err == nil {
				winners.Add(1)
			} else if !errors.Is(err, loss) {
				t.Errorf("got %v, want %v", err, loss)
			}
		})
	}
	close(start)
	all.Wait()
	if winners.Load() != 1 {
		t.Errorf("%d writers won, want 1", winners.Load())
	}
}

func created(t *testing.T, b *objects.Buckets) (etag string) {
	t.Helper()
	etag, err := b.Records.Create(t.Context(), key, []byte(`{"n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	return etag
}

// One lost response: the SDK's retry gets a 412. Three: no try gets a response.
func lostReply(t *testing.T, server *storagetest.Server, b *objects.Buckets) {
	for _, lost := range []int64{1, 3} {
		key := fmt.Sprintf("batches/b/%d", lost)
		server.Use(storagetest.LoseReplies(lost, puts))
		etag, err := b.Records.Create(t.Context(), key, []byte("{}"))
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		server.Use(storagetest.LoseReplies(lost, puts))
		etag, err = b.Records.Swap(t.Context(), key, []byte("{}"), etag)
		if err != nil {
			t.Fatalf("swap: %v", err)
		}
		if found, err := b.Records.Get(t.Context(), key); err != nil || found.ETag != etag {
			t.Errorf("ETag %s was returned, stored is %+v, %v", etag, found, err)
		}
	}
}

func noReply(t *testing.T, server *storagetest.Server, b *objects.Buckets) {
	etag := created(t, b)
	server.Use(storagetest.Down)
	var all sync.WaitGroup // each call waits between its retries
	for name, write := range map[string]func() error{
		"swap": func() error { _, err := b.Records.Swap(t.Context(), key, []byte("{}"), etag); return err },
		"create": func() error {
			_, err := b.Records.Create(t.Context(), "batches/b-2/batch.json", []byte("{}"))
			return err
		},
	} {
		all.Go(func() {
			if err := write(); !errors.Is(err, objects.ErrUncertain) || !errors.Is(err, objects.ErrUnreachable) {
				t.Errorf("%s: got %v, want ErrUncertain and ErrUnreachable", name, err)
			}
		})
	}
	all.Wait()
}

// The object is unchanged, but a PUT may still arrive.
func vanishedSwap(t *testing.T, server *storagetest.Server, b *objects.Buckets) {
	etag := created(t, b)
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if puts(r) {
			storagetest.Drop()
		}
		next.ServeHTTP(w, r)
	})
	if _, err := b.Records.Swap(t.Context(), key, []byte("{}"), etag); !errors.Is(err, objects.ErrUncertain) {
		t.Errorf("got %v, want ErrUncertain", err)
	}
}

func failedAfterWrite(t *testing.T, server *storagetest.Server, b *objects.Buckets) {
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !puts(r) {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(&discard{header: http.Header{}}, r)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	created(t, b)
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

func overwrite(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	for _, body := range []string{"a", "bb"} {
		if err := b.Masked.Put(t.Context(), "masked/x.png", []byte(body), "image/png"); err != nil {
			t.Fatal(err)
		}
		if found, err := b.Masked.Get(t.Context(), "masked/x.png"); err != nil || string(found.Body) != body {
			t.Errorf("%+v, %v", found, err)
		}
	}
}

func streams(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	for _, size := range []int{0, 10, 8 << 20, 8<<20 + 1, 20 << 20} {
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
		err := b.Records.PutStream(t.Context(), "batches/b-1/report.csv", "text/csv", func(w io.Writer) error {
			for left := size; left > 0; {
				n, err := w.Write(chunk[:min(left, len(chunk))])
				if err != nil {
					return err
				}
				left -= n
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		found, err := b.Records.Get(t.Context(), "batches/b-1/report.csv")
		if err != nil || len(found.Body) != size || size > 0 && !bytes.HasPrefix(found.Body, chunk[:min(size, 16)]) {
			t.Errorf("%d bytes: read back with %v", size, err)
		}
	}
}

func failedStreams(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	broken := errors.New("broken")
	for _, size := range []int{10, 9 << 20} {
		key := fmt.Sprintf("batches/b-1/%d", size)
		err := b.Records.PutStream(t.Context(), key, "text/csv", func(w io.Writer) error {
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if _, err := b.Records.Get(t.Context(), key); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("%d bytes of a failed stream are visible: %v", size, err)
		}
	}
}

func putAll(t *testing.T, b *objects.Buckets, keys []string) {
	t.Helper()
	var all sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, key := range keys {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := b.Records.Put(t.Context(), key, []byte("x"), "text/plain"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func lists(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	n := 1050 // a page has 1,000
	if testing.Short() {
		n = 10
	}
	var long []string
	for i := range n {
		long = append(long, fmt.Sprintf("long/%06d", i))
	}
	putAll(t, b, append([]string{"batches/a/1", "batches/a/2", "batches/ab/1", "audit/1"}, long...))
	for prefix, want := range map[string][]string{
		"batches/": {"batches/a/1", "batches/a/2", "batches/ab/1"}, "batches/a/": {"batches/a/1", "batches/a/2"},
		"audit/": {"audit/1"}, "batches/none/": nil, "long/": long,
	} {
		var got []string
		for info, err := range b.Records.List(t.Context(), prefix) {
			if err != nil || info.Size != 1 || info.Age < 0 || info.Age > time.Minute {
				t.Fatal(fmt.Sprint(info, err))
			}
			got = append(got, info.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d keys, want %d in order", prefix, len(got), len(want))
		}
	}
}

func folders(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	putAll(t, b, []string{"batches/a-1/batch.json", "batches/a-1/manifest/p/000000", "batches/b-1/batch.json", "batches/_open/b-1"})
	var names []string
	for name, err := range b.Records.Folders(t.Context(), "batches/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"_open", "a-1", "b-1"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func missing(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	for want, bucket := range map[error]*objects.Bucket{
		objects.ErrNotFound: b.Records, objects.ErrNoBucket: b.Bucket("kycq-no-such-bucket", "object"),
	} {
		for name, read := range map[string]func() error{
			"get":  func() error { _, err := bucket.Get(t.Context(), "a/b"); return err },
			"open": func() error { _, _, err := bucket.Open(t.Context(), "a/b"); return err },
			"head": func() error { _, _, err := bucket.Head(t.Context(), "a/b", 10); return err },
		} {
			if err := read(); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", name, err, want)
			}
		}
	}
}

func heads(t *testing.T, _ *storagetest.Server, b *objects.Buckets) {
	for _, body := range []string{"", "abc", "abcdefghijkl"} {
		if err := b.Inbox.Put(t.Context(), "single/x", []byte(body), "text/plain"); err != nil {
			t.Fatal(err)
		}
		head, size, err := b.Inbox.Head(t.Context(), "single/x", 10)
		if err != nil || size != int64(len(body)) || string(head) != body[:min(10, len(body))] {
			t.Errorf("%q: %q of %d bytes, %v", body, head, size, err)
		}
	}
}

func badKeys(t *testing.T, server *storagetest.Server, b *objects.Buckets) {
	var requests atomic.Int64
	server.Use(storagetest.Count(&requests, func(*http.Request) bool { return true }))
	batches := b.Records.Within("batches/", "object")
	for _, key := range []string{"", "batches/", "records/aadhaar/X.json", "batches/../records/x", "batches//x", "/batches/x", "batches/a b"} {
		for name, call := range map[string]func() error{
			"get":    func() error { _, err := batches.Get(t.Context(), key); return err },
			"put":    func() error { return batches.Put(t.Context(), key, nil, "text/plain") },
			"create": func() error { _, err := batches.Create(t.Context(), key, nil); return err },
			"swap":   func() error { _, err := batches.Swap(t.Context(), key, nil, `"1"`); return err },
			"stream": func() error {
				return batches.PutStream(t.Context(), key, "text/csv", func(io.Writer) error { return nil })
			},
			"delete": func() error { return batches.Delete(t.Context(), key) },
		} {
			if call() == nil {
				t.Errorf("%s of %q was accepted", name, key)
			}
		}
	}
	for _, prefix := range []string{"", "records/", "batch", "batches/../"} {
		for _, err := range batches.List(t.Context(), prefix) {
			if err == nil {
				t.Errorf("%q was listed", prefix)
			}
		}
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests were sent", requests.Load())
	}
}

func selfTest(t *testing.T, server *storagetest.Server, b *objects.Buckets) {
	if err := b.SelfTest(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := rawClient(server).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(b.Records.Name())})
	if err != nil || len(out.Contents) != 0 {
		t.Errorf("%d objects left, %v", len(out.Contents), err)
	}
}
