package simulator

import (
	"maps"
	"time"
)

// State is what GET /_sim/state shows.
type State struct {
	Endpoints map[Endpoint]EndpointState `json:"endpoints"`
	// Charged counts the charges of both endpoints, those of an earlier life of the ledger included.
	Charged int `json:"charged"`
	// Balance is the number of paid calls left, -1 where it is endless.
	Balance int `json:"balance"`
	// InFlight counts the calls that are in the house now, those that hang included.
	InFlight int      `json:"in_flight"`
	TakeIDs  string   `json:"take_ids"`
	Latency  string   `json:"latency"`
	LinkTTL  string   `json:"link_ttl"`
	Allowed  []string `json:"allowed_ips"`
	// Faults are all rules, the spent ones too.
	Faults []Fault `json:"faults"`
	// FaultsPending counts the rules that can still fire.
	FaultsPending int `json:"faults_pending"`
}

// EndpointState is the ledger's totals of one endpoint, and its rate.
type EndpointState struct {
	Totals
	Limit LimitState `json:"limit"`
	// PeakInWindow is the most calls that any span of limit.per held since the limit was set, the refused ones included.
	PeakInWindow int `json:"peak_in_window"`
}

// LimitState is a Limit as it is shown.
type LimitState struct {
	Calls  int    `json:"calls"`
	Per    string `json:"per"`
	Window string `json:"window"`
	Burst  int    `json:"burst,omitempty"`
}

// State takes a consistent copy of the books; rates and rules are read after it, one by one.
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
