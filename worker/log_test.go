package worker

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/kycq/kycq/internal/cashfree"
	"github.com/kycq/kycq/tasks"
)

// Also a job that is called several times, and delivered again when it has ended.
func TestAJobIsOneLineInTheLog(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		var log bytes.Buffer
		p.Log = zerolog.New(&log).Level(zerolog.InfoLevel)
		job := w.payload(tasks.Passport, "A")
		job.Batch, job.Row = "people-1f00c3aa", 17
		w.vendor.script = append(w.vendor.script, reply(cashfree.OtherStatus, 502), reply(cashfree.OtherStatus, 502))
		w.processUntilFinal(t, p, job)
		for range 3 {
			p.Process(t.Context(), job)
		}
		want := `{"level":"info","kind":"passport","job":"A","lane":"live","run":1,"batch":"people-1f00c3aa","row":17,"outcome":"valid","attempts":3,`
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, want) {
			t.Errorf("logged %s", got)
		}
	})
}

func TestFaultsOfManyJobsAreThinned(t *testing.T) {
	t.Parallel()
	withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
		var log bytes.Buffer
		p.Log = zerolog.New(&log).Level(zerolog.InfoLevel)
		for _, id := range []string{"A", "B", "C"} {
			d := &delivery{Processor: p, job: w.payload(tasks.Passport, id), log: p.Log}
			d.infraFault(cashfree.ErrTooLarge, "storage")
		}
		time.Sleep(time.Minute) // synctest
		d := &delivery{Processor: p, log: p.Log}
		d.infraFault(cashfree.ErrTooLarge, "storage")
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"left_out":2`) {
			t.Errorf("logged %s", got)
		}
	})
}
