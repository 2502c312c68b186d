package asynqx

import (
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"
)

// NewLogger returns a logger for an asynq server that writes to log. asynq's fatal messages become errors: the process
// does not exit.
func NewLogger(log zerolog.Logger) asynq.Logger {
	return logger{log.With().Str("part", "asynq").Logger()}
}

type logger struct{ log zerolog.Logger }

func (l logger) Debug(args ...any) { l.log.Debug().Msg(fmt.Sprint(args...)) }
func (l logger) Info(args ...any)  { l.log.Info().Msg(fmt.Sprint(args...)) }
func (l logger) Warn(args ...any)  { l.log.Warn().Msg(fmt.Sprint(args...)) }
func (l logger) Error(args ...any) { l.log.Error().Msg(fmt.Sprint(args...)) }
func (l logger) Fatal(args ...any) { l.log.Error().Msg(fmt.Sprint(args...)) }
