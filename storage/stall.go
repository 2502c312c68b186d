package storage

import (
	"context"
	"io"
	"net"
	"time"
)

// stallingDial gives every connection a limit on standing still while it is written. http.Transport has none: against a
// store that swallows packets, the body of an upload would hang until the kernel gives up after some fifteen minutes.
func stallingDial(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &stallingConn{conn}, nil
	}
}

type stallingConn struct{ net.Conn }

func (c *stallingConn) Write(p []byte) (int, error) {
	// A failed deadline shows in the Write itself.
	_ = c.SetWriteDeadline(time.Now().Add(stallTimeout))
	return c.Conn.Write(p)
}

// stallingBody ends a download that stands still for stallTimeout. The clock runs only inside Read: a consumer may take
// its time (an image is read at the pace at which the vendor takes it).
type stallingBody struct {
	body   io.ReadCloser
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newStallingBody(body io.ReadCloser, cancel context.CancelCauseFunc) *stallingBody {
	timer := time.AfterFunc(stallTimeout, func() { cancel(errTooSlow) })
	timer.Stop()
	return &stallingBody{body: body, timer: timer, cancel: cancel}
}

func (b *stallingBody) Read(p []byte) (int, error) {
	b.timer.Reset(stallTimeout)
	defer b.timer.Stop()
	return b.body.Read(p)
}

func (b *stallingBody) Close() error {
	b.timer.Stop()
	err := b.body.Close()
	b.cancel(nil)
	return err
}
