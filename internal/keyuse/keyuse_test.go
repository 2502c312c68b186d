package keyuse_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kycq/kycq/internal/keyuse"
	"github.com/kycq/kycq/internal/seal"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
	"github.com/kycq/kycq/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place holds texts of three keys: the first is retired, the second seals, the third is somebody else's.
type place struct {
	*testing.T
	keysets [3]*seal.Keyset
	store   *storage.Store
}

func newPlace(t *testing.T, server *storagetest.Server) *place {
	t.Helper()
	p := &place{T: t, store: server.Store(t)}
	for i := range p.keysets {
		var err error
		if p.keysets[i], err = seal.Generate(); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *place) id(key int) uint32 { return p.keysets[key].Info()[0].ID }

func (p *place) text(key int) string {
	p.Helper()
	text, err := p.keysets[key].Seal([]byte("SPECIMEN"), seal.Binding{Kind: "passport", ID: "A", Purpose: seal.PurposeInput})
	if err != nil {
		p.Fatal(err)
	}
	return text
}

func (p *place) record(kind tasks.Kind, id, input, answer string) {
	p.Helper()
	rec := storage.NewRecord(tasks.JobSpec{Kind: kind, VerificationID: id, Lane: tasks.Bulk, Run: 1, SealedInput: input})
	rec.Sealed = answer
	if _, err := p.store.CreateRecord(p.Context(), rec); err != nil {
		p.Fatal(err)
	}
}

func (p *place) object(key, body string) {
	p.Helper()
	if err := p.store.PutObject(p.Context(), key, []byte(body), "text/plain"); err != nil {
		p.Fatal(err)
	}
}

func values(list []string, end error) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, value := range list {
			if !yield(value, nil) {
				return
			}
		}
		if end != nil {
			yield("", end)
		}
	}
}

func TestEverySealedTextIsCountedByItsKeyAndPlace(t *testing.T) {
	t.Parallel()
	p := newPlace(t, storagetest.StartFake(t))
	for i := range 150 { // more than are read at once
		p.record(tasks.Passport, fmt.Sprintf("P%d", i), p.text(0), p.text(1))
	}
	p.record(tasks.Aadhaar, "A", p.text(1), "")
	p.record(tasks.Aadhaar, "erased", "", "")
	p.object("batches/b-12345678/manifest/plan/000000", p.text(0))
	p.object("batches/b-12345678/batch.json", `{"id":"b-12345678","sealed_columns":"`+p.text(1)+`"}`)
	p.object("batches/b-12345678/report.csv", "P1,valid")
	clear, err := seal.Insecure().Seal([]byte("SPECIMEN"), seal.Binding{Kind: "passport", ID: "A", Purpose: seal.PurposeInput})
	if err != nil {
		t.Fatal(err)
	}
	task := "\x0a\x08passport\x12{\"sealed_input\":\"" + p.text(2) + "\"}\x1a\x01"
	looked := 0
	scanner := keyuse.Scanner{Store: p.store, Redis: values([]string{task, clear}, nil), Progress: func(n int) { looked = n }}
	got, err := scanner.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint32]keyuse.Texts{
		p.id(0): {Records: 150, Manifests: 1}, p.id(1): {Records: 151, Manifests: 1}, p.id(2): {Redis: 1},
	}
	if !maps.Equal(got.Keys, want) || got.Unsealed != 1 || got.Unreadable != 0 || got.Looked != 154 || looked != 154 {
		t.Errorf("got %+v\nwant %v", got, want)
	}
	if sum := got.Keys[p.id(1)].Sum(); sum != 152 {
		t.Errorf("the sum is %d", sum)
	}
}

// A scan that stops half-way and says nothing would have a key dropped that is needed.
func TestAFaultEndsTheScanInsteadOfHidingAKey(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		prefix string
		redis  error
		want   error
	}{
		"redis":   {redis: broken, want: broken},
		"listing": {prefix: "/?", want: storage.ErrUnreachable},
		"record":  {prefix: "/records/passport/P.json", want: storage.ErrUnreachable},
		"part":    {prefix: "/manifest/plan/000000", want: storage.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := storagetest.StartFake(t)
			p := newPlace(t, server)
			p.record(tasks.Passport, "P", p.text(0), "")
			p.object("batches/b-12345678/manifest/plan/000000", p.text(0))
			server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				listing := r.URL.Query().Has("list-type") || r.URL.Query().Has("prefix")
				if tc.prefix == "/?" && listing || tc.prefix != "" && strings.HasSuffix(r.URL.Path, tc.prefix) {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				next.ServeHTTP(w, r)
			})
			_, err := (&keyuse.Scanner{Store: p.store, Redis: values(nil, tc.redis)}).Scan(t.Context())
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestWhatCannotBeReadIsCountedAndWhatIsGoneIsNot(t *testing.T) {
	t.Parallel()
	p := newPlace(t, storagetest.StartFake(t))
	p.record(tasks.Passport, "P", p.text(0), "")
	got, err := (&keyuse.Scanner{Store: odd{p.store}, Redis: values(nil, nil)}).Scan(t.Context())
	if err != nil || got.Unreadable != 1 || got.Keys[p.id(0)].Records != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// odd lists a record that is gone and one that is not kycq's.
type odd struct{ *storage.Store }

func (o odd) Records(ctx context.Context, kind tasks.Kind) iter.Seq2[string, error] {
	if kind == tasks.Aadhaar {
		return values([]string{"gone", "foreign"}, nil)
	}
	return o.Store.Records(ctx, kind)
}

func (o odd) Record(ctx context.Context, kind tasks.Kind, id string) (*storage.Record, storage.Version, error) {
	if id == "foreign" {
		return nil, storage.Version{}, fmt.Errorf("read record: %w", storage.ErrVersion)
	}
	return o.Store.Record(ctx, kind, id)
}
