package objects

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const (
	// The tag marks objects that Upload put into the inbox.
	uploadTagKey, uploadTagValue = "kycq", "upload"
	day                          = 24 * time.Hour
)

// lifecycle is a rule of kycq's in a bucket.
type lifecycle struct {
	bucket *Bucket
	rule   types.LifecycleRule
	manual string // what to do if the store does not take the rule
}

func (b *Buckets) lifecycles() []lifecycle {
	return []lifecycle{b.inboxUploads(), b.quarantine(), b.openMarkers(), b.owedEvents()}
}

// inboxUploads deletes uploads that a crash, a cancelled batch or a failed job has left. The rule selects by the tag that Upload
// sets: it skips the user's own objects in the bucket. In a versioned bucket
// a deleted upload becomes a noncurrent version, which is deleted a day later.
func (b *Buckets) inboxUploads() lifecycle {
	days := int32(b.inboxLifecycle / day) //nolint:gosec // the longest Duration has 106,751 days
	return lifecycle{b.Inbox, types.LifecycleRule{
		ID:     aws.String("kycq-inbox-uploads"),
		Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{
			Tag: &types.Tag{Key: aws.String(uploadTagKey), Value: aws.String(uploadTagValue)},
		},
		Expiration:                  &types.LifecycleExpiration{Days: &days},
		NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
	}, fmt.Sprintf("remove uploads older than %d days yourself", days)}
}

// quarantine deletes images of reviews that were never decided. Workers renew those of open reviews.
func (b *Buckets) quarantine() lifecycle {
	l := b.inboxUploads()
	l.rule.ID, l.rule.Filter = aws.String("kycq-quarantine"), &types.LifecycleRuleFilter{Prefix: aws.String("quarantine/")}
	l.manual = fmt.Sprintf("remove images below quarantine/ that are older than %d days yourself", *l.rule.Expiration.Days)
	return l
}

// openMarkers removes what a versioned bucket keeps of deleted markers: each job writes and deletes one.
func (b *Buckets) openMarkers() lifecycle {
	return lifecycle{b.Records, types.LifecycleRule{
		ID:                          aws.String("kycq-open-markers"),
		Status:                      types.ExpirationStatusEnabled,
		Filter:                      &types.LifecycleRuleFilter{Prefix: aws.String("open/")},
		Expiration:                  &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)},
		NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
	}, "if the bucket keeps versions, remove the old versions under open/ yourself"}
}

// owedEvents ends what is owed to webhook endpoints that are gone or stopped.
func (b *Buckets) owedEvents() lifecycle {
	const days = 30
	return lifecycle{b.Records, types.LifecycleRule{
		ID:                          aws.String("kycq-owed-events"),
		Status:                      types.ExpirationStatusEnabled,
		Filter:                      &types.LifecycleRuleFilter{Prefix: aws.String("owed/")},
		Expiration:                  &types.LifecycleExpiration{Days: aws.Int32(days)},
		NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
	}, fmt.Sprintf("remove objects below owed/ that are older than %d days yourself", days)}
}

// set adds the rule to the bucket's others, which are the user's. The rule is a safeguard: a store that does not accept it
// causes a warning.
func (l lifecycle) set(parent context.Context) (InitStep, error) {
	step := InitStep{Bucket: l.bucket.name, What: "lifecycle"}
	ctx, cancel := bounded(parent)
	defer cancel()
	existed, err := l.ensure(ctx)
	if err == nil {
		step.Existed = existed
		return step, nil
	}
	if !errors.Is(err, errRuleNotKept) {
		status, _ := answerOf(err)
		err = classify(parent, "set lifecycle", l.bucket.name, err)
		if status == 0 {
			return step, err
		}
	}
	step.Warning = fmt.Sprintf("no lifecycle rule on %s: %s (%v)", l.bucket.name, l.manual, err)
	return step, nil
}

// errRuleNotKept: some stores answer 200 and do not store the rule.
var errRuleNotKept = errors.New("the store accepted the rule but does not return it")

func (l lifecycle) ensure(ctx context.Context) (existed bool, err error) {
	rules, err := l.bucket.rules(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(rules, l.is) {
		return true, nil
	}
	// The configuration is replaced as a whole: keep all rules but an outdated one of ours.
	rules = slices.DeleteFunc(rules, func(r types.LifecycleRule) bool { return aws.ToString(r.ID) == *l.rule.ID })
	_, err = l.bucket.client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket:                 &l.bucket.name,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: append(rules, l.rule)},
	})
	if err != nil {
		return false, err
	}
	rules, err = l.bucket.rules(ctx)
	if err == nil && !slices.ContainsFunc(rules, l.is) {
		err = errRuleNotKept
	}
	return false, err
}

// is compares what stores return as it was written.
func (l lifecycle) is(r types.LifecycleRule) bool {
	want := l.rule
	if aws.ToString(r.ID) != *want.ID || r.Status != want.Status || r.Filter == nil || r.Expiration == nil {
		return false
	}
	tag, wantTag := cmp.Or(r.Filter.Tag, &types.Tag{}), cmp.Or(want.Filter.Tag, &types.Tag{})
	return aws.ToString(tag.Key) == aws.ToString(wantTag.Key) && aws.ToString(tag.Value) == aws.ToString(wantTag.Value) &&
		aws.ToString(r.Filter.Prefix) == aws.ToString(want.Filter.Prefix) &&
		aws.ToInt32(r.Expiration.Days) == aws.ToInt32(want.Expiration.Days) &&
		aws.ToBool(r.Expiration.ExpiredObjectDeleteMarker) == aws.ToBool(want.Expiration.ExpiredObjectDeleteMarker)
}

func (b *Bucket) rules(ctx context.Context) ([]types.LifecycleRule, error) {
	out, err := b.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &b.name})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchLifecycleConfiguration" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Rules, nil
}
