package dashboard

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPageSize is the most tasks in one answer. They are held in memory.
const maxPageSize = 500

// serveAPI forwards a request to asynqmon and removes from the answer what must not be shown.
func (h *Handler) serveAPI(w http.ResponseWriter, r *http.Request) {
	if n, err := strconv.Atoi(r.URL.Query().Get("size")); err == nil && n > maxPageSize {
		q := r.URL.Query()
		q.Set("size", strconv.Itoa(maxPageSize))
		r.URL.RawQuery = q.Encode()
	}
	if r.URL.Path == h.cfg.Path+"/api/metrics" {
		query, ok := metricsQuery(r.URL.Query(), time.Now())
		if !ok {
			http.Error(w, "not a query of the metrics page", http.StatusBadRequest)
			return
		}
		r.URL.RawQuery = query
	}
	answer := httptest.NewRecorder()
	h.inner.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if answer.Code >= http.StatusMultipleChoices {
		h.serveError(w, r, answer.Code, body)
		return
	}
	if len(bytes.TrimSpace(body)) == 0 {
		w.WriteHeader(answer.Code)
		return
	}
	clean, err := scrub(body)
	if err != nil {
		h.cfg.Log.Error().Str("path", r.URL.Path).Msg("asynqmon's answer is not JSON; it is not shown")
		http.Error(w, "the answer cannot be shown", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(clean)
}

// maxMetrics is the longest time that the metrics page shows.
const maxMetrics = 31 * 24 * time.Hour

// queueName has no character with a meaning in PromQL or in regular expressions.
var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// metricsQuery returns the parameters that the metrics page uses; ok is false if others, or other values, are given. asynqmon puts
// the names of queues into PromQL as they are, so anything could be asked of Prometheus with them.
func metricsQuery(given url.Values, now time.Time) (query string, ok bool) {
	for name, values := range given {
		n, err := strconv.ParseInt(values[0], 10, 64)
		switch {
		case len(values) != 1:
			return "", false
		case name == "duration" && err == nil && n > 0 && n <= int64(maxMetrics/time.Second):
		case name == "endtime" && err == nil && n > 0 && n <= now.Add(time.Hour).Unix():
		case name == "queues" && (values[0] == "" || !slices.ContainsFunc(strings.Split(values[0], ","), func(q string) bool { return !queueName.MatchString(q) })):
		default:
			return "", false
		}
	}
	return given.Encode(), true
}

// serveError forwards the status only: the text of an error can hold addresses and queue names. The text of a server
// error is logged.
func (h *Handler) serveError(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	const maxText = 500
	text := http.StatusText(status)
	if status >= http.StatusInternalServerError {
		h.cfg.Log.Warn().Str("path", r.URL.Path).Bytes("error", bytes.TrimSpace(body[:min(len(body), maxText)])).Msg("asynqmon failed")
		text += " (see the dashboard's log)"
	}
	http.Error(w, text, status)
}

// scrub cleans the fields for which asynqmon accepts no formatter.
func scrub(body []byte) ([]byte, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(walk(v))
}

// cleaners are keyed by the name of the JSON field.
var cleaners = map[string]func(string) string{
	"error_message": cleanError,
	"type":          cleanType,
	"task_type":     cleanType,
}

func walk(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			text, isText := field.(string)
			if clean := cleaners[name]; isText && clean != nil {
				v[name] = clean(text)
				continue
			}
			v[name] = walk(field)
		}
	case []any:
		for i := range v {
			v[i] = walk(v[i])
		}
	}
	return v
}
