package objects_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage/storagetest"
)

func TestInitCreatesWhatIsMissingAndMayBeRepeated(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, server *storagetest.Server) {
		store, cfg := server.Open(t), server.Config()
		for _, existed := range []bool{false, true} {
			steps, err := store.Buckets().Init(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			lifecycle := steps[3]
			want := []objects.InitStep{
				{Bucket: cfg.InboxBucket, What: "bucket", Existed: existed},
				{Bucket: cfg.MaskedBucket, What: "bucket", Existed: existed},
				{Bucket: cfg.RecordsBucket, What: "bucket", Existed: existed},
				{Bucket: cfg.InboxBucket, What: "lifecycle", Existed: existed},
				{Bucket: cfg.InboxBucket, What: "lifecycle", Existed: existed},
				{Bucket: cfg.RecordsBucket, What: "lifecycle", Existed: existed},
				{Bucket: cfg.RecordsBucket, What: "lifecycle", Existed: existed},
			}
			if lifecycle.Warning != "" { // gofakes3 has no lifecycle rules, which is not a failure
				want[3].Existed, want[3].Warning = false, lifecycle.Warning
				want[4].Existed, want[4].Warning = false, steps[4].Warning
				want[5].Existed, want[5].Warning = false, steps[5].Warning
				want[6].Existed, want[6].Warning = false, steps[6].Warning
			}
			if diff := cmp.Diff(want, steps); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		if err := store.Buckets().SelfTest(t.Context()); err != nil {
			t.Errorf("probe after init: %v", err)
		}
	})
}

func TestAStoreWithoutLifecycleIsAWarningThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	steps, err := storagetest.StartFake(t).Open(t).Buckets().Init(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w := steps[3].Warning; !strings.Contains(w, "remove uploads older than 30 days yourself") || strings.Contains(w, "\n") {
		t.Errorf("warning %q", w)
	}
}

func TestTheInboxLifecycleGoesByTheUploadTagAndKeepsTheUsersRules(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	store, ctx, bucket := server.Store(t), t.Context(), server.Config().InboxBucket
	raw := rawClient(server)
	user := types.LifecycleRule{
		ID: aws.String("users-own"), Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{Prefix: aws.String("cards/")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(7)},
	}
	outdated := types.LifecycleRule{
		ID: aws.String("kycq-inbox-uploads"), Status: types.ExpirationStatusEnabled,
		Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)},
	}
	_, err := raw.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{
		Bucket: &bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{user, outdated}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if steps, err := store.Buckets().Init(ctx); err != nil || steps[3].Existed || steps[3].Warning != "" {
		t.Fatalf("%+v, %v", steps, err)
	}
	out, err := raw.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range out.Rules {
		if r.Filter.Tag != nil {
			got[*r.ID] = *r.Filter.Tag.Key + "=" + *r.Filter.Tag.Value
		} else {
			got[*r.ID] = aws.ToString(r.Filter.Prefix)
		}
		if *r.ID == "kycq-inbox-uploads" && *r.Expiration.Days != 30 {
			t.Errorf("expires after %d days, want 30", *r.Expiration.Days)
		}
	}
	if diff := cmp.Diff(map[string]string{"users-own": "cards/", "kycq-inbox-uploads": "kycq=upload", "kycq-quarantine": "quarantine/"}, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func TestAnUploadCarriesTheTagThatTheLifecycleLooksFor(t *testing.T) {
	t.Parallel()
	server := storagetest.StartMinIO(t)
	b, key := server.Store(t).Buckets(), "single/TAG"
	upload := objects.Upload{Body: strings.NewReader("x"), Size: 1, SHA256: "00", ContentType: "image/png"}
	if err := b.Upload(t.Context(), key, upload); err != nil {
		t.Fatal(err)
	}
	out, err := rawClient(server).GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(b.Inbox.Name()), Key: &key})
	if err != nil || len(out.TagSet) != 1 || *out.TagSet[0].Key != "kycq" || *out.TagSet[0].Value != "upload" {
		t.Errorf("%v, %v", out, err)
	}
}

// rawClient is a plain SDK client, to look at what the store itself holds.
func rawClient(server *storagetest.Server) *s3.Client {
	cfg := server.Config()
	return s3.New(s3.Options{
		BaseEndpoint: &cfg.Endpoint, UsePathStyle: true, Region: cfg.Region, HTTPClient: &http.Client{},
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey.Reveal(), ""),
	})
}
