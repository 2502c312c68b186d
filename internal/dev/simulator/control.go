package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxControlBody bounds a control request; a list of addresses is the longest.
const maxControlBody = 1 << 20

// controlRoutes are the routes under /_sim/. Each change answers with the new state.
func (s *Simulator) controlRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/state", s.showState)
	mux.HandleFunc("GET /_sim/ledger", s.showLedger)
	mux.HandleFunc("GET /_sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, append([]Fault{}, s.faults.list()...))
	})
	mux.HandleFunc("POST /_sim/faults", s.postFault)
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, r *http.Request) {
		s.ClearFaults()
		s.showState(w, r)
	})
	mux.HandleFunc("POST /_sim/balance", change(s, s.changeBalance))
	mux.HandleFunc("POST /_sim/credentials", change(s, s.changeCredentials))
	mux.HandleFunc("POST /_sim/ips", change(s, s.changeIPs))
	mux.HandleFunc("POST /_sim/limit", change(s, s.changeLimit))
	mux.HandleFunc("POST /_sim/latency", change(s, s.changeLatency))
	mux.HandleFunc("POST /_sim/ids", change(s, s.changeIDs))
	mux.HandleFunc("POST /_sim/links", change(s, s.changeLinks))
	return mux
}

func (s *Simulator) showState(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.State())
}

func (s *Simulator) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := decodeControl(w, r, &f); err != nil {
		refuseControl(w, err)
		return
	}
	added, err := s.AddFault(f)
	if err != nil {
		refuseControl(w, err)
		return
	}
	writeJSON(w, http.StatusOK, added)
}

// showLedger streams the entries as one array. The query narrows it: endpoint, verification_id, charged=true, and after=N
// for the entries above that number.
func (s *Simulator) showLedger(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, err := strconv.ParseInt("0"+q.Get("after"), 10, 64)
	if err != nil {
		refuseControl(w, fmt.Errorf("after: want a number"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	separator := "[\n"
	for e, err := range s.Ledger() {
		switch {
		case err != nil: // the status was sent; an incomplete array shows the error
			s.log.Error().Err(err).Msg("read ledger")
			return
		case e.Seq <= after,
			q.Has("endpoint") && q.Get("endpoint") != string(e.Endpoint),
			q.Has("verification_id") && q.Get("verification_id") != e.VerificationID,
			q.Get("charged") == "true" && !e.Charged:
			continue
		}
		line, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(w, separator)
		if _, err := w.Write(line); err != nil {
			return
		}
		separator = ",\n"
	}
	if separator == "[\n" {
		_, _ = io.WriteString(w, "[")
	}
	_, _ = io.WriteString(w, "]\n")
}

// change decodes a body, applies it and shows the new state.
func change[T any](s *Simulator, apply func(T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body T
		err := decodeControl(w, r, &body)
		if err == nil {
			err = apply(body)
		}
		if err != nil {
			refuseControl(w, err)
			return
		}
		s.showState(w, r)
	}
}

// balanceChange sets the balance (below 0: unlimited) or adds to it.
type balanceChange struct {
	Calls *int `json:"calls"`
	Add   *int `json:"add"`
}

func (s *Simulator) changeBalance(b balanceChange) error {
	switch {
	case (b.Calls == nil) == (b.Add == nil):
		return errors.New("balance: give calls (the new balance) or add")
	case b.Calls != nil:
		s.SetBalance(*b.Calls)
	default:
		s.billing.topUp(*b.Add)
	}
	return nil
}

type credentialsChange struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

func (s *Simulator) changeCredentials(c credentialsChange) error {
	if (c.ClientID == "") != (c.ClientSecret == "") {
		return errors.New("credentials: give client_id and client_secret, or neither for any")
	}
	s.SetCredentials(c.ClientID, c.ClientSecret)
	return nil
}

type ipsChange struct {
	Allowed []string `json:"allowed"`
}

func (s *Simulator) changeIPs(c ipsChange) error { return s.account.setAllowed(c.Allowed) }

// limitChange starts new windows; without an endpoint, for both.
type limitChange struct {
	Endpoint Endpoint `json:"endpoint"`
	Calls    int      `json:"calls"`
	Per      duration `json:"per"`
	Window   string   `json:"window"`
	Burst    int      `json:"burst"`
}

func (s *Simulator) changeLimit(c limitChange) error {
	l := Limit{Calls: c.Calls, Per: time.Duration(c.Per), Window: c.Window, Burst: c.Burst}
	if c.Endpoint != "" {
		o, ok := s.operations[c.Endpoint]
		if !ok {
			return fmt.Errorf("unknown endpoint %q: use aadhaar-masking or passport", c.Endpoint)
		}
		return o.setLimit(l)
	}
	for _, e := range endpoints() {
		if err := s.SetLimit(e, l); err != nil {
			return err
		}
	}
	return nil
}

type latencyChange struct {
	Latency duration `json:"latency"`
}

func (s *Simulator) changeLatency(c latencyChange) error {
	if c.Latency < 0 {
		return errors.New("latency: must not be negative")
	}
	s.SetLatency(time.Duration(c.Latency))
	return nil
}

type idsChange struct {
	Take string `json:"take"`
}

func (s *Simulator) changeIDs(c idsChange) error { return s.billing.setTakeIDs(c.Take) }

type linksChange struct {
	TTL duration `json:"ttl"`
}

func (s *Simulator) changeLinks(c linksChange) error {
	if c.TTL <= 0 {
		return errors.New("ttl: must be above 0")
	}
	s.images.life.Store(int64(c.TTL))
	return nil
}

func decodeControl(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	return nil
}

func refuseControl(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

// duration is a time.Duration as people write it: "1m30s".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
