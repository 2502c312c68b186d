package storage

import (
	"errors"

	"github.com/kycq/kycq/internal/objects"
)

// RemainsError says that objects are deleted, but that versions of them remain: the bucket has object lock, or the credentials
// may not delete versions. The zero value collects such errors.
type RemainsError = objects.RemainsError

// Remnant is a version of a deleted object that the store still has.
type Remnant = objects.Remnant

// Errors of a Store, for errors.Is. Other errors are failures of the store.
var (
	ErrNotFound = objects.ErrNotFound
	ErrNoBucket = objects.ErrNoBucket
	// ErrExists: another writer has created the record.
	ErrExists = objects.ErrExists
	// ErrConflict: the record has changed or is gone since it was read. Read it again.
	ErrConflict = objects.ErrConflict
	// ErrDenied: wrong or missing credentials, a missing permission, or a clock that is off.
	ErrDenied = objects.ErrDenied
	// ErrUnreachable: no complete response came in time, or the store failed (5xx).
	ErrUnreachable = objects.ErrUnreachable
	// ErrUncertain: it is unknown whether a write of a record happened; it may still happen. Treat it as a failure of S3
	// and start again with a new read.
	ErrUncertain = objects.ErrUncertain
	// ErrNotUploaded: the image was not uploaded by kycq to the configured inbox bucket.
	ErrNotUploaded = errors.New("the image is not one that kycq put into the inbox bucket")
	// ErrVersion: a newer kycq wrote the record.
	ErrVersion = errors.New("unknown record version")
)
