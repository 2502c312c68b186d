package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAPrometheusIsAskedForMetricsOfKycq(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct{ found, ok bool }{
		`{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"2"]}]}}`: {true, true},
		`{"status":"success","data":{"resultType":"vector","result":[]}}`:                  {false, true},
		`<html>`: {false, false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		found, err := askPrometheus(t.Context(), server.URL)
		if found != want.found || (err == nil) != want.ok {
			t.Errorf("%s: %t, %v", answer, found, err)
		}
		server.Close()
		if _, err := askPrometheus(t.Context(), server.URL); err == nil {
			t.Error("a server that is down answers")
		}
	}
}
