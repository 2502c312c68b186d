package doctor

import "context"

// checkPrometheus asks the dashboard's Prometheus for a metric of kycq.
func checkPrometheus(ctx context.Context, t Target) []Finding {
	const check = "prometheus"
	if t.Prometheus == nil {
		return nil
	}
	found, err := t.Prometheus(ctx)
	switch {
	case err != nil:
		return []Finding{warning(check, "the dashboard's metrics page stays empty: "+err.Error(), "start Prometheus, or correct KYCQ_PROMETHEUS_URL")}
	case !found:
		return []Finding{warning(check, "it answers, but has no metrics of kycq", "let it scrape /metrics of the workers (deploy/prometheus)")}
	}
	return []Finding{fine(check, "answers, and has metrics of kycq")}
}
