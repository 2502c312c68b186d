package redisx_test

import (
	"net"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
)

// fakeSentinel answers the commands that go-redis sends to a sentinel.
type fakeSentinel struct {
	t   *testing.T
	srv *server.Server

	mu    sync.Mutex
	names []string
}

func newSentinel(t *testing.T) *fakeSentinel {
	t.Helper()
	srv, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return &fakeSentinel{t: t, srv: srv}
}

func (s *fakeSentinel) addr() string { return s.srv.Addr().String() }

func (s *fakeSentinel) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.names...)
}

func (s *fakeSentinel) serve(primary string) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		s.t.Fatal(err)
	}
	register := func(name string, fn server.Cmd) {
		if err := s.srv.Register(name, fn); err != nil {
			s.t.Fatal(err)
		}
	}
	register("PING", func(c *server.Peer, _ string, _ []string) { c.WriteInline("PONG") })
	register("SUBSCRIBE", func(c *server.Peer, _ string, args []string) {
		c.WritePushLen(3)
		c.WriteBulk("subscribe")
		c.WriteBulk(args[0])
		c.WriteInt(1)
	})
	register("SENTINEL", func(c *server.Peer, _ string, args []string) {
		s.mu.Lock()
		s.names = append(s.names, args[1])
		s.mu.Unlock()
		if args[0] == "get-master-addr-by-name" {
			c.WriteLen(2)
			c.WriteBulk(host)
			c.WriteBulk(port)
			return
		}
		c.WriteLen(0)
	})
}
