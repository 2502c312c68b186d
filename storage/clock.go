package storage

import (
	"context"
	"errors"
	"net/http"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Clock tells by how much this machine's clock is ahead of the store's, negative where it is behind, to about a second.
// Any answer of the store's has the time, a refusal too; the error is for a store that gives none.
func (s *Store) Clock(parent context.Context) (ahead time.Duration, err error) {
	const op = "ask the store for its time"
	ctx, cancel := context.WithTimeoutCause(parent, callTimeout, errTooSlow)
	defer cancel()
	one := int32(1)
	began := time.Now()
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.cfg.RecordsBucket, MaxKeys: &one})
	ended := time.Now()
	theirs, told := time.Time{}, false
	if err == nil {
		theirs, told = awsmiddleware.GetServerTime(out.ResultMetadata)
	} else {
		theirs, told = dateOf(err)
	}
	switch {
	case told:
		// The header is cut to the second: on average it is half a second late.
		ours := began.Add(ended.Sub(began) / 2)
		return ours.Sub(theirs.Add(time.Second / 2)).Round(time.Second), nil
	case err != nil:
		return 0, classify(parent, op, s.cfg.RecordsBucket, err)
	}
	return 0, errors.New(op + ": its answer has no Date header")
}

// dateOf reads when the store refused a request.
func dateOf(err error) (time.Time, bool) {
	var refused *awshttp.ResponseError
	if !errors.As(err, &refused) || refused.Response == nil {
		return time.Time{}, false
	}
	at, bad := http.ParseTime(refused.Response.Header.Get("Date"))
	return at, bad == nil
}
