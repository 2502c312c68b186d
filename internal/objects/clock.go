package objects

import (
	"context"
	"errors"
	"net/http"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Clock returns how far this machine's clock is ahead of the store's (negative: behind), to about a second. Any response
// of the store carries its time, also a refusal; the error is for a store that sends none.
func (b *Buckets) Clock(ctx context.Context) (ahead time.Duration, err error) {
	const op = "read the store's clock"
	began := time.Now()
	out, err := b.Records.listOne(ctx)
	ours := began.Add(time.Since(began) / 2)
	var theirs time.Time
	var dated bool
	if err == nil {
		theirs, dated = awsmiddleware.GetServerTime(out.ResultMetadata)
	} else {
		theirs, dated = dateOf(err)
	}
	switch {
	case dated:
		// The header is cut to the second: on average it is half a second late.
		return ours.Sub(theirs.Add(time.Second / 2)).Round(time.Second), nil
	case err != nil:
		return 0, classify(ctx, op, b.Records.name, err)
	}
	return 0, errors.New(op + ": its response has no Date header")
}

// dateOf returns the Date header of a refused request.
func dateOf(err error) (time.Time, bool) {
	var refused *awshttp.ResponseError
	if !errors.As(err, &refused) || refused.Response == nil {
		return time.Time{}, false
	}
	at, bad := http.ParseTime(refused.Response.Header.Get("Date"))
	return at, bad == nil
}
