// Package mutants proves that the tests would notice a missing precaution. Each mutant is one edit that leaves a
// precaution out (table_test.go). The edit is applied with an overlay: the source tree does not change.
//
// make test checks that every edit still applies. make mutants (KYCQ_MUTANTS=1) runs the tests that each
// mutant names, first on the source as it is, where they must pass, and then on the edited source, where they must fail.
//
// The package holds tests only.
package mutants
