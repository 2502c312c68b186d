package dashboard

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
)

// maxPageSize bounds a listing: each of its tasks is read into memory.
const maxPageSize = 500

// serveAPI passes a request on to asynqmon and lets of the answer pass what may be shown.
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
		h.refuse(w, r, answer.Code, body)
		return
	}
	if len(bytes.TrimSpace(body)) == 0 {
		w.WriteHeader(answer.Code)
		return
	}
	clean, err := scrub(body)
	if err != nil {
		h.cfg.Log.Error().Str("path", r.URL.Path).Msg("asynqmon answered something other than JSON: not shown")
		http.Error(w, "the answer cannot be shown", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(clean)
}

// refuse passes the status on. The text of an error names addresses and queues: it goes into the log, where it is the
// server's fault.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	const maxText = 500
	text := http.StatusText(status)
	if status >= http.StatusInternalServerError {
		h.cfg.Log.Warn().Str("path", r.URL.Path).Bytes("error", bytes.TrimSpace(body[:min(len(body), maxText)])).Msg("asynqmon cannot answer")
		text += " (see the dashboard's log)"
	}
	http.Error(w, text, status)
}

// scrub rewrites the fields that asynqmon has no formatter for.
func scrub(body []byte) ([]byte, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(walk(v))
}

// cleaners are by the name of the JSON field.
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
