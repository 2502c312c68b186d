package objects

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// MaxPresign is the longest life of a link that S3 accepts.
const MaxPresign = 7 * 24 * time.Hour

// Presign returns a link with which anybody can read the object for the given time, at most MaxPresign, or until the
// credentials expire. It does not check that the object exists.
func (b *Bucket) Presign(ctx context.Context, key string, life time.Duration) (string, error) {
	op := "presign " + b.noun
	if err := b.checkKey(key); err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	req, err := s3.NewPresignClient(b.client.Client, s3.WithPresignExpires(life)).
		PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return "", classify(ctx, op, b.name, err)
	}
	return req.URL, nil
}
