package storage

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/kycq/kycq/internal/objects"
	"github.com/kycq/kycq/tasks"
)

// The key layout is an interface for all readers of the buckets. kycq writes and deletes nothing outside of it:
//
//	records bucket   records/<kind>/<id>.json   open/<kind>/<lane>/<id>/<run>   open/batch/<batch>/<run>   open/complete
//	                 batches/<batch>/...   audit/...   legal-holds/<kind>/<id>.json   installation.json   identity.json
//	                 holds.json   webhooks.json   owed/<endpoint>/<event>/<kind>/<id>/<run>.<time>   probe/<random>
//	masked bucket    masked/<id>/<run>.<jpg|png>, from earlier versions masked/<id>.<jpg|png>
//	inbox bucket     <batch or "single">/<id>.<first 12 hex of the SHA-256>   quarantine/<id>
//
// The self-tests of package objects use probe/<random> in all three. batches/, open/batch/, audit/,
// installation.json, identity.json and holds.json belong to those packages.
const (
	recordsPrefix    = "records/"
	maskedPrefix     = "masked/"
	quarantinePrefix = "quarantine/"
)

// SingleGroup is the inbox folder of uploads outside of a batch.
const SingleGroup = "single"

var (
	inboxForm  = regexp.MustCompile(`^([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)\.[0-9a-f]{12}$`)
	maskedForm = regexp.MustCompile(`^masked/([A-Za-z0-9._-]+?)(/[1-9][0-9]*)?\.(jpg|png)$`)
)

func recordKey(kind tasks.Kind, id string) (string, error) {
	if _, err := tasks.ParseKind(string(kind)); err != nil {
		return "", err
	}
	if err := objects.CheckSegment("verification_id", id); err != nil {
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
	return id, found && json && objects.CheckSegment("verification_id", id) == nil
}

func inboxKey(group, id, sha256 string) (string, error) {
	if err := objects.CheckSegment("inbox folder", group); err != nil {
		return "", err
	}
	if group+"/" == quarantinePrefix {
		return "", fmt.Errorf("inbox folder %q is reserved", group)
	}
	if err := objects.CheckSegment("verification_id", id); err != nil {
		return "", err
	}
	return group + "/" + id + "." + sha256[:12], nil
}

// isUploadKey reports whether UploadImage could have made this key.
func isUploadKey(key string) bool {
	m := inboxForm.FindStringSubmatch(key)
	return m != nil && m[1]+"/" != quarantinePrefix &&
		objects.CheckSegment("inbox folder", m[1]) == nil && objects.CheckSegment("verification_id", m[2]) == nil
}

func quarantineKey(id string) (string, error) {
	if err := objects.CheckSegment("verification_id", id); err != nil {
		return "", err
	}
	return quarantinePrefix + id, nil
}

// maskedKey is the key of a run's masked image; that of run 0 has the form of earlier versions, without a run.
func maskedKey(id string, run int, ext string) (string, error) {
	if err := objects.CheckSegment("verification_id", id); err != nil {
		return "", err
	}
	if run > 0 {
		id += "/" + strconv.Itoa(run)
	}
	key := maskedPrefix + id + "." + strings.TrimPrefix(ext, ".")
	if !isMaskedKey(key) {
		return "", fmt.Errorf("masked image: extension is not jpg or png")
	}
	return key, nil
}

func isMaskedKey(key string) bool {
	m := maskedForm.FindStringSubmatch(key)
	return m != nil && objects.CheckSegment("verification_id", m[1]) == nil
}
