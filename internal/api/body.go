package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
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
	// bodyTime limits the time of any body: a manifest holds a place that others wait for.
	bodyTime = 10 * time.Minute
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
	_ = b.deadline(b.began.Add(min(allowed, bodyTime))) // a test's writer has none
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

// object is what a JSON body has. Fields that are missing are "".
type object struct {
	text  map[string]string
	codes []string
	run   int // 0: any
}

// object reads a JSON object of the given fields: codes is a list of strings, run a number from 1, each other one a string.
func (c *call) object(names ...string) (in object, err error) {
	if name, parameters := c.mediaType(); name != jsonType || !isUTF8(parameters) {
		return in, failure("media_type", nil)
	}
	body, err := io.ReadAll(c.body(maxJSON))
	if err != nil {
		return in, badBody(err)
	}
	in.text = map[string]string{}
	seen, pointer := map[string]bool{}, ""
	problem := manifest.DecodeObject(body, func(key string, value any) *manifest.Problem {
		if pointer = ""; !slices.Contains(names, key) { // its name is not repeated
			return &manifest.Problem{Code: "key_unknown", Message: "the body has an unknown field: use " + strings.Join(names, ", ")}
		}
		if pointer = "/" + key; seen[key] {
			return &manifest.Problem{Code: "key_twice", Message: key + " appears twice in the body"}
		}
		seen[key] = true
		return in.set(key, value)
	})
	if problem != nil {
		return in, invalid(FieldError{Pointer: pointer, Code: problem.Code, Message: problem.Message})
	}
	return in, nil
}

// set takes over the value of a field. null is the same as no field.
func (in *object) set(key string, value any) *manifest.Problem {
	wrong := func(want string) *manifest.Problem {
		return &manifest.Problem{Code: "value_type_wrong", Message: key + " must be " + want}
	}
	if value == nil {
		return nil
	}
	switch key {
	case "run":
		number, _ := value.(json.Number)
		run, err := strconv.Atoi(number.String())
		if err != nil || run < 1 {
			return &manifest.Problem{Code: "run_invalid", Message: "run must be a number from 1: the run that you saw"}
		}
		in.run = run
	case "codes":
		items, isList := value.([]any)
		in.codes = make([]string, len(items))
		for i, item := range items {
			text, isText := item.(string)
			in.codes[i], isList = text, isList && isText
		}
		if !isList {
			return wrong("a list of strings")
		}
	default:
		text, isText := value.(string)
		if !isText {
			return wrong("a string")
		}
		in.text[key] = strings.TrimSpace(text)
	}
	return nil
}

// action reads the body of what operators do: a reason, and the given fields.
func (c *call) action(names ...string) (in object, err error) {
	if in, err = c.object(append(names, "reason")...); err != nil {
		return in, err
	}
	return in, checkReason("/reason", in.text["reason"])
}
