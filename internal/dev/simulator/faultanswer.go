package simulator

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
)

// instead sends the answer of a fault that replaces the decision; nothing is charged.
func (c *call) instead(f Fault) {
	c.entry.Fault = f.Fault
	switch f.Fault {
	case FaultHang:
		c.record()
		c.hang()
	case FaultResetBefore:
		c.record()
		reset(c.w)
	case FaultRedirect:
		c.entry.Status = http.StatusTemporaryRedirect
		c.record()
		http.Redirect(c.w, c.r, c.r.URL.Path, http.StatusTemporaryRedirect)
	case FaultHTML, FaultEmpty:
		c.entry.Status = f.Status
		c.record()
		c.page(f)
	default:
		status, _ := strconv.Atoi(f.Fault)
		c.status(status, f)
	}
}

// status answers with an HTTP status, and the vendor's body if it is documented.
func (c *call) status(status int, f Fault) {
	e := scriptedError(status, f.Code, callerOf(c.r).String())
	if status == http.StatusTooManyRequests {
		c.w.Header().Set("X-RateLimit-Remaining", "0")
		c.w.Header().Set("Retry-After", "1")
	}
	if f.RetryAfter != "" {
		c.w.Header().Set("Retry-After", f.RetryAfter)
	}
	c.refuse(&e)
}

// send sends a charged answer, modified by the fault.
func (c *call) send(body any, f Fault) {
	switch f.Fault {
	case FaultHangAfter:
		c.hang()
	case FaultResetAfter:
		reset(c.w)
	case FaultHTML, FaultEmpty:
		f.Status = http.StatusOK
		c.page(f)
	case FaultTruncate:
		truncate(c.w, body)
	default:
		writeJSON(c.w, http.StatusOK, body)
	}
}

// hang keeps the connection until the client disconnects or the simulator closes.
func (c *call) hang() {
	select {
	case <-c.r.Context().Done():
	case <-c.s.ctx.Done():
	}
	reset(c.w)
}

// page answers like a firewall or load balancer in front of the vendor.
func (c *call) page(f Fault) {
	if f.Fault == FaultEmpty {
		c.w.Header().Set("Content-Length", "0")
		c.w.WriteHeader(f.Status)
		return
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.WriteHeader(f.Status)
	_, _ = c.w.Write([]byte("<!doctype html><html><head><title>Please wait</title></head>" +
		"<body><h1>Please wait</h1><p>We are checking your browser.</p></body></html>\n"))
}

// truncate sends half of the declared body; net/http then closes the connection.
func truncate(w http.ResponseWriter, body any) {
	whole, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(whole[:len(whole)/2])
}

// reset closes the connection with a TCP RST (linger 0). If the connection cannot be hijacked (HTTP/2), it aborts the
// stream.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = raw.Close()
}

func writeError(w http.ResponseWriter, e *vendorError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.body())
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only known types
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
