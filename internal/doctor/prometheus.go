package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// checkPrometheus asks the dashboard's Prometheus for a metric of kycq.
func checkPrometheus(ctx context.Context, t Target) []Finding {
	const check = "prometheus"
	if t.PrometheusURL == "" {
		return nil
	}
	found, err := askPrometheus(ctx, t.PrometheusURL)
	switch {
	case err != nil:
		return []Finding{warning(check, "the dashboard's metrics page stays empty: "+err.Error(), "start Prometheus, or correct KYCQ_PROMETHEUS_URL")}
	case !found:
		return []Finding{warning(check, "it answers, but has no metrics of kycq", "let it scrape /metrics of the workers (deploy/prometheus)")}
	}
	return []Finding{fine(check, "answers, and has metrics of kycq")}
}

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
