package asynqx

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"
)

// NewLogger returns a logger for an asynq server that writes to log. asynq's fatal messages become errors: the process
// does not exit. A message that repeats, as all do while Redis is down, is logged once a minute.
func NewLogger(log zerolog.Logger) asynq.Logger {
	return &logger{log: log.With().Str("part", "asynq").Logger(), last: map[string]time.Time{}}
}

type logger struct {
	log  zerolog.Logger
	mu   sync.Mutex
	last map[string]time.Time // when a message was logged
}

func (l *logger) Debug(args ...any) { l.write(zerolog.DebugLevel, args) }
func (l *logger) Info(args ...any)  { l.write(zerolog.InfoLevel, args) }
func (l *logger) Warn(args ...any)  { l.write(zerolog.WarnLevel, args) }
func (l *logger) Error(args ...any) { l.write(zerolog.ErrorLevel, args) }
func (l *logger) Fatal(args ...any) { l.write(zerolog.ErrorLevel, args) }

const (
	repeatAfter = time.Minute
	maxMessages = 1000
)

func (l *logger) write(level zerolog.Level, args []any) {
	text := fmt.Sprint(args...)
	if strings.Contains(text, "cancelation channel") && strings.Contains(text, "NOPERM") {
		level = zerolog.DebugLevel // the check at the start names it
	}
	if level >= zerolog.WarnLevel && l.repeats(text) {
		return
	}
	l.log.WithLevel(level).Msg(text)
}

// repeats reports whether the message was logged within the last minute. Numbers, such as ports, do not count.
func (l *logger) repeats(text string) bool {
	key := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.last[key]; ok && time.Since(at) < repeatAfter {
		return true
	}
	if len(l.last) == maxMessages {
		clear(l.last)
	}
	l.last[key] = time.Now()
	return false
}
