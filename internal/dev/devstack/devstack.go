// Package devstack runs the services that kycq needs in one process, for the demo: Redis (miniredis), an S3-compatible store
// (gofakes3) that also writes its objects to files, and the simulator of Cashfree, each on its own loopback port. Everything
// except the files is lost on Close. It must not be used in production.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/johannesboyne/gofakes3"

	"github.com/kycq/kycq/internal/dev/simulator"
)

// Credentials are the S3 keys of the stack, and the client ID and secret of its simulator.
const Credentials = "demo"

// Config configures a Stack.
type Config struct {
	// Dir must exist. Objects are written to the files s3/bucket/key in it.
	Dir string
	// Simulator configures the account. Start sets its credentials.
	Simulator simulator.Config
}

// Stack is a running stack. Every address is on the loopback interface.
type Stack struct {
	RedisURL      string // redis://127.0.0.1:port/0
	S3Endpoint    string // http://127.0.0.1:port
	CashfreeURL   string // http://127.0.0.1:port/verification
	SimulatorHost string // 127.0.0.1:port, for KYCQ_IMAGE_HOSTS
	Simulator     *simulator.Simulator

	redis   *miniredis.Miniredis
	files   *folders
	servers []*http.Server
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Start starts all services. The caller must call Close.
func Start(cfg Config) (*Stack, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &Stack{stop: stop}
	if err := s.start(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("development stack: %w", err), s.Close())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, cfg Config) error {
	s.redis = miniredis.NewMiniRedis()
	if err := s.redis.StartAddr("127.0.0.1:0"); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	s.RedisURL = "redis://" + s.redis.Addr() + "/0"
	s.running.Go(func() { s.advanceClock(ctx) })

	var err error
	if s.files, err = openFolders(filepath.Join(cfg.Dir, "s3")); err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	fake := gofakes3.New(s.files, gofakes3.WithLogger(gofakes3.DiscardLog()))
	host, err := s.serve(ctx, signedOnly(fake.Server()))
	if err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	s.S3Endpoint = "http://" + host

	cfg.Simulator.ClientID, cfg.Simulator.ClientSecret = Credentials, Credentials
	if s.Simulator, err = simulator.New(cfg.Simulator); err != nil {
		return err
	}
	if s.SimulatorHost, err = s.serve(ctx, s.Simulator); err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	s.CashfreeURL = "http://" + s.SimulatorHost + "/verification"
	return nil
}

// signedOnly refuses anonymous requests, which gofakes3 would serve: a worker refuses public buckets.
func signedOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// advanceClock advances the clock of miniredis, which does not run by itself: keys would not expire.
func (s *Stack) advanceClock(ctx context.Context) {
	const step = time.Second
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.redis.FastForward(step)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Stack) serve(ctx context.Context, h http.Handler) (host string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, srv)
	s.running.Go(func() { _ = srv.Serve(l) }) // ends with Close
	return l.Addr().String(), nil
}

// Close stops all services, including calls that hang.
func (s *Stack) Close() error {
	s.stop()
	var errs []error
	if s.Simulator != nil {
		errs = append(errs, s.Simulator.Close())
	}
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	s.running.Wait()
	if s.redis != nil {
		s.redis.Close()
	}
	if s.files != nil {
		errs = append(errs, s.files.Close())
	}
	return errors.Join(errs...)
}
