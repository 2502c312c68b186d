package installation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kycq/kycq/internal/objects"
)

// IdentityKey is the key of the installation's identity in the records bucket. It is an object of its own, since producers
// write it, and since earlier versions of kycq drop what they do not know from installation.json.
const IdentityKey = "identity.json"

// identity names the installation for as long as the buckets exist, whatever Redis drives them.
type identity struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // random; the payloads of tasks are bound to it
	// Sealed is true once a process with a keyset has used the buckets. It never becomes false.
	Sealed    bool      `json:"sealed"`
	CreatedAt time.Time `json:"created_at"`
}

// IdentityBucket returns the place of the identity.
func IdentityBucket(b *objects.Buckets) *objects.Bucket {
	return b.Records.Within(IdentityKey, IdentityKey)
}

// Identify returns the name of the installation, and whether its data is encrypted. The first process that enqueues or works
// jobs creates the name; the first with a keyset (sealing) marks it as sealed.
func Identify(ctx context.Context, bucket Bucket, sealing bool) (name string, sealed bool, err error) {
	for range maxSteps {
		found, etag, err := readIdentity(ctx, bucket)
		switch {
		case err != nil:
			return "", false, err
		case etag == "":
			next := identity{Version: version, Name: rand.Text(), Sealed: sealing, CreatedAt: time.Now().UTC().Truncate(time.Second)}
			err = writeIdentity(next, func(body []byte) (string, error) { return bucket.Create(ctx, IdentityKey, body) })
		case found.Sealed || !sealing:
			return found.Name, found.Sealed, nil
		default:
			found.Sealed = true
			err = writeIdentity(found, func(body []byte) (string, error) { return bucket.Swap(ctx, IdentityKey, body, etag) })
		}
		// The object is read again, also if another process was first.
		if err != nil && !errors.Is(err, objects.ErrExists) && !errors.Is(err, objects.ErrConflict) {
			return "", false, err
		}
	}
	return "", false, fmt.Errorf("%s keeps changing", IdentityKey)
}

// readIdentity returns an empty etag if there is no identity.
func readIdentity(ctx context.Context, bucket Bucket) (found identity, etag string, err error) {
	object, err := bucket.Get(ctx, IdentityKey)
	if errors.Is(err, objects.ErrNotFound) {
		return identity{}, "", nil
	}
	if err != nil {
		return identity{}, "", err
	}
	if err := json.Unmarshal(object.Body, &found); err != nil || found.Version != version || found.Name == "" {
		return identity{}, "", fmt.Errorf("read %s: %w", IdentityKey, ErrUnreadable)
	}
	return found, object.ETag, nil
}

func writeIdentity(next identity, write func(body []byte) (string, error)) error {
	body, err := json.MarshalIndent(next, "", "  ")
	if err == nil {
		_, err = write(body)
	}
	return err
}
