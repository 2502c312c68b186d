package objects

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kycq/kycq/internal/sleep"
)

// Fence returns a context whose requests are signed with the date at. Every store refuses a request 15 minutes after its
// date, so a process that was paused, or a retry, cannot write later than that.
func Fence(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, fenceKey{}, &fence{at: at})
}

// FencedAt returns the date of the fence; ok is false if ctx has none.
func FencedAt(ctx context.Context) (at time.Time, ok bool) {
	f, ok := ctx.Value(fenceKey{}).(*fence)
	if !ok {
		return time.Time{}, false
	}
	return f.at, true
}

type fenceKey struct{}

type fence struct {
	at    time.Time
	once  sync.Once
	dated time.Time
}

// date is the same for all tries: the SDK corrects the clock after a refusal, and would let the next try pass.
func (f *fence) date(signing time.Time) time.Time {
	f.once.Do(func() { f.dated = signing.Add(-sleep.Elapsed(f.at)) })
	return f.dated
}

// fencedSigner wraps the SDK's signer.
type fencedSigner struct{ s3.HTTPSignerV4 }

func (s fencedSigner) SignHTTP(
	ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions),
) error {
	if f, ok := ctx.Value(fenceKey{}).(*fence); ok {
		at = f.date(at)
	}
	return s.HTTPSignerV4.SignHTTP(ctx, c, r, hash, service, region, at, opts...)
}
