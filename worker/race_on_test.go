//go:build race

package worker

// The model is ten times slower with the race detector.
const modelDefault = 2_000
