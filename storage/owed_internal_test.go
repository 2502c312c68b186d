package storage

import (
	"context"
	"errors"
	"testing"
)

// A store that does not answer must not make paid answers wait for each other, nor one that is to be given up.
func TestTheListOfEndpointsIsReadOnceForAllThatNeedIt(t *testing.T) {
	t.Parallel()
	var c subscribers
	entered, release, got := make(chan struct{}), make(chan struct{}), make(chan []Subscriber)
	reads := 0
	read := func(ctx context.Context) ([]Subscriber, error) {
		reads++
		close(entered)
		<-release
		return []Subscriber{{Name: "app1"}}, ctx.Err()
	}
	first, giveUp := context.WithCancel(t.Context())
	go func() { _, _ = c.get(first, read) }()
	<-entered
	giveUp()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.get(ended, read); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	go func() {
		list, _ := c.get(t.Context(), read)
		got <- list
	}()
	close(release)
	if list := <-got; len(list) != 1 || reads != 1 {
		t.Errorf("%v after %d reads", list, reads)
	}
}
