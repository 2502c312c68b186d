package api_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/api"
)

// A key stops within 5 s of its removal from the file. If the file cannot be read, all keys stop after a minute.
func TestAKeyStopsWithItsLineOrWithTheFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token := api.NewToken()
		line, err := api.KeyLine("app1", []api.Scope{api.ScopeRead}, time.Time{}, token)
		if err != nil {
			t.Fatal(err)
		}
		var file atomic.Pointer[string]
		k := &api.Keys{Log: zerolog.Nop(), Read: func() ([]byte, error) {
			if text := file.Load(); text != nil {
				return []byte(*text), nil
			}
			return nil, errors.New("no such file")
		}}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go k.Watch(ctx)
		none := ""
		for i, step := range []struct {
			file  *string
			after time.Duration
			want  bool
		}{{&line, 5 * time.Second, true}, {&none, 5 * time.Second, false}, {&line, 5 * time.Second, true}, {nil, 50 * time.Second, true}, {nil, 20 * time.Second, false}, {&line, 5 * time.Second, true}} {
			file.Store(step.file)
			time.Sleep(step.after)
			synctest.Wait()
			if _, ok := k.Find(token, time.Now()); ok != step.want {
				t.Errorf("step %d: the key is in force: %t", i+1, ok)
			}
		}
	})
}
