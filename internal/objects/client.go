package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Time limits. Even if the network drops all packets, every call fails within about ten seconds, and work continues within
// ten seconds after the store is back.
const (
	dialTimeout = 3 * time.Second
	tlsTimeout  = 3 * time.Second
	// headerTimeout is from the last byte of the request to the first of the response.
	headerTimeout = 5 * time.Second
	// stallTimeout is how long a body may make no progress, in either direction (stall.go). It has no other limit: 10 MB
	// may take long on a slow line.
	stallTimeout = 10 * time.Second
	// callTimeout is for a small call with its retries, readBackTimeout for the look at the stored object after a write that got no response.
	// Together they make the ten seconds.
	callTimeout     = 8 * time.Second
	readBackTimeout = 2 * time.Second

	// maxAttempts and maxBackoff are the only retries of S3 calls, about 0.5 s and 1 s apart. asynq retries the whole task
	// at its own pace, so more here would add up to minutes.
	maxAttempts = 3
	maxBackoff  = time.Second

	// idleConns: the SDK's default of 10 per host is below a worker's concurrency, so most calls would dial anew.
	idleConns   = 256
	idleTimeout = 30 * time.Second
)

// newClient builds the S3 client and sets every default that matters. The environment and ~/.aws cannot change them
// (AWS_MAX_ATTEMPTS, AWS_RETRY_MODE, AWS_DEFAULTS_MODE, checksum modes), since kycq's guarantees depend on them.
func newClient(ctx context.Context, cfg Config) (*s3.Client, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRegion(cfg.Region),
		// A BuildableClient, since the SDK cannot add AWS_CA_BUNDLE to an http.Client.
		config.WithHTTPClient(newHTTPClient()),
		// The SDK would print its warnings to stderr.
		config.WithLogger(logging.Nop{}),
	}
	if cfg.AccessKeyID != "" {
		static := credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey.Reveal(), "")
		load = append(load, config.WithCredentialsProvider(static))
	}
	aws, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("storage: read the AWS configuration: %w", err)
	}
	return s3.NewFromConfig(aws, func(o *s3.Options) {
		// Options set here override those that the SDK resolves.
		o.HTTPClient = wholeRequests{aws.HTTPClient}
		o.Retryer = newRetryer()
		o.RetryMaxAttempts = maxAttempts // else AWS_MAX_ATTEMPTS would wrap our retryer
		o.Credentials = namedCredentials{aws.Credentials}
		o.HTTPSignerV4 = fencedSigner{o.HTTPSignerV4}

		// Since January 2025 the SDK adds CRC32 trailers to every PUT by default, which broke MinIO before 2025, R2,
		// Ceph and others; the signature already covers the body.
		o.RequestChecksumCalculation = requestChecksums
		o.ResponseChecksumValidation = responseChecksums

		// S3 requires it in buckets with a default retention.
		o.APIOptions = append(o.APIOptions, smithyhttp.AddContentChecksumMiddleware)

		if cfg.Endpoint != "" {
			o.BaseEndpoint = &cfg.Endpoint
			o.UsePathStyle = true // http://bucket.127.0.0.1:9000 resolves nowhere
		}
	}), nil
}

const (
	requestChecksums  = aws.RequestChecksumCalculationWhenRequired
	responseChecksums = aws.ResponseChecksumValidationWhenRequired
)

func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.MaxBackoff = maxBackoff
		// In an outage the SDK's retry quota runs out, and "retry quota exceeded" hides the cause. Three attempts a call
		// need no quota.
		o.RateLimiter = ratelimit.None
		// Stores answer 409 while another write of the key is in flight; a retry gets 200 or 412.
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{
			Codes: map[string]struct{}{codeConditionalConflict: {}, codeAborted: {}},
		})
	})
}

func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.DialContext = stallingDial(t.DialContext)
			t.TLSHandshakeTimeout = tlsTimeout
			t.ResponseHeaderTimeout = headerTimeout
			t.MaxIdleConns = idleConns
			t.MaxIdleConnsPerHost = idleConns
			t.IdleConnTimeout = idleTimeout
			// Transparent gzip would drop Content-Length.
			t.DisableCompression = true
		})
}

// wholeRequests sends headers and small bodies in one packet: net/http sends them apart unless it knows that the body is in
// memory, which the SDK's types hide. It saves a system call for each record.
type wholeRequests struct{ s3.HTTPClient }

const smallBody = 64 << 10

func (w wholeRequests) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.ContentLength > 0 && r.ContentLength <= smallBody {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return w.HTTPClient.Do(r)
}

var errNoCredentials = errors.New("no usable AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or assign a role to the machine")

// namedCredentials replaces the chain's many errors by one that says what to do.
type namedCredentials struct{ chain aws.CredentialsProvider }

func (n namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := n.chain.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		return c, fmt.Errorf("%w (%w)", errNoCredentials, err)
	}
	return c, err
}
