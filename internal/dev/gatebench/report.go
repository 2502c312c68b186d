package gatebench

import (
	"fmt"
	"io"
	"slices"
)

// result is what one case gave.
type result struct {
	used, least float64 // share of the limit, over all windows and in the worst one
	limited     int     // 429s
	calls       int
	pair        float64 // share of the second kind's limit
	pairLimited int
	commands    counts
	live        []float64 // ms that live calls waited
}

func printHead(w io.Writer) {
	fmt.Fprintln(w, "limit    procs shape    headers used  worst   429s  calls  redis/job (in scripts)  live p50    p99    max ms  of")
}

func (r result) print(w io.Writer, b bench) {
	headers := "yes"
	if b.blind {
		headers = "no"
	}
	perJob := "       -        "
	if r.calls > 0 {
		n := float64(r.calls)
		perJob = fmt.Sprintf("%9.2f (%.2f)", float64(r.commands.sent)/n, float64(r.commands.inside)/n)
	}
	slices.Sort(r.live)
	fmt.Fprintf(w, "%-8s %5d %-8s %-7s %.3f %.3f %6d %6d  %-22s  %8.0f %6.0f %6.0f     %4d", b.limit, b.procs, b.shape, headers,
		r.used, r.least, r.limited, r.calls, perJob, quantile(r.live, 0.5), quantile(r.live, 0.99), quantile(r.live, 1), len(r.live))
	if b.pair {
		fmt.Fprintf(w, "   second kind %.3f, 429s %d", r.pair, r.pairLimited)
	}
	fmt.Fprintln(w)
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
