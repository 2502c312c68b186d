package objects

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// maxObject bounds the size of an object that Get reads.
const maxObject = 64 << 20

// Bucket is a bucket, or the part of one below a prefix.
type Bucket struct {
	client *client
	name   string
	prefix string
	noun   string // what error messages call an object
}

// Name returns the name of the bucket.
func (b *Bucket) Name() string { return b.name }

// Within returns the part of the bucket whose keys begin with prefix; it refuses other keys. Error messages call an object
// noun.
func (b *Bucket) Within(prefix, noun string) *Bucket {
	return &Bucket{client: b.client, name: b.name, prefix: prefix, noun: noun}
}

// Object is an object that was read.
type Object struct {
	Body []byte
	ETag string // for Swap
	// Age is how long ago the object was written by the store's clock (Date minus Last-Modified of one response), in whole
	// seconds.
	Age time.Duration
}

// Get reads an object of at most 64 MiB with one request. It returns ErrNotFound if there is none.
func (b *Bucket) Get(parent context.Context, key string) (*Object, error) {
	op := "read " + b.noun
	if err := b.checkKey(key); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return nil, classify(parent, op, b.name, err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxObject+1))
	if err != nil {
		return nil, classify(parent, op, b.name, err)
	}
	if len(body) > maxObject {
		return nil, fmt.Errorf("%s: object is larger than %d bytes", op, maxObject)
	}
	return &Object{Body: body, ETag: aws.ToString(out.ETag), Age: age(out.ResultMetadata, out.LastModified)}, nil
}

// Put writes an object and overwrites an existing one. It is for objects that have one writer or always the same content.
func (b *Bucket) Put(parent context.Context, key string, body []byte, contentType string) error {
	op := "put " + b.noun
	if err := b.checkKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &key, ContentType: &contentType, Body: bytes.NewReader(body)})
	return classify(parent, op, b.name, err)
}

// Delete deletes an object. A missing one is not an error. A bucket with versions keeps them (see Purge).
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.remove(ctx, key)
	return err
}

// remove deletes an object. versioned is true if the store says that it has put a delete marker; MinIO does not, if
// versioning is suspended.
func (b *Bucket) remove(parent context.Context, key string) (versioned bool, err error) {
	op := "delete " + b.noun
	if err := b.checkKey(key); err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := bounded(parent)
	defer cancel()
	out, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		return false, classify(parent, op, b.name, err)
	}
	return aws.ToBool(out.DeleteMarker) || out.VersionId != nil, nil
}

// bounded returns a context that ends after callTimeout.
func bounded(parent context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(parent, callTimeout, errTooSlow)
}

// age is Date minus Last-Modified of one response. If one is missing it is 0, which never lets a worker take a record over;
// SelfTest refuses such a store.
func age(response middleware.Metadata, modified *time.Time) time.Duration {
	date, ok := awsmiddleware.GetServerTime(response)
	if !ok || modified == nil {
		return 0
	}
	return max(0, date.Sub(*modified))
}

// maxSegment is far above a verification_id (50) and a batch id, and keeps every key under S3's limit of 1,024 bytes.
const maxSegment = 200

var segmentForm = regexp.MustCompile(`^[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*$`)

// CheckSegment checks what is between two slashes of a key. The required letter or digit excludes "." and "..", which
// proxies and stores on a file system would resolve.
func CheckSegment(what, s string) error {
	if len(s) > maxSegment || !segmentForm.MatchString(s) {
		return fmt.Errorf("%s cannot be part of a storage key: want 1 to %d of [A-Za-z0-9._-], at least one letter or digit", what, maxSegment)
	}
	return nil
}

// checkKey checks the key of an object below the prefix.
func (b *Bucket) checkKey(key string) error {
	if !strings.HasPrefix(key, b.prefix) {
		return fmt.Errorf("storage key is outside of %s", b.prefix)
	}
	if len(key) > 1024 {
		return fmt.Errorf("storage key has %d bytes: at most 1024 are allowed", len(key))
	}
	for segment := range strings.SplitSeq(key, "/") {
		if err := CheckSegment("object name", segment); err != nil {
			return err
		}
	}
	return nil
}

// checkPrefix checks the prefix of a listing: that of the bucket, or the beginning of a key below it.
func (b *Bucket) checkPrefix(prefix string) error {
	if prefix == b.prefix {
		return nil
	}
	return b.checkKey(strings.TrimSuffix(prefix, "/"))
}
