package dashboard

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
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
