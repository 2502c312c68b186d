package objects

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Retention is what a bucket keeps of deleted objects, and what it deletes by itself.
type Retention struct {
	Versioning string // off, Enabled, Suspended, or unknown
	Lock       string // the default retention, such as COMPLIANCE 30 days; no default retention; empty: no object lock
	// Rules are the enabled lifecycle rules.
	Rules    []string
	Warnings []Problem
}

// Problem is something that kycq can work with, and what to do about it.
type Problem struct{ Message, Fix string }

func (r *Retention) warn(message, fix string) { r.Warnings = append(r.Warnings, Problem{message, fix}) }

func (r Retention) String() string {
	parts := []string{"versioning " + r.Versioning, "no object lock", "no lifecycle rules"}
	if r.Lock != "" {
		parts[1] = "object lock (" + r.Lock + ")"
	}
	if len(r.Rules) > 0 {
		parts[2] = "lifecycle rules " + strings.Join(r.Rules, ", ")
	}
	return strings.Join(parts, "; ")
}

// retention reads the bucket's configuration. What the store refuses to tell is unknown.
func (b *Buckets) retention(ctx context.Context, bucket *Bucket) Retention {
	r := Retention{Versioning: "off"}
	r.readVersioning(ctx, bucket)
	b.readRules(ctx, bucket, &r)
	return r
}

func (r *Retention) readVersioning(parent context.Context, b *Bucket) {
	ctx, cancel := bounded(parent)
	defer cancel()
	if out, err := b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &b.name}); err != nil {
		r.Versioning = "unknown (" + refusal(err) + ")"
	} else if out.Status != "" {
		r.Versioning = string(out.Status)
	}
	out, err := b.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.name})
	if err != nil || out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.ObjectLockEnabled == "" {
		return
	}
	r.Lock = "no default retention"
	if rule := out.ObjectLockConfiguration.Rule; rule != nil && rule.DefaultRetention != nil {
		n, unit := aws.ToInt32(rule.DefaultRetention.Days), "days"
		if n == 0 {
			n, unit = aws.ToInt32(rule.DefaultRetention.Years), "years"
		}
		r.Lock = fmt.Sprintf("%s %d %s", rule.DefaultRetention.Mode, n, unit)
		r.warn("object lock keeps what kycq erase and the deletion of uploads should remove: "+r.Lock,
			"remove the default retention of the bucket")
	}
}

// readRules names the lifecycle rules of the bucket, and looks for one that deletes what kycq never deletes.
func (b *Buckets) readRules(parent context.Context, bucket *Bucket, r *Retention) {
	ctx, cancel := bounded(parent)
	defer cancel()
	wanted := b.lifecycles()
	rules, err := bucket.rules(ctx)
	if err != nil {
		r.Rules = []string{"unknown (" + refusal(err) + ")"}
		if isDenied(err) { // the rules may be there
			return
		}
	}
	for _, rule := range rules {
		if rule.Status != types.ExpirationStatusEnabled {
			continue
		}
		r.Rules = append(r.Rules, aws.ToString(rule.ID))
		ends := rule.Expiration != nil && (rule.Expiration.Days != nil || rule.Expiration.Date != nil)
		if ends && bucket == b.Records && covers(rule, "records/") {
			r.warn(fmt.Sprintf("lifecycle rule %s deletes records; jobs without a record are paid for again", aws.ToString(rule.ID)), "remove the rule")
		}
	}
	for _, l := range wanted {
		if l.bucket == bucket && (bucket == b.Inbox || r.Versioning != "off") && !slices.ContainsFunc(rules, l.is) {
			r.warn("no lifecycle rule "+*l.rule.ID, "run kycq storage init; if the store takes no rules, "+l.manual)
		}
	}
}

// covers reports whether a rule may apply to keys below prefix.
func covers(rule types.LifecycleRule, prefix string) bool {
	var selected string
	switch f := rule.Filter; {
	case f == nil:
		selected = aws.ToString(rule.Prefix) //nolint:staticcheck // the form of old rules
	case f.And != nil:
		selected = aws.ToString(f.And.Prefix)
	case f.Tag != nil:
		return false // kycq sets no tags on records
	default:
		selected = aws.ToString(f.Prefix)
	}
	return strings.HasPrefix(prefix, selected) || strings.HasPrefix(selected, prefix)
}

// refusal is the code or status of an error.
func refusal(err error) string {
	status, code := answerOf(err)
	return explain(status, code)
}
