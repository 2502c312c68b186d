// Package submit turns a manifest file into an accepted batch.
//
// The file is read three times and never held: for its hash, which names the batch; to check every row (check.go); to
// upload the images and write the sealed parts (write.go). Then the caller writes batch.json, which accepts all rows at
// once. Killed at any moment before, nothing is accepted and nothing will be called; the same command goes on from what
// lies in S3. Which rows are accepted goes into the hash under which the parts stand, so that a submit with other
// rejects can never mix with this one.
//
// The package must not enqueue anything and must not print: it tells a Progress.
package submit
