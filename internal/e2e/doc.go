// Package e2e holds the end-to-end tests. They run the built program as separate processes against a real Redis and a real
// MinIO. The vendor that they use is written from Cashfree's documentation alone and shares no code with the simulator, so
// that an error in one of the two is noticed.
package e2e
