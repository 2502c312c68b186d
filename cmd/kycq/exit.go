package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// The exit codes. They are a contract with scripts.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2 // wrong flags, settings or input
	exitSomeFailed  = 3 // the work is finished, and some of it did not end well
	exitCredentials = 4 // refused credentials, or an IP that is not whitelisted
	exitBalance     = 5
	exitUnreachable = 6 // Redis, S3 or Cashfree
	exitInterrupted = 130
)

const exitCodesHelp = `Exit codes: 0 fine; 1 error; 2 wrong usage, settings or input; 3 finished, but some did not end well;
4 credentials or IP whitelist; 5 balance; 6 Redis, S3 or Cashfree not reachable; 130 interrupted.`

// exitError chooses the exit code by hand. Where silent, stdout has said all there is to say.
type exitError struct {
	code   int
	err    error
	silent bool
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(err error) error { return &exitError{code: exitUsage, err: err} }

func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// ended is the silent exit of a command that has printed its answer.
func ended(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code, err: fmt.Errorf("exit code %d", code), silent: true}
}

// report prints an error and returns its exit code. Several lines (several problems) stay several lines.
func report(ctx context.Context, stderr io.Writer, err error) int {
	code := exitCode(ctx, err)
	var chosen *exitError
	switch {
	case err == nil, errors.As(err, &chosen) && chosen.silent:
	case code == exitInterrupted:
		_, _ = fmt.Fprintln(stderr, "kycq: interrupted")
	default:
		for line := range strings.Lines(err.Error()) {
			if line = strings.TrimSpace(line); line != "" {
				_, _ = fmt.Fprintln(stderr, "kycq: "+line)
			}
		}
	}
	return code
}

func exitCode(ctx context.Context, err error) int {
	var chosen *exitError
	var settings *config.Error
	var invalid *tasks.InvalidError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &chosen):
		return chosen.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &settings), errors.As(err, &invalid), errors.Is(err, config.ErrNoKeyset):
		return exitUsage
	case errors.Is(err, storage.ErrDenied):
		return exitCredentials
	case errors.Is(err, storage.ErrUnreachable), redisUnreachable(err):
		return exitUnreachable
	}
	return exitFailure
}

// redisUnreachable tells network trouble from an answer of Redis. S3's is classified by storage. (net.Error would not do:
// every system error, a missing file's too, is one.)
func redisUnreachable(err error) bool {
	var network *net.OpError
	var name *net.DNSError
	return errors.As(err, &network) && network.Op != "listen" || errors.As(err, &name) || errors.Is(err, io.EOF) || errors.Is(err, redis.ErrPoolTimeout) ||
		redis.IsLoadingError(err) || redis.IsMasterDownError(err)
}
