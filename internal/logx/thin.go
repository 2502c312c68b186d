package logx

import (
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Thin returns a hook for a logger of faults that occur for every job while their cause lasts: a warning or error that repeats is
// logged once a minute, with the number of lines that were left out before it. Messages that differ in digits only,
// such as ports, count as one. It is not for changes of a state.
func Thin() zerolog.Hook { return &thin{seen: map[string]seen{}} }

type thin struct {
	mu   sync.Mutex
	seen map[string]seen
}

type seen struct {
	at      time.Time // when the message was logged
	leftOut int       // since then
}

const (
	repeatAfter = time.Minute
	maxMessages = 1000
)

// Run implements zerolog.Hook.
func (t *thin) Run(e *zerolog.Event, level zerolog.Level, message string) {
	if level < zerolog.WarnLevel {
		return
	}
	key := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, message)
	t.mu.Lock()
	defer t.mu.Unlock()
	last, known := t.seen[key]
	if known && time.Since(last.at) < repeatAfter {
		last.leftOut++
		t.seen[key] = last
		e.Discard()
		return
	}
	if last.leftOut > 0 {
		e.Int("left_out", last.leftOut)
	}
	if len(t.seen) == maxMessages {
		clear(t.seen)
	}
	t.seen[key] = seen{at: time.Now()}
}
