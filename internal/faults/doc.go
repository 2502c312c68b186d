// Package faults tests that no job is lost and no call is paid for twice under faults. Its tests run the built program with
// a real Redis and a real MinIO, cause a fault, and check the result with one oracle (oracle_test.go). docs/FAULTS.md
// describes the scenarios; the package mutants checks that they notice a missing precaution.
//
// The package holds tests only.
package faults
