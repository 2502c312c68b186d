package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
)

// Endpoint is one of the two paid calls, by the last part of its path but for Passport's, which is the same.
type Endpoint string

// The two calls.
const (
	AadhaarMasking Endpoint = "aadhaar-masking"
	Passport       Endpoint = "passport"
)

func endpoints() []Endpoint { return []Endpoint{AadhaarMasking, Passport} }

// Fault is a fault injection rule. Rules are evaluated in the order in which they were added; at most one fires per call.
type Fault struct {
	// ID is set by AddFault.
	ID int `json:"id"`
	// Endpoint empty means both (a fault of the image_link fires for Aadhaar masking alone).
	Endpoint Endpoint `json:"endpoint,omitempty"`
	// VerificationID empty means every call.
	VerificationID string `json:"verification_id,omitempty"`
	// Fault is one of the names below, or any HTTP status from 300 to 599.
	Fault string `json:"fault"`
	// Count is how often the rule fires; 0 is unlimited.
	Count int `json:"count,omitempty"`
	// After is the number of matching calls before the first that can be hit.
	After int `json:"after,omitempty"`
	// Probability that a matching call is hit, 0 to 1; 0 means 1.
	Probability float64 `json:"probability,omitempty"`
	// Code replaces the vendor's code in the body of a status fault, as in 429 too_many_requests_per_ip.
	Code string `json:"code,omitempty"`
	// RetryAfter is sent as that header, verbatim: seconds, a date or malformed. Empty: 1 for 429, else no header.
	RetryAfter string `json:"retry_after,omitempty"`
	// Status is the HTTP status of "html" and "empty", 0 is 200. Another status than 200 is not charged.
	Status int `json:"status,omitempty"`
	// Fired counts the calls that were hit.
	Fired int `json:"fired"`
}

// The faults that are not a status. Those of stageAnswer are charged, the others are not.
const (
	FaultHang        = "hang"          // no answer until the client disconnects
	FaultResetBefore = "reset_before"  // RST before the charge
	FaultRedirect    = "redirect"      // 307 to the same call: a client that follows it sends the call twice
	FaultHangAfter   = "hang_after"    // charged, then no answer
	FaultResetAfter  = "reset_after"   // charged, then RST
	FaultTruncate    = "truncate"      // Content-Length is longer than the body
	FaultHTML        = "html"          // a page of HTML
	FaultEmpty       = "empty"         // no body at all
	FaultWrongID     = "wrong_id"      // the answer names another verification_id
	FaultNoImageLink = "no_image_link" // VALID, but without image_link
	FaultExpiredLink = "expired_link"  // an expired image_link
	FaultUnmasked    = "unmasked"      // the image_link serves the uploaded image
)

// stage is the step of a call at which a fault fires.
type stage int

const (
	stageDoor   stage = iota // with the checks that do not use up an id: 401, 403, 429
	stageWork                // in place of the decision: nothing is charged
	stageAnswer              // after the charge
)

// place returns the stage of the rule, and false if there is no such fault.
func (f Fault) place() (stage, error) {
	switch f.Fault {
	case FaultHang, FaultResetBefore, FaultRedirect:
		return stageWork, nil
	case FaultHTML, FaultEmpty:
		if f.Status != 0 && f.Status != 200 {
			return stageWork, nil
		}
		return stageAnswer, nil
	case FaultHangAfter, FaultResetAfter, FaultTruncate, FaultWrongID:
		return stageAnswer, nil
	case FaultNoImageLink, FaultExpiredLink, FaultUnmasked:
		if f.Endpoint == Passport {
			return 0, fmt.Errorf("fault %q: the passport answer has no image_link", f.Fault)
		}
		return stageAnswer, nil
	}
	switch status, err := strconv.Atoi(f.Fault); {
	case err != nil || status < 300 || status > 599:
		return 0, fmt.Errorf("unknown fault %q", f.Fault)
	case status == 401 || status == 403 || status == 429:
		return stageDoor, nil
	}
	return stageWork, nil
}

func (f Fault) validate() error {
	if f.Endpoint != "" && !slices.Contains(endpoints(), f.Endpoint) {
		return fmt.Errorf("unknown endpoint %q: use aadhaar-masking or passport", f.Endpoint)
	}
	if f.Count < 0 || f.After < 0 {
		return fmt.Errorf("count %d, after %d: must not be negative", f.Count, f.After)
	}
	if !(f.Probability >= 0 && f.Probability <= 1) {
		return fmt.Errorf("probability %v: use 0 to 1", f.Probability)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("status %d: use 200 to 599", f.Status)
	}
	_, err := f.place()
	return err
}

func (f Fault) matches(e Endpoint, id string) bool {
	switch f.Fault {
	case FaultNoImageLink, FaultExpiredLink, FaultUnmasked:
		if e == Passport {
			return false
		}
	}
	return (f.Endpoint == "" || f.Endpoint == e) && (f.VerificationID == "" || f.VerificationID == id)
}

// faults is the list of rules. Used-up rules stay listed, so tests can check that they fired.
type faults struct {
	mu     sync.Mutex
	rules  []Fault
	nextID int
	random *rand.Rand
}

func newFaults(seed uint64) *faults {
	return &faults{nextID: 1, random: rand.New(rand.NewPCG(seed, 0x6b796371))}
}

func (fs *faults) add(f Fault) (Fault, error) {
	if err := f.validate(); err != nil {
		return Fault{}, err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.ID, f.Fired = fs.nextID, 0
	fs.nextID++
	fs.rules = append(fs.rules, f)
	return f, nil
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.rules = nil
}

func (fs *faults) list() []Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return slices.Clone(fs.rules)
}

// pick returns the rule that fires for this call in the given stages, both included.
func (fs *faults) pick(from, to stage, e Endpoint, id string) (Fault, bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i := range fs.rules {
		f := &fs.rules[i]
		if at, err := f.place(); err != nil || at < from || at > to || !f.matches(e, id) {
			continue
		}
		if f.Count > 0 && f.Fired >= f.Count {
			continue
		}
		if f.After > 0 {
			f.After--
			continue
		}
		if f.Probability > 0 && fs.random.Float64() >= f.Probability {
			continue
		}
		f.Fired++
		return *f, true
	}
	return Fault{}, false
}
