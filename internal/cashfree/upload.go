package cashfree

import (
	"errors"
	"io"
	"sync/atomic"
)

var (
	errCallEnded   = errors.New("the call has ended")
	errSourceShort = errors.New("is shorter than announced")
	errSourceLong  = errors.New("is longer than announced")
)

// sendState records without a race whether the vendor may have received a complete request: whether headers or the first
// byte of the body were passed to the transport. Every body has at least one byte, so before that the request is
// incomplete.
type sendState struct {
	state atomic.Int32
	// late reports whether it is too late to start, since this process was paused; nil: never.
	late func() bool
}

const (
	unsent int32 = iota
	started
	abandoned
)

// start marks the request as started, in the line before its bytes leave. It returns false if it was abandoned, or is late.
func (s *sendState) start() bool {
	if s.late != nil && s.late() {
		s.abandon()
	}
	return s.state.CompareAndSwap(unsent, started) || s.state.Load() == started
}

// abandon prevents the start. It returns false if the request was started.
func (s *sendState) abandon() bool {
	return s.state.CompareAndSwap(unsent, abandoned) || s.state.Load() == abandoned
}

// upload is a request body: prelude, size bytes of source, epilogue. It sends the epilogue only if the source has exactly
// the announced size and ends without an error. Otherwise no server can take the request for a complete one.
type upload struct {
	sent     sendState
	over     atomic.Bool
	prelude  []byte
	source   io.Reader // may be nil
	missing  int64     // bytes of source not yet read
	epilogue []byte
	failure  atomic.Pointer[error] // why the source failed
}

// length is the Content-Length; valid until the first Read.
func (u *upload) length() int64 {
	return int64(len(u.prelude)) + u.missing + int64(len(u.epilogue))
}

func (u *upload) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if u.over.Load() || !u.sent.start() {
		return 0, errCallEnded
	}
	if len(u.prelude) > 0 {
		return take(&u.prelude, p), nil
	}
	if u.missing > 0 {
		return u.readSource(p)
	}
	if u.source != nil {
		if err := u.expectEnd(); err != nil {
			return 0, err
		}
		u.source = nil
	}
	if len(u.epilogue) > 0 {
		return take(&u.epilogue, p), nil
	}
	return 0, io.EOF
}

// Close is called by the transport. It does not close the source.
func (u *upload) Close() error {
	u.over.Store(true)
	return nil
}

func (u *upload) readSource(p []byte) (int, error) {
	if int64(len(p)) > u.missing {
		p = p[:u.missing]
	}
	n, err := u.source.Read(p)
	u.missing -= int64(n)
	switch {
	case err == nil, errors.Is(err, io.EOF) && u.missing == 0:
		return n, nil
	case errors.Is(err, io.EOF):
		err = errSourceShort
	}
	return n, u.fail(err)
}

// expectEnd reads beyond the announced size. A source that verifies a hash reports a mismatch here.
func (u *upload) expectEnd() error {
	var extra [1]byte
	for range 100 {
		switch n, err := u.source.Read(extra[:]); {
		case n > 0:
			return u.fail(errSourceLong)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return u.fail(err)
		}
	}
	return u.fail(io.ErrNoProgress)
}

func (u *upload) fail(err error) error {
	u.failure.Store(&err)
	return err
}

// sourceErr returns why the source failed, or nil.
func (u *upload) sourceErr() error {
	if err := u.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func take(from *[]byte, p []byte) int {
	n := copy(p, *from)
	*from = (*from)[n:]
	return n
}
