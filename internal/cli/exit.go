package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kycq/kycq/internal/config"
	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/storage"
	"github.com/kycq/kycq/tasks"
)

// The exit codes. They are a contract with scripts.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2 // wrong flags, settings or input
	ExitSomeFailed  = 3 // completed with failures
	ExitCredentials = 4 // refused credentials, or an IP that is not whitelisted
	ExitBalance     = 5
	ExitUnreachable = 6 // Redis, S3 or Cashfree
	ExitInterrupted = 130
)

// ExitCodesHelp is the paragraph of the root command's help.
const ExitCodesHelp = `Exit codes: 0 success; 1 error; 2 wrong usage, settings or input; 3 completed with failures; 4 credentials or IP whitelist;
5 balance; 6 Redis, S3 or Cashfree unreachable; 130 interrupted.`

// exitError is an error with an exit code of its own. If silent, it is not printed.
type exitError struct {
	code   int
	err    error
	silent bool
	name   string // of the code, for programs; empty: by the exit code
	next   string // what to do; empty: by the code
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// UsageError gives err the exit code 2.
func UsageError(err error) error { return WithCode(ExitUsage, err) }

// Usagef is UsageError of fmt.Errorf.
func Usagef(format string, args ...any) error { return UsageError(fmt.Errorf(format, args...)) }

// WithCode gives err an exit code.
func WithCode(code int, err error) error { return &exitError{code: code, err: err} }

// Exit ends a command that has printed its answer with an exit code and without a message.
func Exit(code int) error {
	if code == ExitOK {
		return nil
	}
	return &exitError{code: code, err: fmt.Errorf("exit code %d", code), silent: true}
}

// NotFound is an error about something that does not exist, and what to do about it.
func NotFound(err error, next string) error {
	return &exitError{code: ExitFailure, err: err, name: "not_found", next: next}
}

// report prints err, each of its lines after the program's name, and returns its exit code. With --json it also prints the
// error on stdout.
func (a *App) report(ctx context.Context, cmd *cobra.Command, err error) int {
	code := exitCode(ctx, err)
	var chosen *exitError
	if err == nil || errors.As(err, &chosen) && chosen.silent {
		return code
	}
	if a.JSON {
		_ = a.PrintLine(map[string]problem{"error": problemOf(cmd, err, code)})
	}
	switch {
	case code == ExitInterrupted:
		a.complain("interrupted")
	default:
		for line := range strings.Lines(err.Error()) {
			if line = strings.TrimSpace(line); line != "" {
				a.complain(line)
			}
		}
		if f, ok := redisx.Explain(err); ok && !strings.Contains(err.Error(), f.Fix) {
			a.complain(f.String())
		}
	}
	return code
}

// problem is an error as programs read it.
type problem struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Field      string `json:"field,omitempty"`
	NextAction string `json:"next_action,omitempty"`
}

var codeNames = map[int]string{
	ExitFailure: "error", ExitUsage: "usage", ExitSomeFailed: "some_failed", ExitCredentials: "credentials", ExitBalance: "balance",
	ExitUnreachable: "unreachable", ExitInterrupted: "interrupted",
}

// aboutFlag matches the message of an error about a flag.
var aboutFlag = regexp.MustCompile(`^(?:unknown flag: |invalid argument ".*" for ")?(--[a-z][a-z0-9-]*)`)

func problemOf(cmd *cobra.Command, err error, code int) problem {
	p := problem{Code: codeNames[code], Message: strings.Join(strings.Split(strings.TrimSpace(err.Error()), "\n"), "; ")}
	var chosen *exitError
	var settings *config.Error
	var invalid *tasks.InvalidError
	switch {
	case errors.As(err, &chosen) && chosen.name != "":
		p.Code = chosen.name
	case errors.As(err, &invalid):
		p.Code, p.Field = invalid.Code, invalid.Field
	case errors.As(err, &settings):
		p.Code = "invalid_settings"
	case errors.Is(err, storage.ErrNotFound):
		p.Code = "not_found"
	}
	if about := aboutFlag.FindStringSubmatch(p.Message); about != nil {
		p.Field = about[1]
	}
	switch f, ok := redisx.Explain(err); {
	case ok:
		p.NextAction = f.Fix
	case chosen != nil && chosen.next != "":
		p.NextAction = chosen.next
	case code == ExitUsage:
		p.NextAction = fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	case p.Code == "not_found":
		p.NextAction = "check the id"
	case code == ExitInterrupted:
		p.NextAction = "run the same command again"
	default:
		p.NextAction = "run `kycq doctor`, which names the fault and the fix"
	}
	return p
}

func exitCode(ctx context.Context, err error) int {
	var chosen *exitError
	var settings *config.Error
	var invalid *tasks.InvalidError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &chosen):
		return chosen.code
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &settings), errors.As(err, &invalid), errors.Is(err, config.ErrNoKeyset),
		errors.Is(err, tasks.ErrOtherInstallation), errors.Is(err, tasks.ErrSealed):
		return ExitUsage
	case errors.Is(err, storage.ErrDenied), refusedByRedis(err):
		return ExitCredentials
	case Unreachable(err):
		return ExitUnreachable
	}
	return ExitFailure
}

// Unreachable reports whether err means that Redis or S3 cannot be reached: the same may succeed later.
func Unreachable(err error) bool {
	return errors.Is(err, storage.ErrUnreachable) || redisx.Unreachable(err)
}

// refusedByRedis reports whether Redis refuses the credentials.
func refusedByRedis(err error) bool {
	f, ok := redisx.Explain(err)
	return ok && f.Credentials()
}
