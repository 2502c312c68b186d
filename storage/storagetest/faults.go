package storagetest

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
)

// Drop closes the connection without a response.
func Drop() { panic(http.ErrAbortHandler) }

// LoseReplies executes the first n matching requests and drops their responses.
func LoseReplies(n int64, matches func(*http.Request) bool) Intercept {
	var left atomic.Int64
	left.Store(n)
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !matches(r) || left.Add(-1) < 0 {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		Drop()
	}
}

// Down drops every request before it is executed.
func Down(http.ResponseWriter, *http.Request, http.Handler) { Drop() }

// Count counts the matching requests and forwards all.
func Count(total *atomic.Int64, matches func(*http.Request) bool) Intercept {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if matches(r) {
			total.Add(1)
		}
		next.ServeHTTP(w, r)
	}
}

// Method matches requests by their method.
func Method(method string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method }
}
