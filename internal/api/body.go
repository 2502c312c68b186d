package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kycq/kycq/internal/batch/manifest"
	"github.com/kycq/kycq/tasks"
)

const (
	// maxBodies is how many bodies with images are in memory at once: 60 MB.
	maxBodies = 6
	// bodyPatience is how long a request waits for a buffer. Its body is not read meanwhile.
	bodyPatience = 30 * time.Second
	// minRate is the slowest body that is read, in bytes a second, after slowStart.
	minRate   = 64 << 10
	slowStart = 5 * time.Second
	// maxJSON is the size of a JSON body, formRest what a form has beside its image, in bytes.
	maxJSON  = 64 << 10
	formRest = 16 << 10
	readStep = 32 << 10
)

// bodies are the buffers for images. They are reused, so the memory for them does not grow.
type bodies struct{ free chan []byte }

func newBodies() bodies {
	b := bodies{free: make(chan []byte, maxBodies)}
	for range maxBodies {
		b.free <- nil
	}
	return b
}

// take returns a buffer for one image and one byte more.
func (a *API) take(ctx context.Context) ([]byte, error) {
	patience := time.NewTimer(bodyPatience)
	defer patience.Stop()
	select {
	case buf := <-a.bodies.free:
		if buf == nil {
			buf = make([]byte, tasks.MaxImageBytes+1)
		}
		return buf, nil
	case <-patience.C:
		return nil, failure("busy", nil)
	case <-a.stopping:
		return nil, failure("shutting_down", nil)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *API) release(buf []byte) { a.bodies.free <- buf }

// pacedBody reads a body that has to arrive at minRate or faster. All its errors but io.EOF are problems.
type pacedBody struct {
	body     io.Reader
	deadline func(time.Time) error
	began    time.Time
	read     int64
}

// noDeadline is for reading after the end of a request: the server reads on to see whether the client has gone, and a deadline that
// passes then cancels the request's context.
var noDeadline time.Time

// body returns the body, of which it reads at most limit bytes.
func (c *call) body(limit int64) io.Reader {
	limited := http.MaxBytesReader(c.w, c.r.Body, limit)
	return &pacedBody{body: limited, deadline: http.NewResponseController(c.w).SetReadDeadline, began: time.Now()}
}

func (b *pacedBody) Read(p []byte) (int, error) {
	p = p[:min(len(p), readStep)]
	allowed := slowStart + time.Duration(b.read+int64(len(p)))*time.Second/minRate
	_ = b.deadline(b.began.Add(allowed)) // a test's writer has none
	n, err := b.body.Read(p)
	b.read += int64(n)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = failure("too_slow", err)
	case errors.Is(err, io.EOF):
		_ = b.deadline(noDeadline)
	default:
		err = badBody(err)
	}
	return n, err
}

// badBody is the problem of a body that cannot be read: its client has gone, or it does not have the form of its type.
func badBody(err error) error {
	var p *Problem
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &large):
		return failure("body_too_large", nil)
	}
	return invalid(FieldError{Code: "body_incomplete", Message: "the body ends too early, or does not have the form of its content type"})
}

// mediaType returns the type of the body, without parameters.
func (c *call) mediaType() (name string, parameters map[string]string) {
	name, parameters, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return "", nil
	}
	return name, parameters
}

const jsonType = "application/json"

func isUTF8(parameters map[string]string) bool {
	charset := parameters["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8")
}

// object reads a JSON object of strings with the given names. Fields that are missing are "".
func (c *call) object(names ...string) (map[string]string, error) {
	fields, _, err := c.objectWith("", names...)
	return fields, err
}

// objectWith is object with a list of strings.
func (c *call) objectWith(list string, names ...string) (fields map[string]string, items []string, err error) {
	if name, parameters := c.mediaType(); name != jsonType || !isUTF8(parameters) {
		return nil, nil, failure("media_type", nil)
	}
	text, err := io.ReadAll(c.body(maxJSON))
	if err != nil {
		return nil, nil, badBody(err)
	}
	fields, items, problem := manifest.DecodeObject(text, names, list)
	if problem != nil {
		return nil, nil, invalid(FieldError{Code: problem.Code, Message: "the body: " + problem.Message})
	}
	return fields, items, nil
}

// action is the body of what operators do.
type action struct {
	reason string
	run    int // 0: any
	codes  []string
	fields map[string]string
}

// action reads the body of an action: a reason, and fields with the given names. list may be "codes" or empty.
func (c *call) action(list string, names ...string) (in action, err error) {
	if in.fields, in.codes, err = c.objectWith(list, append(names, "reason")...); err != nil {
		return in, err
	}
	in.reason = in.fields["reason"]
	if text := in.fields["run"]; text != "" {
		if in.run, err = strconv.Atoi(text); err != nil || in.run < 1 {
			return in, invalid(FieldError{Pointer: "/run", Code: "run_invalid", Message: "run must be a number from 1: the run that you saw"})
		}
	}
	return in, checkReason("/reason", in.reason)
}
