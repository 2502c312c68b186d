package objects

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/kycq/kycq/internal/access"
)

const (
	deniedParallel = 8
	// noETag is the ETag of no object. A PUT with it is refused after the permissions were checked, and writes nothing.
	noETag = `"00000000000000000000000000000000"`
)

// Denied returns which permissions the credentials lack. It tries each with a request that changes nothing: on a random key
// without an object, or with a condition that no object meets. selfTest is the error of SelfTest: if the store ignores conditions,
// no PUT is tried, and PUTs to keys of existing objects are tried only after a SelfTest without error.
func (b *Buckets) Denied(ctx context.Context, want []access.Permission, selfTest error) ([]access.Permission, error) {
	var mu sync.Mutex
	var lacking []access.Permission
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deniedParallel)
	for _, p := range want {
		whole := p.Key != "" && !strings.HasSuffix(p.Key, "/")
		if strings.HasPrefix(p.Action, "PutObject") && (errors.Is(selfTest, ErrNoConditions) || whole && selfTest != nil) {
			continue
		}
		group.Go(func() error {
			bucket := b.role(p.Bucket)
			key := p.Key
			if !whole {
				key += probePrefix[:len(probePrefix)-1] + "-" + NewWriteID()
			}
			err := bucket.try(ctx, p.Action, key)
			status, code := answerOf(err)
			switch {
			case isDenied(err):
				mu.Lock()
				defer mu.Unlock()
				lacking = append(lacking, p)
			case status == 0, advice[code] != "", code == "NoSuchBucket":
				return classify(ctx, "try "+p.Action, bucket.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	has := func(p access.Permission, action, key string) bool {
		return slices.Contains(lacking, access.Permission{Bucket: p.Bucket, Action: action, Key: key})
	}
	// One missing permission denies the requests of others, too.
	implied := func(p access.Permission) bool {
		return p.Action != "ListBucket" && strings.HasPrefix(p.Action, "GetObject") && has(p, "ListBucket", "") ||
			p.Action == "PutObjectTagging" && has(p, "PutObject", p.Key)
	}
	// In the order of want.
	return slices.DeleteFunc(slices.Clone(want), func(p access.Permission) bool { return !slices.Contains(lacking, p) || implied(p) }), nil
}

func isDenied(err error) bool {
	status, code := answerOf(err)
	return status == http.StatusForbidden && (code == "AccessDenied" || code == "Forbidden")
}

// role returns a bucket by its role.
func (b *Buckets) role(name string) *Bucket {
	return map[string]*Bucket{access.Inbox: b.Inbox, access.Masked: b.Masked, access.Records: b.Records}[name]
}

// try sends the request of an action. Its error is not classified.
func (b *Bucket) try(parent context.Context, action, key string) (err error) {
	ctx, cancel := bounded(parent)
	defer cancel()
	null := aws.String("null")
	switch action {
	case "ListBucket":
		_, err = b.listOne(ctx)
	case "ListBucketVersions":
		_, err = b.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &b.name, Prefix: &key, MaxKeys: aws.Int32(1)})
	case "GetObject":
		_, err = b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key})
	case "GetObjectVersion":
		_, err = b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key, VersionId: null})
	case "GetObjectRetention":
		_, err = b.client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: &b.name, Key: &key})
	case "GetObjectLegalHold":
		_, err = b.client.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: &b.name, Key: &key})
	case "PutObject":
		_, err = b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: &key, IfMatch: aws.String(noETag)})
	case "PutObjectTagging":
		_, err = b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &b.name, Key: &key, IfMatch: aws.String(noETag), Tagging: aws.String(uploadTagKey + "=" + uploadTagValue),
		})
	case "DeleteObject":
		var out *s3.DeleteObjectOutput
		if out, err = b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, IfMatch: aws.String(noETag)}); err == nil && out.VersionId != nil {
			return b.purgeVersions(ctx, key, true) // the store has ignored the condition and put a delete marker
		}
	case "DeleteObjectVersion":
		_, err = b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, VersionId: null})
	case "AbortMultipartUpload":
		_, err = b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: &key, UploadId: aws.String(NewWriteID())})
	case "GetBucketLocation":
		_, err = b.client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &b.name})
	case "GetBucketVersioning":
		_, err = b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.name})
	case "GetLifecycleConfiguration":
		_, err = b.rules(ctx)
	case "GetBucketObjectLockConfiguration":
		_, err = b.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.name})
	case "GetEncryptionConfiguration":
		_, err = b.client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &b.name})
	case "GetBucketP*":
		if _, err = b.client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &b.name}); !isDenied(err) {
			_, err = b.client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &b.name})
		}
	default:
		return errors.New("not an action that kycq uses: " + action)
	}
	return err
}
