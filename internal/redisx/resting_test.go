package redisx_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/kycq/kycq/internal/redisx"
	"github.com/kycq/kycq/internal/testenv"
)

func TestEveryTaskAndKeptAnswerIsSeen(t *testing.T) {
	t.Parallel()
	client := testenv.RedisClient(t)
	ctx := t.Context()
	queue := asynq.NewClientFromRedisClient(client)
	want := map[string]bool{}
	for i := range 1500 { // more than one page
		text := fmt.Sprintf("kq1.1.task-%d-", i)
		want[text] = true
		opts := []asynq.Option{asynq.Queue("passport-live")}
		if i%3 == 0 {
			opts = append(opts, asynq.ProcessIn(time.Hour))
		}
		if _, err := queue.Enqueue(asynq.NewTask("kycq:passport", []byte(`{"sealed_input":"`+text+`"}`)), opts...); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"aadhaar", "passport"} {
		text := "kq1.2." + kind + "-"
		want[text] = true
		check(t, redisx.NewHints(client).KeepAnswer(ctx, kind, "A", text))
	}
	check(t, client.Set(ctx, "another", "kq1.3.foreign-", 0).Err())

	seen := 0
	for value, err := range redisx.Resting(ctx, client) {
		check(t, err)
		seen++
		for text := range want {
			if strings.Contains(value, text) {
				delete(want, text)
			}
		}
		if strings.Contains(value, "foreign") {
			t.Error("a key that is none of kycq's was read")
		}
	}
	if len(want) > 0 || seen != 1502 {
		t.Errorf("%d values seen, %d texts were not: %v", seen, len(want), want)
	}
}
