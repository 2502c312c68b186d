// Package faults proves that no row is lost and nothing is paid for twice, whatever fails. Its tests run the built
// program, with real processes, a real Redis and a real MinIO, break something, and let one oracle judge what is left
// (oracle_test.go). docs/FAULTS.md says what each scenario proves, and which broken builds turn which of them red.
//
// The package holds tests only.
package faults
