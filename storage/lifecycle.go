package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const lifecycleRule = "kycq-inbox-uploads"

// inboxRule deletes uploads that a crash, a cancelled batch or a failed job has left. S3 cannot exclude quarantine/, so the
// rule selects by the tag that UploadImage sets; it also skips the user's own objects in the bucket. In a versioned bucket
// a deleted upload becomes a noncurrent version, which is deleted a day later.
func (s *Store) inboxRule() types.LifecycleRule {
	days := int32(s.cfg.InboxLifecycle / day) //nolint:gosec // the longest Duration has 106,751 days
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
func (s *Store) makeLifecycle(parent context.Context) (InitStep, error) {
	step := InitStep{Bucket: s.cfg.InboxBucket, What: "lifecycle"}
	ctx, cancel := bounded(parent)
	defer cancel()
	existed, err := s.ensureRule(ctx)
	switch status, _ := answerOf(err); {
	case err == nil:
		step.Existed = existed
		return step, nil
	case status == 0 && !errors.Is(err, errRuleNotKept):
		return step, classify(parent, "set inbox lifecycle", s.cfg.InboxBucket, err)
	}
	if !errors.Is(err, errRuleNotKept) {
		err = classify(parent, "set inbox lifecycle", s.cfg.InboxBucket, err)
	}
	step.Warning = fmt.Sprintf("no lifecycle rule on %s: remove uploads older than %d days yourself (%v)",
		s.cfg.InboxBucket, s.cfg.InboxLifecycle/day, err)
	return step, nil
}

// errRuleNotKept: some stores answer 200 and do not store the rule.
var errRuleNotKept = errors.New("the store accepted the rule but does not return it")

func (s *Store) ensureRule(ctx context.Context) (existed bool, err error) {
	rules, err := s.rules(ctx)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(rules, s.isInboxRule) {
		return true, nil
	}
	// The configuration is replaced as a whole: keep all rules but an outdated one of ours.
	rules = slices.DeleteFunc(rules, func(r types.LifecycleRule) bool { return aws.ToString(r.ID) == lifecycleRule })
	_, err = s.client.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket:                 &s.cfg.InboxBucket,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: append(rules, s.inboxRule())},
	})
	if err != nil {
		return false, err
	}
	rules, err = s.rules(ctx)
	if err == nil && !slices.ContainsFunc(rules, s.isInboxRule) {
		err = errRuleNotKept
	}
	return false, err
}

func (s *Store) isInboxRule(r types.LifecycleRule) bool {
	want := s.inboxRule()
	return aws.ToString(r.ID) == lifecycleRule && r.Status == want.Status &&
		r.Filter != nil && r.Filter.Tag != nil &&
		aws.ToString(r.Filter.Tag.Key) == uploadTagKey && aws.ToString(r.Filter.Tag.Value) == uploadTagValue &&
		r.Expiration != nil && aws.ToInt32(r.Expiration.Days) == *want.Expiration.Days
}

func (s *Store) rules(ctx context.Context) ([]types.LifecycleRule, error) {
	out, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &s.cfg.InboxBucket})
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "NoSuchLifecycleConfiguration" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Rules, nil
}
