package objects_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/internal/redact"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestSelfTestRefusesAStoreThatIgnoresConditions(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storagetest.Intercept{
		"If-None-Match is ignored": without("If-None-Match"),
		"If-Match is ignored":      without("If-Match"),
		"the headers are rejected": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("If-None-Match")+r.Header.Get("If-Match") == "" {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusNotImplemented)
			_, _ = io.WriteString(w, `<Error><Code>NotImplemented</Code></Error>`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := storagetest.StartFake(t)
			store := server.Store(t)
			server.Use(fault)
			err := store.Buckets().SelfTest(t.Context())
			if !errors.Is(err, objects.ErrNoConditions) {
				t.Fatalf("got %v, want ErrNoConditions", err)
			}
			assertOneLine(t, err, "use a store that does")
		})
	}
}

func without(header string) storagetest.Intercept {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del(header)
		next.ServeHTTP(w, r)
	}
}

func TestSelfTestRefusesAStoreWithoutTheHeadersOfAge(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	server.Use(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&undated{w}, r)
	})
	err := store.Buckets().SelfTest(t.Context())
	if err == nil {
		t.Fatal("it passed")
	}
	assertOneLine(t, err, "Last-Modified")
}

// undated strips Last-Modified from an answer.
type undated struct{ http.ResponseWriter }

func (u *undated) Write(p []byte) (int, error) {
	u.Header().Del("Last-Modified")
	return u.ResponseWriter.Write(p)
}

func TestSelfTestSaysWhatIsMissing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		err := server.Open(t).Buckets().SelfTest(t.Context())
		if !errors.Is(err, objects.ErrNoBucket) {
			t.Fatalf("got %v, want ErrNoBucket", err)
		}
		assertOneLine(t, err, server.Config().RecordsBucket, "kycq storage init")
	})
}

func TestWrongKeysAreDeniedWithTheirVariable(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	for variable, spoil := range map[string]func(*storage.Config){
		"AWS_ACCESS_KEY_ID":     func(c *storage.Config) { c.AccessKeyID = "nobody" },
		"AWS_SECRET_ACCESS_KEY": func(c *storage.Config) { c.SecretAccessKey = redact.NewSecret("wrong-secret") },
	} {
		cfg := server.Config()
		spoil(&cfg)
		store, err := storage.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Buckets().SelfTest(t.Context())
		if !errors.Is(err, objects.ErrDenied) {
			t.Fatalf("%s: got %v, want ErrDenied", variable, err)
		}
		assertOneLine(t, err, variable)
		if strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
}

func TestAnUnreachableStoreIsNamed(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	store, err := storage.Open(t.Context(), storage.Config{
		Endpoint: "http://" + address, AccessKeyID: "a", SecretAccessKey: redact.NewSecret("b"),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = store.Buckets().SelfTest(t.Context())
	if !errors.Is(err, objects.ErrUnreachable) {
		t.Fatalf("got %v, want ErrUnreachable", err)
	}
	assertOneLine(t, err, address, "connection refused")
}

func TestAnEndpointThatIsNotS3IsNotTakenForOne(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	store := server.Store(t)
	server.Use(serveBody("<html>welcome to nginx</html>"))
	if err := store.Buckets().SelfTest(t.Context()); err == nil {
		t.Error("it passed")
	}
}

// serveBody answers every request with the same object.
func serveBody(body string) storagetest.Intercept {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("ETag", `"1"`)
		_, _ = w.Write([]byte(body))
	}
}

func assertOneLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}
