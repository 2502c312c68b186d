package storage

import (
	"context"
	"errors"
	"fmt"
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
)

// The limits in time. The worst they must survive is a store that swallows packets: every call fails in about ten
// seconds, so that work goes on within ten seconds of the store's return.
const (
	dialTimeout = 3 * time.Second
	tlsTimeout  = 3 * time.Second
	// headerTimeout runs from the last byte of the request to the first of the answer.
	headerTimeout = 5 * time.Second
	// stallTimeout is how long a body may stand still in either direction (stall.go). A body has no other limit while it
	// moves: 10 MB over a slow line are not a fault.
	stallTimeout = 10 * time.Second
	// callTimeout is for a whole small call with its retries, readBackTimeout for finding out afterwards whether a write
	// whose answer was lost has happened. Together they make the ten seconds.
	callTimeout     = 8 * time.Second
	readBackTimeout = 2 * time.Second

	// maxAttempts and maxBackoff are the only retries on the way to S3: about 0.5 s and 1 s apart on average. Callers
	// above start again at a pace of their own (asynq's), so more here would stack into minutes.
	maxAttempts = 3
	maxBackoff  = time.Second

	// idleConns: the SDK keeps 10 idle connections to a host, fewer than a worker's concurrency, which would make it
	// dial and do TLS again for most calls.
	idleConns   = 64
	idleTimeout = 30 * time.Second
)

// newClient builds the S3 client with every default that matters set in the open. What the environment or ~/.aws could
// change of it (AWS_MAX_ATTEMPTS, AWS_RETRY_MODE, AWS_DEFAULTS_MODE, checksum modes) is overridden: these values carry
// promises.
func newClient(ctx context.Context, cfg Config) (*s3.Client, error) {
	load := []func(*config.LoadOptions) error{
		config.WithRegion(cfg.Region),
		// A BuildableClient, not an http.Client: it is the form to which the SDK can add AWS_CA_BUNDLE.
		config.WithHTTPClient(newHTTPClient()),
		// The SDK would print its warnings past our log, onto stderr.
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
		// Options set here come after all that the SDK resolves by itself.
		o.HTTPClient = aws.HTTPClient
		o.Retryer = newRetryer()
		o.RetryMaxAttempts = maxAttempts // else AWS_MAX_ATTEMPTS would wrap our retryer
		o.Credentials = namedCredentials{aws.Credentials}

		// Since January 2025 the SDK adds CRC32 trailers to every PUT by default, which broke MinIO before 2025, R2,
		// Ceph and others; the signature already covers the body.
		o.RequestChecksumCalculation = requestChecksums
		o.ResponseChecksumValidation = responseChecksums

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
		// The SDK's retry quota would run dry in an outage and then hide the fault behind "retry quota exceeded". With
		// three attempts a call there is no storm to hold back.
		o.RateLimiter = ratelimit.None
		// AWS answers 409 while another conditional write of the key is in flight and asks to try again; the next answer
		// is 200 or 412. Plain retry, so that the rest of this package sees a decision.
		o.Retryables = append(o.Retryables, retry.RetryableErrorCode{
			Codes: map[string]struct{}{codeConditionalConflict: {}},
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
			// An image is stored as it came; transparent gzip would also drop Content-Length.
			t.DisableCompression = true
		})
}

var errNoCredentials = errors.New("no usable AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role")

// namedCredentials turns the chain's many failures into one that says what to do.
type namedCredentials struct{ chain aws.CredentialsProvider }

func (n namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := n.chain.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		return c, fmt.Errorf("%w (%w)", errNoCredentials, err)
	}
	return c, err
}
