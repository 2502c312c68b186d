package objects_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/storage/storagetest"
)

// answers answers requests for a configuration of a bucket, by the name in their query, with a status and a body.
func answers(by map[string]string) storagetest.Intercept {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		for name, answer := range by {
			if r.Method == http.MethodGet && r.URL.Query().Has(name) {
				status, body, _ := strings.Cut(answer, " ")
				code := 0
				_, _ = fmt.Sscan(status, &code)
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
				return
			}
		}
		next.ServeHTTP(w, r)
	}
}

func refusal(code string) string { return "<Error><Code>" + code + "</Code></Error>" }

func TestTheProtectionOfABucketIsFineBadOrUnknown(t *testing.T) {
	t.Parallel()
	const rules = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>" +
		"</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
	const block = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>" +
		"<IgnorePublicAcls>true</IgnorePublicAcls><RestrictPublicBuckets>%s</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
	server := storagetest.StartFake(t)
	store := server.Store(t)
	for name, c := range map[string]struct {
		answers map[string]string
		want    string // of each aspect: fine, bad or unknown
	}{
		"protected":   {map[string]string{"encryption": "200 " + rules, "publicAccessBlock": "200 " + fmt.Sprintf(block, "true")}, "fine fine unknown"},
		"open":        {map[string]string{"encryption": "404 " + refusal("ServerSideEncryptionConfigurationNotFoundError"), "publicAccessBlock": "404 " + refusal("NoSuchPublicAccessBlockConfiguration")}, "unknown bad unknown"},
		"half":        {map[string]string{"encryption": "200 <ListBucketResult/>", "publicAccessBlock": "200 " + fmt.Sprintf(block, "false")}, "unknown bad unknown"},
		"not told":    {map[string]string{"encryption": "501 " + refusal("NotImplemented"), "publicAccessBlock": "403 " + refusal("AccessDenied")}, "unknown unknown unknown"},
		"another 404": {map[string]string{"encryption": "404 " + refusal("NoSuchKey"), "publicAccessBlock": "200 <ListBucketResult/>"}, "unknown unknown unknown"},
	} {
		server.Use(answers(c.answers))
		var got []string
		for _, a := range store.Buckets().Check(t.Context())[0].Protection {
			switch {
			case a.Unknown:
				got = append(got, "unknown")
			case a.Fix != "":
				got = append(got, "bad")
			default:
				got = append(got, "fine")
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestBucketsOutsideOfTheAllowedRegionsAreRefused(t *testing.T) {
	t.Parallel()
	server := storagetest.StartFake(t)
	cfg := server.Store(t).Config()
	cfg.AllowedRegions = []string{"ap-south-1", "us-east-1"}
	store, err := storage.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for answer, want := range map[string]error{
		"200 <LocationConstraint>ap-south-1</LocationConstraint>": nil,
		"200 <LocationConstraint/>":                               nil, // us-east-1
		"200 <LocationConstraint>EU</LocationConstraint>":         objects.ErrRegion,
		"200 <LocationConstraint>eu-west-1</LocationConstraint>":  objects.ErrRegion,
		"403 " + refusal("AccessDenied"):                          objects.ErrDenied,
	} {
		server.Use(answers(map[string]string{"location": answer}))
		for how, err := range map[string]error{
			"at start": store.Buckets().SelfTest(t.Context()), "of a producer": store.Buckets().CheckRegions(t.Context()), "in doctor": store.Buckets().Check(t.Context())[2].Err,
		} {
			if !errors.Is(err, want) {
				t.Errorf("%s, %s: %v", answer, how, err)
			}
		}
	}
}
