package storage

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/kycq/kycq/tasks"
)

// The key layout is an interface for all readers of the buckets. kycq writes and deletes nothing outside of it:
//
//	records bucket   records/<kind>/<id>.json   batches/<batch>/...   audit/...   probe/<random>
//	masked bucket    masked/<id>.<jpg|png>
//	inbox bucket     <batch or "single">/<id>.<first 12 hex of the SHA-256>   quarantine/<id>
//
// CheckBuckets uses probe/<random> in all three.
const (
	recordsPrefix    = "records/"
	batchesPrefix    = "batches/"
	auditPrefix      = "audit/"
	probePrefix      = "probe/"
	maskedPrefix     = "masked/"
	quarantineFolder = "quarantine"
)

// SingleGroup is the inbox folder of uploads outside of a batch.
const SingleGroup = "single"

// maxSegment is far above a verification_id (50) and a batch id, and keeps every key under S3's limit of 1,024 bytes.
const maxSegment = 200

var (
	segmentForm = regexp.MustCompile(`^[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*$`)
	inboxForm   = regexp.MustCompile(`^([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)\.[0-9a-f]{12}$`)
	maskedForm  = regexp.MustCompile(`^masked/([A-Za-z0-9._-]+)\.(jpg|png)$`)
)

// checkSegment checks what is between two slashes of a key. The required letter or digit excludes "." and "..", which
// proxies and stores on a file system would resolve.
func checkSegment(what, s string) error {
	if len(s) > maxSegment || !segmentForm.MatchString(s) {
		return fmt.Errorf("%s cannot be part of a storage key: want 1 to %d of [A-Za-z0-9._-], at least one letter or digit", what, maxSegment)
	}
	return nil
}

func recordKey(kind tasks.Kind, id string) (string, error) {
	if _, err := tasks.ParseKind(string(kind)); err != nil {
		return "", err
	}
	if err := checkSegment("verification_id", id); err != nil {
		return "", err
	}
	return recordsOf(kind) + id + ".json", nil
}

// recordsOf is the prefix of a kind's records.
func recordsOf(kind tasks.Kind) string { return recordsPrefix + string(kind) + "/" }

// recordID is the reverse of recordKey; false for other keys.
func recordID(kind tasks.Kind, key string) (string, bool) {
	id, found := strings.CutPrefix(key, recordsOf(kind))
	id, json := strings.CutSuffix(id, ".json")
	return id, found && json && checkSegment("verification_id", id) == nil
}

func inboxKey(group, id, sha256 string) (string, error) {
	if err := checkSegment("inbox folder", group); err != nil {
		return "", err
	}
	if group == quarantineFolder {
		return "", fmt.Errorf("inbox folder %q is reserved", group)
	}
	if err := checkSegment("verification_id", id); err != nil {
		return "", err
	}
	return group + "/" + id + "." + sha256[:12], nil
}

// isUploadKey reports whether UploadImage could have made this key.
func isUploadKey(key string) bool {
	m := inboxForm.FindStringSubmatch(key)
	return m != nil && m[1] != quarantineFolder &&
		checkSegment("inbox folder", m[1]) == nil && checkSegment("verification_id", m[2]) == nil
}

func quarantineKey(id string) (string, error) {
	if err := checkSegment("verification_id", id); err != nil {
		return "", err
	}
	return quarantineFolder + "/" + id, nil
}

func maskedKey(id, ext string) (string, error) {
	if err := checkSegment("verification_id", id); err != nil {
		return "", err
	}
	key := maskedPrefix + id + "." + strings.TrimPrefix(ext, ".")
	if !isMaskedKey(key) {
		return "", fmt.Errorf("masked image: extension is not jpg or png")
	}
	return key, nil
}

func isMaskedKey(key string) bool {
	m := maskedForm.FindStringSubmatch(key)
	return m != nil && checkSegment("verification_id", m[1]) == nil
}

// checkObjectKey checks the key of a generic object: batches/... or audit/...
func checkObjectKey(key string) error {
	if !strings.HasPrefix(key, batchesPrefix) && !strings.HasPrefix(key, auditPrefix) {
		return fmt.Errorf("storage key is outside %s and %s", batchesPrefix, auditPrefix)
	}
	if len(key) > 1024 {
		return fmt.Errorf("storage key has %d bytes: at most 1024 are allowed", len(key))
	}
	for segment := range strings.SplitSeq(key, "/") {
		if err := checkSegment("object name", segment); err != nil {
			return err
		}
	}
	return nil
}

// checkObjectPrefix checks the prefix of a listing: batches/ or audit/, or the beginning of a key below.
func checkObjectPrefix(prefix string) error {
	if prefix == batchesPrefix || prefix == auditPrefix {
		return nil
	}
	return checkObjectKey(strings.TrimSuffix(prefix, "/"))
}
