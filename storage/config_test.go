package storage_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/kycq/kycq/storage"
)

func TestAConfigurationThatCannotWorkIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]storage.Config{
		"no scheme":            {Endpoint: "127.0.0.1:9000"},
		"credentials in it":    {Endpoint: "http://user:SPECIMEN@127.0.0.1:9000"},
		"one bucket twice":     {InboxBucket: "a-bucket", MaskedBucket: "a-bucket"},
		"a bucket with a path": {RecordsBucket: "a/b"},
		"half of the keys":     {AccessKeyID: "a"},
		"the other half":       {SecretAccessKey: storage.NewSecret("b")},
		"hours of lifecycle":   {InboxLifecycle: 36 * time.Hour},
		"negative lifecycle":   {InboxLifecycle: -24 * time.Hour},
	} {
		if _, err := storage.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestTheDefaultsOfAConfiguration(t *testing.T) {
	t.Parallel()
	store, err := storage.Open(t.Context(), storage.Config{MaskedBucket: "own-masked"})
	if err != nil {
		t.Fatal(err)
	}
	got := store.Config()
	want := storage.Config{
		Region: "ap-south-1", InboxBucket: "kycq-inbox", MaskedBucket: "own-masked", RecordsBucket: "kycq-records",
		InboxLifecycle: 30 * 24 * time.Hour,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
