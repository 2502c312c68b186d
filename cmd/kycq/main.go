// Command kycq runs bulk and live KYC checks against Cashfree Secure ID. `kycq help` says what it can do.
//
// The package reads flags, environment and files (through internal/config), builds the concrete parts (wire.go), and maps
// errors to exit codes (exit.go); each command has a file of its own. What the commands do lives in the other packages.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	redis.SetLogger(silence{})
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// run is the whole program, with everything that it takes from its process passed in. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &app{in: stdin, out: stdout, err: stderr, environ: environ}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = usageError(err) // cobra could not find the command, or read its flags
	}
	return report(ctx, stderr, err)
}

// silence keeps go-redis from writing to stderr past the log: it returns as errors whatever it would say there.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
