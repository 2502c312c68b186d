package simulator

import (
	"bytes"
	"image"
	"image/png"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// upload is a multipart.File in memory.
type upload struct{ *bytes.Reader }

func (upload) Close() error { return nil }

func TestImagesBeyondTheBudgetAreDecodedInSequence(t *testing.T) {
	t.Parallel()
	var card bytes.Buffer
	if err := png.Encode(&card, image.NewGray(image.Rect(0, 0, 30, 25))); err != nil {
		t.Fatal(err)
	}
	for budget, want := range map[int64]int32{750: 1, 1499: 1, 4 * 1500: 2} {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int32
			store, err := newImages(time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.close() }()
			c := newCards(func(img image.Image) (image.Image, bool) {
				most.Store(max(most.Load(), now.Add(1)))
				<-time.After(time.Second)
				now.Add(-1)
				return img, false
			}, store, budget)
			c.least = budget / 2 // two processors, wherever this runs
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if _, err := c.maskInto(t.Context(), "name.png", upload{bytes.NewReader(card.Bytes())}, "png"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if most.Load() != want {
				t.Errorf("budget %d: %d at a time, want %d", budget, most.Load(), want)
			}
		})
	}
}
