package cashfree

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

var (
	errCallOver    = errors.New("the call is over")
	errSourceShort = errors.New("ended before its announced size")
	errSourceLong  = errors.New("goes on after its announced size")
)

// flight answers one question without a race: may the vendor have seen a whole request? It is held until the headers or
// the first byte of the body are handed to the transport. Every body here is at least one byte long, so as long as no
// byte of it was handed out, the request cannot be whole.
type flight struct{ state atomic.Int32 }

const (
	held int32 = iota
	left
	abandoned
)

// leave marks the request as gone and tells whether it may go.
func (f *flight) leave() bool {
	return f.state.CompareAndSwap(held, left) || f.state.Load() == left
}

// abandon tells whether nothing has left, and makes sure that nothing will.
func (f *flight) abandon() bool { return f.state.CompareAndSwap(held, abandoned) }

// upload is a request body: prelude, size bytes of source, epilogue. The source is read straight into the transport's
// buffer. The epilogue goes out only after the source has proved to end where it was said to, so a source that breaks
// off, runs over or fails its checksum at the end leaves a request that no server can take for a whole one.
type upload struct {
	flight   flight
	over     atomic.Bool
	prelude  []byte
	source   io.Reader // nil: there is none
	missing  int64     // bytes of source still to come
	epilogue []byte

	mu  sync.Mutex
	err error // why the source failed
}

// length is the exact Content-Length; valid until the first Read.
func (u *upload) length() int64 {
	return int64(len(u.prelude)) + u.missing + int64(len(u.epilogue))
}

func (u *upload) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if u.over.Load() || !u.flight.leave() {
		return 0, errCallOver
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

// Close is called by the transport. The source belongs to the caller and stays open.
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

// expectEnd reads past the announced size. A reader that checks a hash reports the mismatch here.
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
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
	return err
}

func (u *upload) sourceErr() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func take(from *[]byte, p []byte) int {
	n := copy(p, *from)
	*from = (*from)[n:]
	return n
}
