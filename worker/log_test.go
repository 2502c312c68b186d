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
		job.Batch, job.Line = "people-1f00c3aa", 17
		w.vendor.script = append(w.vendor.script, reply(cashfree.OtherStatus, 502), reply(cashfree.OtherStatus, 502))
		w.processUntilFinal(t, p, job)
		for range 3 {
			p.Process(t.Context(), job)
		}
		want := `{"level":"info","kind":"passport","job":"A","lane":"live","run":1,"batch":"people-1f00c3aa","line":17,"outcome":"valid","attempts":3,`
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, want) {
			t.Errorf("logged %s", got)
		}
	})
}

// Cashfree's codes may hold anything: only the record keeps one that the advice table does not have.
func TestAnUnknownCodeOfCashfreesIsInTheRecordOnly(t *testing.T) {
	t.Parallel()
	const code = "specimen_person"
	for class, status := range map[cashfree.Class]int{
		cashfree.Rejected: 400, cashfree.OtherStatus: 500, cashfree.Credentials: 401, cashfree.Undocumented: 403, cashfree.Duplicate: 409,
	} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			withWorld(t, Policy{}, func(t *testing.T, w *world, p *Processor) {
				var log bytes.Buffer
				p.Log = zerolog.New(&log)
				r := reply(class, status)
				r.Code = code
				w.answers(r)
				for range 3 {
					v := p.Process(t.Context(), w.payload(tasks.Passport, "A"))
					if strings.Contains(v.Reason, code) {
						t.Errorf("verdict for asynq: %+v", v)
					}
					time.Sleep(v.After) // synctest
				}
				if h := w.gate.held; h != nil && strings.Contains(h.Code+h.Reason+h.NextAction, code) {
					t.Errorf("hold: %+v", h)
				}
				if strings.Contains(log.String(), code) || !strings.Contains(log.String(), `"code":"other"`) {
					t.Errorf("logged %s", log.String())
				}
				if got := w.record(tasks.Passport, "A").Attempts[0].Code; got != code {
					t.Errorf("the record has code %q", got)
				}
			})
		})
	}
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
