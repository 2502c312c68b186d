package asynqx

import (
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/logx"
)

// NewLogger returns a logger for an asynq server that writes to log. asynq's fatal messages become errors: the process
// does not exit. A message that repeats, as all do while Redis is down, is logged once a minute.
func NewLogger(log zerolog.Logger) asynq.Logger {
	return &logger{log.With().Str("part", "asynq").Logger().Hook(logx.Thin())}
}

type logger struct{ log zerolog.Logger }

func (l *logger) Debug(args ...any) { l.write(zerolog.DebugLevel, args) }
func (l *logger) Info(args ...any)  { l.write(zerolog.InfoLevel, args) }
func (l *logger) Warn(args ...any)  { l.write(zerolog.WarnLevel, args) }
func (l *logger) Error(args ...any) { l.write(zerolog.ErrorLevel, args) }
func (l *logger) Fatal(args ...any) { l.write(zerolog.ErrorLevel, args) }

func (l *logger) write(level zerolog.Level, args []any) {
	text := fmt.Sprint(args...)
	if strings.Contains(text, "cancelation channel") && strings.Contains(text, "NOPERM") {
		level = zerolog.DebugLevel // the check at the start names it
	}
	l.log.WithLevel(level).Msg(text)
}
