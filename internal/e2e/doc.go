// Package e2e holds the end-to-end tests: the built binary as separate processes, against a real Redis and a real MinIO.
// What plays Cashfree here is written from the vendor's pages alone and shares nothing with the simulator, so that the
// two cannot be wrong together.
package e2e
