package objects

import (
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
	lifecycleRule = "kycq-inbox-uploads"
	// The tag marks objects that Upload put into the inbox.
	uploadTagKey, uploadTagValue = "kycq", "upload"
	day                          = 24 * time.Hour
)

// inboxRule deletes uploads that a crash, a cancelled batch or a failed job has left. S3 cannot exclude quarantine/, so the
// rule selects by the tag that Upload sets; it also skips the user's own objects in the bucket. In a versioned bucket
// a deleted upload becomes a noncurrent version, which is deleted a day later.
func (b *Buckets) inboxRule() types.LifecycleRule {
	days := int32(b.inboxLifecycle / day) //nolint:gosec // the longest Duration has 106,751 days
	return types.LifecycleRule{
		ID:     aws.String(lifecycleRule),
		Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{
			Tag: &types.Tag{Key: aws.String(uploadTagKey), Value: aws.String(uploadTagValue)},
		},
		Expiration:                  &types.LifecycleExpiration{Days: &days},
		NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)},
	}
}

// makeLifecycle adds the rule to the bucket's others, which are the user's. The rule is a safeguard: a store that does not
// accept it causes a warning.
func (b *Buckets) makeLifecycle(parent context.Context) (InitStep, error) {
	step := InitStep{Bucket: b.Inbox.name, What: "lifecycle"}
	ctx, cancel := bounded(parent)
	defer cancel()
	existed, err := b.ensureRule(ctx)
	if err == nil {
		step.Existed = existed
		return step, nil
	}
	if !errors.Is(err, errRuleNotKept) {
		status, _ := answerOf(err)
		err = classify(parent, "set inbox lifecycle", b.Inbox.name, err)
		if status == 0 {
			return step, err
		}
	}
	step.Warning = fmt.Sprintf("no lifecycle rule on %s: remove uploads older than %d days yourself (%v)",
		b.Inbox.name, b.inboxLifecycle/day, err)
	return step, nil
}

// errRuleNotKept: some stores answer 200 and do not store the rule.
var errRuleNotKept = errors.New("the store accepted the rule but does not return it")

func (b *Buckets) ensureRule(ctx context.Context) (existed bool, err error) {
	rules, err := b.rules(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(rules, b.isInboxRule) {
		return true, nil
	}
	// The configuration is replaced as a whole: keep all rules but an outdated one of ours.
	rules = slices.DeleteFunc(rules, func(r types.LifecycleRule) bool { return aws.ToString(r.ID) == lifecycleRule })
	_, err = b.client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket:                 &b.Inbox.name,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: append(rules, b.inboxRule())},
	})
	if err != nil {
		return false, err
	}
	rules, err = b.rules(ctx)
	if err == nil && !slices.ContainsFunc(rules, b.isInboxRule) {
		err = errRuleNotKept
	}
	return false, err
}

func (b *Buckets) isInboxRule(r types.LifecycleRule) bool {
	want := b.inboxRule()
	return aws.ToString(r.ID) == lifecycleRule && r.Status == want.Status &&
		r.Filter != nil && r.Filter.Tag != nil &&
		aws.ToString(r.Filter.Tag.Key) == uploadTagKey && aws.ToString(r.Filter.Tag.Value) == uploadTagValue &&
		r.Expiration != nil && aws.ToInt32(r.Expiration.Days) == *want.Expiration.Days
}

func (b *Buckets) rules(ctx context.Context) ([]types.LifecycleRule, error) {
	out, err := b.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &b.Inbox.name})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchLifecycleConfiguration" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Rules, nil
}
