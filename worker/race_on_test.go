//go:build race

package worker

// The race detector makes the model ten times slower.
const modelDefault = 2_000
