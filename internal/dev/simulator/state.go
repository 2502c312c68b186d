package simulator

import (
	"maps"
	"time"
)

// State is the answer of GET /_sim/state.
type State struct {
	Endpoints map[Endpoint]EndpointState `json:"endpoints"`
	// Charged counts the charges of both endpoints, including those of an existing ledger.
	Charged int `json:"charged"`
	// Balance is the number of paid calls left, -1 if unlimited.
	Balance int `json:"balance"`
	// InFlight counts the calls in progress, including those that hang.
	InFlight int      `json:"in_flight"`
	TakeIDs  string   `json:"take_ids"`
	Latency  string   `json:"latency"`
	LinkTTL  string   `json:"link_ttl"`
	Allowed  []string `json:"allowed_ips"`
	// Faults are all rules, including used-up ones.
	Faults []Fault `json:"faults"`
	// FaultsPending counts the rules that can still fire.
	FaultsPending int `json:"faults_pending"`
}

// EndpointState holds the totals and the rate limit of an endpoint.
type EndpointState struct {
	Totals
	Limit LimitState `json:"limit"`
	// PeakInWindow is the most calls in any span of limit.per since the limit was set, including refused ones.
	PeakInWindow int `json:"peak_in_window"`
}

// LimitState is the JSON form of a Limit.
type LimitState struct {
	Calls  int    `json:"calls"`
	Per    string `json:"per"`
	Window string `json:"window"`
	Burst  int    `json:"burst,omitempty"`
}

// State copies the billing state consistently; rates and rules are read after it.
func (s *Simulator) State() State {
	state := State{
		Endpoints: make(map[Endpoint]EndpointState),
		Latency:   time.Duration(s.latency.Load()).String(),
		LinkTTL:   s.images.ttl().String(),
		InFlight:  int(s.inFlight.Load()),
		Allowed:   s.account.allowedIPs(),
		Faults:    append([]Fault{}, s.faults.list()...),
	}
	var totals map[Endpoint]Totals
	totals, state.Balance, state.TakeIDs = s.billing.state()
	for e, t := range totals {
		l, peak := s.operations[e].state()
		shown := LimitState{Calls: l.Calls, Per: l.Per.String(), Window: l.Window}
		if l.Window == "bucket" {
			shown.Burst = l.Burst
		}
		state.Endpoints[e] = EndpointState{Totals: t, Limit: shown, PeakInWindow: peak}
		state.Charged += t.Charged
	}
	for _, f := range state.Faults {
		if f.Count == 0 || f.Fired < f.Count {
			state.FaultsPending++
		}
	}
	return state
}

func (b *billing) state() (totals map[Endpoint]Totals, balance int, takeIDs string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	totals = make(map[Endpoint]Totals)
	for e, t := range b.totals {
		c := *t
		c.ByStatus, c.ByCode, c.ByFault = maps.Clone(t.ByStatus), maps.Clone(t.ByCode), maps.Clone(t.ByFault)
		totals[e] = c
	}
	return totals, b.balance, b.takeIDs
}

func (a *account) allowedIPs() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	list := make([]string, 0, len(a.allowed))
	for _, p := range a.allowed {
		list = append(list, p.String())
	}
	return list
}
