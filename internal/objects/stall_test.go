package objects

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestAWriteThatNobodyTakesEndsAfterTheStallTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		dial := stallingDial(func(context.Context, string, string) (net.Conn, error) { return ours, nil })
		conn, err := dial(t.Context(), "tcp", "store:9000")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		if _, err = conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != stallTimeout {
			t.Errorf("ended after %s with %v", time.Since(start), err)
		}
	})
}

func TestASlowBodyMayTakeAnyTimeAndAStandingOneEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body, sender := io.Pipe()
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := context.AfterFunc(ctx, func() { _ = sender.CloseWithError(context.Cause(ctx)) }) // as http.Transport does
		defer stop()
		src := newStallingBody(body, cancel)

		go func() {
			for range 10 {
				time.Sleep(stallTimeout - time.Second)
				_, _ = sender.Write([]byte("x"))
			}
		}()
		if _, err := io.ReadFull(src, make([]byte, 9)); err != nil {
			t.Fatalf("a slow sender: %v", err)
		}
		time.Sleep(10 * stallTimeout) // a slow reader
		if _, err := io.ReadFull(src, make([]byte, 1)); err != nil {
			t.Fatalf("a slow reader: %v", err)
		}
		start := time.Now()
		_, err := src.Read(make([]byte, 1))
		if !errors.Is(err, errTooSlow) || time.Since(start) != stallTimeout {
			t.Errorf("a standing sender: ended after %s with %v", time.Since(start), err)
		}
		_ = src.Close()
	})
}
