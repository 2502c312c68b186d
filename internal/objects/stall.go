package objects

import (
	"context"
	"io"
	"net"
	"time"
)

// stallingDial limits how long a write to a connection may block. http.Transport has no such limit: if the network drops all
// packets, an upload would hang until the kernel gives up, after about fifteen minutes.
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
	// If this fails, so does Write.
	_ = c.SetWriteDeadline(time.Now().Add(stallTimeout))
	return c.Conn.Write(p)
}

// stallingBody ends a download without progress for stallTimeout. Only time inside Read counts: an image is read as fast
// as the vendor accepts it.
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
