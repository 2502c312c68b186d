package objects

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/kycq/kycq/internal/redact"
)

// The promises of client.go, as they arrive in the built client, with an environment that asks for other things.
func TestTheBuiltClientHoldsItsSettingsAgainstTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "adaptive", "AWS_DEFAULTS_MODE": "mobile", "AWS_REGION": "eu-west-1",
		"AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_supported",
	} {
		t.Setenv(name, value)
	}
	o := builtOptions(t, Config{Endpoint: "http://127.0.0.1:9000", Region: "ap-south-1", AccessKeyID: "a", SecretAccessKey: redact.NewSecret("b")})

	if !o.UsePathStyle || aws.ToString(o.BaseEndpoint) != "http://127.0.0.1:9000" || o.Region != "ap-south-1" {
		t.Errorf("path style %v, endpoint %s, region %s", o.UsePathStyle, aws.ToString(o.BaseEndpoint), o.Region)
	}
	if o.RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired ||
		o.ResponseChecksumValidation != aws.ResponseChecksumValidationWhenRequired {
		t.Errorf("checksums %v %v, want when required", o.RequestChecksumCalculation, o.ResponseChecksumValidation)
	}
	if got := o.Retryer.MaxAttempts(); got != 3 {
		t.Errorf("%d attempts, want 3", got)
	}
	conflict := &smithy.GenericAPIError{Code: "ConditionalRequestConflict"}
	if !o.Retryer.IsErrorRetryable(conflict) || o.Retryer.IsErrorRetryable(&smithy.GenericAPIError{Code: "PreconditionFailed"}) {
		t.Error("want a conflict retried and a failed precondition not")
	}
	for attempt := range 8 {
		if d, err := o.Retryer.RetryDelay(attempt, conflict); err != nil || d > time.Second {
			t.Errorf("delay %s before attempt %d (%v), want at most 1 s", d, attempt, err)
		}
	}
	for range 1000 { // the SDK's own quota ends after 50 to 100
		if _, err := o.Retryer.GetRetryToken(t.Context(), errors.New("down")); err != nil {
			t.Fatalf("the retry quota ran dry: %v", err)
		}
	}
}

func TestTheBuiltTransportEndsEverySilence(t *testing.T) {
	t.Setenv("AWS_DEFAULTS_MODE", "mobile") // would set 30 s to dial
	o := builtOptions(t, Config{Region: "ap-south-1"})
	whole, _ := o.HTTPClient.(wholeRequests)
	client, ok := whole.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		t.Fatalf("the HTTP client is a %T, want the SDK's buildable one", o.HTTPClient)
	}
	if got := client.GetDialer().Timeout; got != 3*time.Second {
		t.Errorf("dial timeout %s", got)
	}
	transport := client.GetTransport()
	if transport.TLSHandshakeTimeout != 3*time.Second || transport.ResponseHeaderTimeout != 5*time.Second ||
		transport.IdleConnTimeout != 30*time.Second {
		t.Errorf("TLS %s, header %s, idle %s", transport.TLSHandshakeTimeout, transport.ResponseHeaderTimeout, transport.IdleConnTimeout)
	}
	if transport.MaxIdleConnsPerHost != 256 || !transport.DisableCompression {
		t.Errorf("idle connections %d, compression off %v", transport.MaxIdleConnsPerHost, transport.DisableCompression)
	}
}

func TestWithoutAnEndpointItIsAWS(t *testing.T) {
	t.Parallel()
	o := builtOptions(t, Config{Region: "ap-south-1"})
	if o.UsePathStyle || o.BaseEndpoint != nil || o.Region != "ap-south-1" {
		t.Errorf("path style %v, endpoint %v, region %s", o.UsePathStyle, o.BaseEndpoint, o.Region)
	}
}

func builtOptions(t *testing.T, cfg Config) s3.Options {
	t.Helper()
	buckets, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return buckets.client.Options()
}

type heldRequest struct{ body io.Reader }

func (h *heldRequest) Do(r *http.Request) (*http.Response, error) {
	h.body = r.Body
	return nil, errors.New("not sent")
}

func TestASmallBodyIsGivenToNetHTTPFromMemory(t *testing.T) {
	t.Parallel()
	for size, inMemory := range map[int]bool{1: true, smallBody: true, smallBody + 1: false} {
		var held heldRequest
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://s3.example/", io.MultiReader(strings.NewReader(strings.Repeat("a", size))))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(size)
		given := r.Body
		if _, err := (wholeRequests{&held}).Do(r); err == nil || (held.body != given) != inMemory {
			t.Errorf("%d bytes: %v, a body of its own: %v", size, err, held.body != given)
		}
		if got, err := io.ReadAll(held.body); err != nil || len(got) != size {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
}
