package gatebench

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kycq/kycq/internal/dev/simulator"
	"github.com/kycq/kycq/internal/rate"
)

// vendor is a simulator that writes down when each call came and whether it was over the limit.
type vendor struct {
	url   string
	limit rate.Rate
	first chan struct{} // closed at the first call

	sim    *simulator.Simulator
	server *http.Server

	mu    sync.Mutex
	calls []arrival
}

type arrival struct {
	at      time.Time
	limited bool
}

func startVendor(limit rate.Rate, shape string, latency time.Duration) (*vendor, error) {
	cfg := simulator.Config{Limit: limit.Calls, Per: limit.Per, Window: shape, Latency: latency}
	if digit, ok := strings.CutPrefix(shape, "bucket"); ok {
		cfg.Window = "bucket"
		burst, err := strconv.Atoi(digit)
		if err != nil {
			return nil, fmt.Errorf("shape %q: want bucket and a number", shape)
		}
		cfg.Burst = burst
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &vendor{url: "http://" + listener.Addr().String(), limit: limit, first: make(chan struct{}), sim: sim}
	v.server = &http.Server{Handler: v, ReadHeaderTimeout: time.Minute}
	go func() { _ = v.server.Serve(listener) }()
	return v, nil
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	status := statusWriter{ResponseWriter: w}
	v.sim.ServeHTTP(&status, r)
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.calls) == 0 {
		close(v.first)
	}
	v.calls = append(v.calls, arrival{at, status.code == http.StatusTooManyRequests})
}

func (v *vendor) close() {
	_ = v.sim.Close()
	_ = v.server.Close()
}

func (v *vendor) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.calls)
}

// measure looks at so many windows from the first call on: the share of the limit that was used, over all and in the
// worst window, 429s and calls.
func (v *vendor) measure(windows int) (used, least float64, limited, calls int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.calls) == 0 {
		return 0, 0, 0, 0
	}
	start := v.calls[0].at
	for _, c := range v.calls {
		if c.at.Before(start) {
			start = c.at
		}
	}
	served := make([]int, windows)
	for _, c := range v.calls {
		n := int(c.at.Sub(start) / v.limit.Per)
		if n >= windows {
			continue
		}
		calls++
		if c.limited {
			limited++
		} else {
			served[n]++
		}
	}
	least = 1e9
	for _, n := range served {
		share := float64(n) / float64(v.limit.Calls)
		used += share / float64(windows)
		least = min(least, share)
	}
	return used, least, limited, calls
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the real writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
