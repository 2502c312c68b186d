package cashfree

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestWriteErrorsAreDelayedUntilClose(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prepare func(c *delayedErrorConn)
		want    time.Duration
	}{
		"not closed": {func(*delayedErrorConn) {}, answerGrace},
		"the reader closes": {func(c *delayedErrorConn) {
			time.AfterFunc(10*time.Millisecond, func() { _ = c.Close() })
		}, 10 * time.Millisecond},
		"closed before":      {func(c *delayedErrorConn) { _ = c.Close() }, 0},
		"the goodbye of TLS": {func(c *delayedErrorConn) { _ = c.SetWriteDeadline(time.Now().Add(time.Hour)) }, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, peer := net.Pipe()
				_ = peer.Close()
				c := &delayedErrorConn{Conn: ours, closed: make(chan struct{})}
				tt.prepare(c)
				began := time.Now()
				if _, err := c.Write([]byte("x")); err == nil {
					t.Error("the write must fail in the end")
				}
				if waited := time.Since(began); waited != tt.want {
					t.Errorf("waited %s, want %s", waited, tt.want)
				}
				_ = c.Close()
			})
		})
	}
}
