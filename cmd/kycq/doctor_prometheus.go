package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// askPrometheus reports whether a Prometheus has metrics of kycq.
func askPrometheus(ctx context.Context, url string) (found bool, err error) {
	const patience, enough = 3 * time.Second, 1 << 20
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/query?query=kycq_workers", nil)
	if err != nil {
		return false, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, enough)).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("HTTP status %d: this is not Prometheus", resp.StatusCode)
	}
	return len(answer.Data.Result) > 0, nil
}
