package storage_test

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/kycq/kycq/storage/storagetest"
)

// serveBody answers every GET with the same object.
func serveBody(body string) storagetest.Intercept {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("ETag", `"1"`)
		_, _ = w.Write([]byte(body))
	}
}

func containsPersonal(err error) bool { return strings.Contains(err.Error(), "SPECIMEN NAME") }

func listInput(bucket string) *s3.ListObjectsV2Input { return &s3.ListObjectsV2Input{Bucket: &bucket} }
