//go:build !race

package worker

const modelDefault = 10_000
