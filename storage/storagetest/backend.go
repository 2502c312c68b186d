package storagetest

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/kycq/kycq/internal/testenv"
)

const removalTimeout = 10 * time.Second

// Start is StartMinIO if there is a real server or one is required, else StartFake.
func Start(t testing.TB) *Server {
	t.Helper()
	if testenv.HasS3() || testenv.Required(testenv.RealMinIO) {
		return StartMinIO(t)
	}
	return StartFake(t)
}

// Each runs a test in parallel on gofakes3 and on the real server, which it skips if there is none.
func Each(t *testing.T, test func(t *testing.T, server *Server)) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *Server{"gofakes3": StartFake, "minio": StartMinIO} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// StartFake starts gofakes3 in memory. It honours conditional writes, accepts any credentials but not none, and has no lifecycle rules.
func StartFake(t testing.TB) *Server {
	t.Helper()
	s := new(Server)
	s.credentials("fake", "fake")
	fake := gofakes3.New(s3mem.New(),
		gofakes3.WithLogger(gofakes3.DiscardLog()),
		gofakes3.WithTimeSkewLimit(0), // Advance may exceed the 15 minutes that S3 allows
	).Server()
	s.front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", s.date())
		if r.Header.Get("Authorization") == "" && r.URL.Query().Get("X-Amz-Signature") == "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code></Error>`)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	return s
}

// StartMinIO uses the server of KYCQ_TEST_S3 with bucket names of the test's own, and removes the buckets at its end. It
// skips the test if there is no server.
func StartMinIO(t testing.TB) *Server {
	t.Helper()
	target, err := url.Parse(testenv.S3(t))
	if err != nil || target.User == nil {
		t.Fatal("KYCQ_TEST_S3: want http://user:password@host:port")
	}
	s := new(Server)
	password, _ := target.User.Password()
	s.credentials(target.User.Username(), password)
	name := "kycq-test-" + strings.ToLower(rand.Text()[:12])
	s.config.InboxBucket, s.config.MaskedBucket, s.config.RecordsBucket = name+"-inbox", name+"-masked", name+"-records"

	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	s.front(t, &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(answer *http.Response) error {
			answer.Header.Set("Date", s.date())
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(func() { s.removeBuckets(t, target.Scheme+"://"+target.Host, transport) })
	return s
}

// removeBuckets uses MinIO's header that deletes a bucket with its objects. MinIO may wait long for a request that a test
// has cut off; what is not removed in time is deleted with the server's folder.
func (s *Server) removeBuckets(t testing.TB, endpoint string, transport http.RoundTripper) {
	client := s.raw(endpoint, transport, s3.WithAPIOptions(smithyhttp.AddHeaderValue("x-minio-force-delete", "true")))
	ctx, cancel := context.WithTimeout(context.Background(), removalTimeout)
	defer cancel()
	for _, bucket := range s.buckets() {
		_, err := client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
		if err != nil && !strings.Contains(err.Error(), "NoSuchBucket") {
			t.Logf("remove the test bucket %s: %v", bucket, err)
		}
	}
}

func (s *Server) buckets() []string {
	return append([]string{s.config.InboxBucket, s.config.MaskedBucket, s.config.RecordsBucket}, s.config.ImageBuckets...)
}

// raw returns a plain client of the SDK.
func (s *Server) raw(endpoint string, transport http.RoundTripper, options ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &endpoint, UsePathStyle: true, Region: s.config.Region, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(s.config.AccessKeyID, s.config.SecretAccessKey.Reveal(), ""),
	}, options...)
}
