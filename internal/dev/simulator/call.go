package simulator

import (
	"errors"
	"net/http"
	"time"
)

// request is a validated request of either call.
type request struct {
	id     string
	decide func(*http.Request) (decision, error)
}

// decision is the outcome of a call before faults.
type decision struct {
	result string // VALID, INVALID or INVALID_DOCUMENT
	// body builds the answer; base is the beginning of an image_link.
	body func(id string, reference int64, f Fault, base string) any
}

// errBroken: the client disconnected while sending the body.
var errBroken = errors.New("request broke off")

// call processes a request in the order of precedence.
type call struct {
	s     *Simulator
	w     http.ResponseWriter
	r     *http.Request
	entry LedgerEntry
	began time.Time
}

func (s *Simulator) serveCall(w http.ResponseWriter, r *http.Request, e Endpoint) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeError(w, errNoMethod)
		return
	}
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	c := &call{s: s, w: w, r: r, entry: LedgerEntry{Endpoint: e}, began: time.Now()}
	defer c.log()
	defer c.discard()
	if refusal := c.admit(); refusal != nil {
		c.refuse(refusal)
		return
	}
	req, refusal, err := c.read()
	switch {
	case err != nil: // the client has disconnected
		c.entry.Code = "request_broken_off"
		c.record()
		reset(w)
		return
	case refusal != nil:
		c.refuse(refusal)
		return
	}
	c.serve(req)
}

// admit runs steps 2 to 8.
func (c *call) admit() *vendorError {
	from := callerOf(c.r)
	if q, ok := c.s.addresses.admit(from, c.began); !ok {
		c.limited(q)
		return errRatePerIP
	}
	if refusal := c.s.account.check(c.r.Header, from, c.began); refusal != nil {
		return refusal
	}
	q, ok := c.s.operations[c.entry.Endpoint].admit(c.began)
	if !ok {
		c.limited(*q)
		return errRate
	}
	if q != nil {
		q.write(c.w.Header())
	}
	return nil
}

func (c *call) limited(q quota) {
	q.write(c.w.Header())
	c.w.Header().Set("Retry-After", seconds(q.reset))
}

// read runs steps 9 and 10. It returns an error if the body is incomplete.
func (c *call) read() (request, *vendorError, error) {
	var req request
	var refusal *vendorError
	var err error
	if c.entry.Endpoint == Passport {
		req, refusal, err = readPassport(c.r)
	} else {
		req, refusal, err = c.s.cards.read(c.w, c.r)
	}
	c.entry.VerificationID = req.id[:min(len(req.id), maxEntryID)]
	return req, refusal, err
}

// maxEntryID limits the id in the ledger; valid ids are shorter.
const maxEntryID = 64

// discard removes the files of a multipart body. net/http does not for hijacked connections.
func (c *call) discard() {
	if c.r.MultipartForm != nil {
		_ = c.r.MultipartForm.RemoveAll()
	}
}

// serve runs steps 11 to 16.
func (c *call) serve(req request) {
	e := c.entry.Endpoint
	if f, hit := c.s.faults.pick(stageDoor, stageDoor, e, req.id); hit {
		c.instead(f)
		return
	}
	if refusal := c.s.billing.arrive(&c.entry); refusal != nil {
		c.refuse(refusal)
		return
	}
	f, hit := c.s.faults.pick(stageWork, stageAnswer, e, req.id)
	c.s.wait()
	if hit {
		if at, _ := f.place(); at == stageWork {
			c.instead(f)
			return
		}
	}
	decided, err := req.decide(c.r)
	if err != nil {
		c.s.log.Error().Err(err).Str("verification_id", req.id).Msg("the simulator itself failed")
		c.refuse(errInternal)
		return
	}
	c.answer(req, decided, f)
}

// answer charges, then sends the answer as modified by the fault.
func (c *call) answer(req request, decided decision, f Fault) {
	c.entry.Status, c.entry.Result, c.entry.Fault = http.StatusOK, decided.result, f.Fault
	c.entry.ReferenceID = c.s.lastRef.Add(1)
	if f.Fault == FaultHangAfter || f.Fault == FaultResetAfter {
		c.entry.Status = 0
	}
	refusal, err := c.s.billing.charge(&c.entry)
	if err != nil {
		c.s.log.Error().Err(err).Msg("no ledger, no charge")
		refusal = errInternal
	}
	if refusal != nil {
		c.entry.Result, c.entry.ReferenceID, c.entry.Fault = "", 0, ""
		c.refuse(refusal)
		return
	}
	c.send(decided.body(req.id, c.entry.ReferenceID, f, c.base()), f)
}

// base is the beginning of an image_link: as configured, or the host that the client used, which also works through proxies
// and with container names.
func (c *call) base() string {
	if c.s.publicURL != "" {
		return c.s.publicURL
	}
	return "http://" + c.r.Host
}

// refuse records the vendor's error and sends it.
func (c *call) refuse(e *vendorError) {
	c.entry.Status, c.entry.Code = e.Status, e.Code
	c.record()
	writeError(c.w, e)
}

// record writes the entry before the answer is sent.
func (c *call) record() {
	if err := c.s.billing.record(&c.entry); err != nil {
		c.s.log.Error().Err(err).Msg("request is missing in the ledger")
	}
}

func (c *call) log() {
	c.s.log.Info().
		Str("endpoint", string(c.entry.Endpoint)).
		Str("verification_id", c.entry.VerificationID).
		Int("status", c.entry.Status).
		Str("code", c.entry.Code).
		Str("result", c.entry.Result).
		Bool("charged", c.entry.Charged).
		Str("fault", c.entry.Fault).
		Dur("took", time.Since(c.began)).
		Msg("call")
}
