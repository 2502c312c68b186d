package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Aspect is one way in which a bucket is protected, or not.
type Aspect struct {
	Text string
	// Unknown: the store does not tell.
	Unknown bool
	// Fix is what to do; empty if the bucket is protected.
	Fix string
}

// protection asks for the encryption at rest, the public-access block, and a policy that refuses plain HTTP.
func (b *Buckets) protection(parent context.Context, bucket *Bucket) []Aspect {
	ctx, cancel := bounded(parent)
	defer cancel()
	return []Aspect{b.encryption(ctx, bucket), bucket.publicBlock(ctx), bucket.tlsOnly(ctx)}
}

// unknown is an aspect of which the store has told nothing: it refuses the call, or answers another. absent is its code if the
// bucket has no such configuration.
func unknown(what string, err error, absent string, answered bool) (a Aspect, isUnknown bool) {
	if err == nil && !answered {
		return Aspect{Text: what + ": unknown (the answer does not say)", Unknown: true}, true
	}
	if err == nil {
		return Aspect{}, false
	}
	status, code := answerOf(err)
	if code == absent && status == http.StatusNotFound {
		return Aspect{}, false
	}
	return Aspect{Text: fmt.Sprintf("%s: unknown (%s)", what, explain(status, code)), Unknown: true}, true
}

func (b *Buckets) encryption(ctx context.Context, bucket *Bucket) Aspect {
	const what = "encryption at rest"
	if sse := bucket.client.sse; sse != "" {
		return Aspect{Text: what + ": asked for with each write (" + string(sse) + ")"}
	}
	out, err := b.client.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &bucket.name})
	answered := err == nil && out.ServerSideEncryptionConfiguration != nil && len(out.ServerSideEncryptionConfiguration.Rules) > 0
	if a, is := unknown(what, err, "ServerSideEncryptionConfigurationNotFoundError", answered); is {
		return a
	}
	if answered {
		for _, rule := range out.ServerSideEncryptionConfiguration.Rules {
			if by := rule.ApplyServerSideEncryptionByDefault; by != nil {
				return Aspect{Text: what + ": " + string(by.SSEAlgorithm)}
			}
		}
	}
	if b.client.Options().BaseEndpoint != nil {
		return Aspect{Text: what + ": unknown (the bucket has no default encryption; this server's disks may be encrypted)", Unknown: true}
	}
	return Aspect{Text: what + ": the bucket has no default encryption", Fix: "set one, or KYCQ_S3_SSE"}
}

func (b *Bucket) publicBlock(ctx context.Context) Aspect {
	const what = "public-access block"
	out, err := b.client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &b.name})
	c := new(types.PublicAccessBlockConfiguration)
	if err == nil && out.PublicAccessBlockConfiguration != nil {
		c = out.PublicAccessBlockConfiguration
	}
	if a, is := unknown(what, err, "NoSuchPublicAccessBlockConfiguration", c.BlockPublicAcls != nil); is {
		return a
	}
	for _, on := range []*bool{c.BlockPublicAcls, c.BlockPublicPolicy, c.IgnorePublicAcls, c.RestrictPublicBuckets} {
		if !aws.ToBool(on) {
			return Aspect{Text: what + ": not on, or not whole", Fix: "turn on Block Public Access for the bucket (all four settings)"}
		}
	}
	return Aspect{Text: what + ": on"}
}

func (b *Bucket) tlsOnly(ctx context.Context) Aspect {
	const what = "TLS only"
	if endpoint := b.client.Options().BaseEndpoint; endpoint != nil && strings.HasPrefix(*endpoint, "http://") {
		return Aspect{Text: what + ": no, KYCQ_S3_ENDPOINT is plain http", Unknown: true} // Careless warns of it
	}
	out, err := b.client.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &b.name})
	var policy []byte
	if err == nil {
		policy = []byte(aws.ToString(out.Policy))
	}
	if a, is := unknown(what, err, "NoSuchBucketPolicy", json.Valid(policy)); is {
		return a
	}
	if refusesPlainHTTP(policy, b.name) {
		return Aspect{Text: what + ": the policy refuses plain HTTP"}
	}
	return Aspect{
		Text: what + ": the bucket's policy does not refuse plain HTTP",
		Fix:  `add a statement that denies s3:* to everybody if aws:SecureTransport is "false", unless the server offers no plain HTTP`,
	}
}

// words is a JSON string, or a list of them.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var one any
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	switch v := one.(type) {
	case []any:
		for _, word := range v {
			*w = append(*w, fmt.Sprint(word))
		}
	case map[string]any: // {"AWS": "*"}
		for _, who := range v {
			*w = append(*w, fmt.Sprint(who))
		}
	default:
		*w = words{fmt.Sprint(v)}
	}
	return nil
}

func (w words) has(word string) bool {
	for _, x := range w {
		if strings.Trim(x, "[]") == word {
			return true
		}
	}
	return false
}

// refusesPlainHTTP reports whether a policy denies everybody everything on all objects of the bucket without TLS.
func refusesPlainHTTP(policy []byte, bucket string) bool {
	var p struct {
		Statement []struct {
			Effect                      string
			Principal, Action, Resource words
			Condition                   map[string]map[string]words
		}
	}
	if json.Unmarshal(policy, &p) != nil {
		return false
	}
	for _, s := range p.Statement {
		all := s.Principal.has("*") && (s.Action.has("s3:*") || s.Action.has("*")) && (s.Resource.has("arn:aws:s3:::"+bucket+"/*") || s.Resource.has("*"))
		if s.Effect == "Deny" && all && len(s.Condition) == 1 && len(s.Condition["Bool"]) == 1 && s.Condition["Bool"]["aws:SecureTransport"].has("false") {
			return true
		}
	}
	return false
}
